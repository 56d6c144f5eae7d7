"""Agents: policies that act, how they learn, and their faces for Stable-Baselines3."""
