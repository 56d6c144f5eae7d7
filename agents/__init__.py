"""Agents: circuits, perceptrons and how they learn. What rollout workers need of them imports no torch."""
