"""The experiments of `wormwood bench memory`."""

from wormwood.launch.bench.memory.experiments import bench_memory

__all__ = ["bench_memory"]
