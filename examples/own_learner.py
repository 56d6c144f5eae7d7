"""A learner of your own in one file: random search around the best weights so far (Matyas 1965).

wormwood train examples/own_learner.yaml --workers 2 --out runs/search"""

from dataclasses import dataclass

import numpy as np

from wormwood import SampleRequirements, candidate_returns, stream


@dataclass(frozen=True)
class RandomSearchSettings:
    candidates: int = 8
    noise: float = 0.1


class RandomSearch:
    Settings = RandomSearchSettings

    def __init__(self, settings, weights, context):
        self.settings, self.seed, self.tries = settings, context.seed, 0
        self.best, self.best_return = weights, -np.inf

    @staticmethod
    def requirements(settings, spec):  # one whole episode of each candidate
        return SampleRequirements(settings.candidates, spec.horizon, population=settings.candidates)

    def weights(self):  # the same candidates until the next update, so that they need not be kept
        rng, count = stream(self.seed, "update", self.tries), self.settings.candidates
        return {k: v + self.settings.noise * rng.normal(size=(count, *v.shape)) for k, v in self.best.items()}

    def update(self, fragments, iteration):
        returns = candidate_returns(fragments, population=self.settings.candidates)
        if returns.max() > self.best_return:
            self.best = {name: values[returns.argmax()] for name, values in self.weights().items()}
            self.best_return = returns.max()
        self.tries += 1
        return {"return_best": self.best_return}

    def policy_weights(self):
        return self.best

    def state(self):
        return {**self.best, "tries": np.array(self.tries), "best_return": np.array(self.best_return)}

    def restore(self, state):
        self.tries, self.best_return = int(state["tries"]), float(state["best_return"])
        self.best = {name: state[name] for name in self.best}
