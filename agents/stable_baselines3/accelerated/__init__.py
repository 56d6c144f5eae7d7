"""Models of Stable-Baselines3 whose updates are compiled."""
