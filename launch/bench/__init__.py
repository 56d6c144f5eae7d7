"""Benchmarks: what the project claims to be fast at, measured against the peers in the same run."""
