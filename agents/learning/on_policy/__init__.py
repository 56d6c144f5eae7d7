"""Learners that learn once from what their own policy has just collected."""
