"""Gradient-boosted forests: binning, growing, predicting. Knows no reinforcement learning."""
