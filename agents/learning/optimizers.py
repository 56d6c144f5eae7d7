"""Adam for actors whose weights have bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

__all__ = ["ProjectedAdam"]


class ProjectedAdam(torch.optim.Adam):
    """Adam whose parameter groups scale the one learning rate that SB3 sets, and which keeps an actor in its bounds."""

    def __init__(self, groups: Any, *, project: Callable[[], None], **kwargs: Any) -> None:
        """Take parameter groups with a ``rate_scale`` each; ``project`` is called after every step."""
        super().__init__(groups, **kwargs)
        self._project = project

    def step(self, closure: Any = None) -> Any:
        """Take one step."""
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] = group["lr"] * group["rate_scale"]
        try:
            loss = super().step(closure)
        finally:
            for group, rate in zip(self.param_groups, rates, strict=True):
                group["lr"] = rate
        self._project()
        return loss

    def __getstate__(self) -> dict[str, Any]:
        # torch's own names what a copy is made of, and so leaves out what a subclass adds.
        return {**super().__getstate__(), "_project": self._project}
