"""Learning: returns, losses and updates, and the differentiable twins of the policies."""
