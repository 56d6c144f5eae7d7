"""Recurrent learners: policies that remember, and learn from whole trials."""
