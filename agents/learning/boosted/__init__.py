"""Actor-critics whose function is a gradient-boosted forest (Fuhrer et al., https://arxiv.org/abs/2407.08250)."""
