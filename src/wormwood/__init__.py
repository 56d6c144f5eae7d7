"""Wormwood: reinforcement learning with structure built into the policy."""

__version__ = "0.1.0"
