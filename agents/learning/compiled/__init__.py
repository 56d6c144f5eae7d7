"""Updates of on-policy learners as compiled kernels, in single precision and on one thread."""
