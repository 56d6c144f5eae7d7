"""Everything that speaks Stable-Baselines3: policies, models, spaces, zips, and learners that call its ``train``."""
