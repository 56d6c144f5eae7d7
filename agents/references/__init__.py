"""Exact and classic answers to the task families, to judge learned memories against."""
