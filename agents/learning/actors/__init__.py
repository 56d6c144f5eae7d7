"""Actors: policies as torch modules, for learners that follow gradients."""
