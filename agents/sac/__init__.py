"""Soft actor-critic of structured actors, through Stable-Baselines3."""
