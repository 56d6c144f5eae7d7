"""Recurrent agents: policies that remember, and learn from whole trials."""
