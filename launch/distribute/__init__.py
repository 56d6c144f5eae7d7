"""Any Stable-Baselines3 model on Ray workers: ``wormwood.distribute(model, workers=4)``."""

from wormwood.launch.distribute.distributed_models import distribute

__all__ = ["distribute"]
