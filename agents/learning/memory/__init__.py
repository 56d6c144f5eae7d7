"""Memory networks whose controllers learn fast, from predicted gradients, and slow, from true ones."""
