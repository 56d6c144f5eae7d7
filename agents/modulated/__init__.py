"""Modulated circuits: one circuit whose weights follow from what a trial has shown of the body."""
