"""The names under which gymnasium makes our environments."""

from __future__ import annotations

import gymnasium

__all__ = ["register_environments"]

TASK_OF_PREFIX = {"Swim": "swim", "SwimSpeed": "swim-speed", "Navigate": "navigate"}
LINKS = range(2, 26)


def register_environments() -> None:
    """Register ``Swim6-v0``, ``SwimSpeed6-v0`` and ``Navigate6-v0``, for 2 to 25 links, and ``GymnasiumSwimmer-v0``.

    Any argument of ``SwimmerEnv`` can be given to ``gymnasium.make``, ``body`` among them. The horizon is not part of
    the specification, since the environments truncate their episodes themselves.
    """
    for prefix, task in TASK_OF_PREFIX.items():
        for links in LINKS:
            _register(f"{prefix}{links}-v0", task=task, body=f"swimmer-{links}")
    _register("GymnasiumSwimmer-v0", task="gymnasium-forward", body="gymnasium-swimmer")


def _register(name: str, *, task: str, body: str) -> None:
    if name not in gymnasium.registry:
        gymnasium.register(
            name,
            entry_point="wormwood.envs.faces.gymnasium:SwimmerEnv",
            vector_entry_point="wormwood.envs.faces.vector:SwimmerVectorEnv",
            kwargs={"task": task, "body": body},
        )
