"""Few-shot tasks: trials in which something new is shown, and asked for later. NumPy only."""
