"""Policies: what acts, in NumPy alone. Rollout workers need nothing else of an agent."""
