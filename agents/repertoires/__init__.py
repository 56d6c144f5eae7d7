"""Repertoires: several circuits, of which one is chosen by trying them on the body at hand."""
