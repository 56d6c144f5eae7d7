"""Proximal policy optimisation of structured actors, through Stable-Baselines3."""
