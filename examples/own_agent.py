"""An agent of your own in one file: a travelling wave of three numbers, searched by CMA-ES.

wormwood train examples/own_agent.yaml --workers 2 --out runs/wave
wormwood evaluate runs/wave --body swimmer-6 swimmer-12
wormwood transfer runs/wave ncap --suite quick --out runs/wave-transfer
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from wormwood import Parameter, SearchSpace


@dataclass(frozen=True)
class WaveSettings:
    """What stands beside ``kind`` in the YAML file; checked like the settings of any other agent."""

    period: Annotated[float, Field(gt=0)] = 60.0
    """Control steps of a period at the start."""


class Wave:
    """Joint j pulls with ``strength · sin(2π (t / period - j · delay))``; t is the last number of the observation."""

    Settings = WaveSettings

    def __init__(self, settings, weights, spec):
        self.weights, self.joints = weights, np.arange(spec.actions.size)

    @staticmethod
    def initial_weights(settings, spec, rng):
        return {"strength": np.array(0.5), "period": np.array(settings.period), "delay": np.array(0.1)}

    @staticmethod
    def search_space(settings, weights):
        return SearchSpace(tuple(Parameter(name, sign=1, low=0.01, high=100) for name in weights))

    def act(self, observation, state, rng):
        phase = observation[:, -1:] / self.weights["period"] - self.joints * self.weights["delay"]
        return self.weights["strength"] * np.sin(2 * np.pi * phase), state, {}
