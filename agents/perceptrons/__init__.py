"""Multilayer perceptrons: the unstructured baseline."""
