"""Faces: swimmers and trials as gymnasium, Stable-Baselines3 and dm_control know environments."""
