"""Families of tasks for meta-reinforcement learning, and trials: several episodes on one task, seen as one."""
