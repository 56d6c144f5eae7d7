"""A task of your own in one file: swim backwards.

wormwood train examples/own_task.yaml --workers 2 --out runs/backwards
wormwood evaluate runs/backwards --body swimmer-6 swimmer-12

In a script of Stable-Baselines3: make_swimmers("swimmer-6", 16, task=SwimBackwards(horizon=500)).
"""

from dataclasses import dataclass

import numpy as np

from wormwood import Swim, forward_speed


@dataclass(frozen=True)
class SwimBackwards(Swim):
    """Swim, but for its reward: ``clip(-v / target, 0, 1)`` for a forward speed of the head of ``v`` m/s."""

    name: str = "swim-backwards"
    target: float = 0.1
    """Speed in m/s at which swimming earns the whole reward; every field is an option in YAML."""

    def reward(self, readings, goal, action, timestep):
        # Methods of a task are functions of arrays whose first axis is the environment.
        return np.clip(-forward_speed(readings) / self.target, 0.0, 1.0)
