"""Plays slices of gbrl and XGBoost: run by path, in an environment of its own that has both and not this package.

It reads one JSON object a line, ``{"peer": ..., "play": ..., further arguments}``, and answers each with one that holds
the calls per CPU second. The package imports it for the data that both sides are given.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "BATCH",
    "CLIPS",
    "CLIP_RANGE",
    "DEPTH",
    "FEATURES",
    "MINIBATCH",
    "OUTPUTS",
    "RATES",
    "SLICE",
    "TABLE_OUTPUTS",
    "TABLE_RATE",
    "TREES",
    "VALUE_COEFFICIENT",
    "make_rows",
    "make_table_batch",
    "speed_of",
    "table_speed",
]

FEATURES, OUTPUTS, DEPTH = 20, 7, 4
TREES = 10_000  # of the ensembles that predict
# They grow on few rows and bins, or this takes half an hour: enough rows for all 16 leaves, which is what costs.
GROWN_ROWS, GROWN_BINS = 256, 4
BATCH, TABLE_OUTPUTS, TABLE_RATE = 128, 3, 0.1  # of the speed table in arXiv 2407.08250
MINIBATCH, RATES, CLIPS, CLIP_RANGE, VALUE_COEFFICIENT = 64, (0.029, 0.015), (100.0, 10.0), 0.2, 0.87  # its CartPole
SLICE = 0.02  # s
MOST_BINS = 256

Floats = npt.NDArray[Any]


def make_rows(count: int) -> tuple[Floats, Floats]:
    """Return features ``[count, FEATURES]``, and gradients ``[count, OUTPUTS]`` that depend on some of them."""
    generator = np.random.default_rng(count)
    features = generator.normal(size=(count, FEATURES))
    return features, generator.normal(size=(count, OUTPUTS)) + features[:, :OUTPUTS]


def make_table_batch(iteration: int) -> tuple[Floats, Floats]:
    """Return one batch of the speed table's loop, other features and targets in each iteration."""
    features = np.random.default_rng(iteration).normal(size=(BATCH, FEATURES))
    return features, np.sin(features[:, :TABLE_OUTPUTS]) + features[:, 3:4]


def speed_of(call: Callable[[], object]) -> float:
    """Return calls per CPU second, over at least one call and a slice of time."""
    calls, began = 0, time.process_time()
    while True:
        call()
        calls += 1
        passed = time.process_time() - began
        if passed >= SLICE:
            return calls / passed


def table_speed(step: Callable[[Floats, Floats], None], batches: Sequence[tuple[Floats, Floats]]) -> float:
    """Return iterations per CPU second of the speed table's loop, over some of its batches."""
    began = time.process_time()
    for features, targets in batches:
        step(features, targets)
    return len(batches) / (time.process_time() - began)


class Gbrl:
    """gbrl on the CPU, at its most bins, with quantile candidates and the cosine score."""

    def __init__(self, grower: str) -> None:
        """Grow trees that are ``"greedy"`` or ``"oblivious"``."""
        self._structure = {"max_depth": DEPTH, "grow_policy": grower, "min_data_in_leaf": 1, "par_th": 2}
        self._updates: dict[str, Any] = {}

    def fit(self, rows: int) -> float:
        """Fit one tree to new data."""
        features, gradients = _singles(make_rows(rows))
        model = self._model(OUTPUTS)
        return speed_of(lambda: model.step(features, gradients))

    def predict(self, rows: int) -> float:
        """Predict with ``TREES`` trees."""
        features, _ = _singles(make_rows(rows))
        model = self._predictor
        return speed_of(lambda: model(features, requires_grad=False, tensor=False))

    def table(self, begin: int, end: int) -> float:
        """Play some iterations of the speed table's loop, from the first on in order."""
        if begin == 0:
            self._table = self._model(TABLE_OUTPUTS, rate=TABLE_RATE)
        return table_speed(self._step_table, _single_batches(begin, end))

    def set_experience(self, **experience: Any) -> float:
        """Take the rollout that updates learn from: observation, action, advantage and target."""
        self._experience = {name: np.asarray(values, np.float32) for name, values in experience.items()}
        return 1.0

    def update(self, trees: int) -> float:
        """Update an actor-critic that has grown so many trees on noise, by PPO; see ``set_experience``."""
        torch: Any = importlib.import_module("torch")
        grown = self._actor_critic(trees)
        model = grown.copy() if trees else self._new_actor_critic()
        observation = self._experience["observation"]
        logits = torch.as_tensor(model(observation, requires_grad=False, tensor=False)[0])
        action, advantage, target = (
            torch.as_tensor(self._experience[name]) for name in ("action", "advantage", "target")
        )
        old = torch.distributions.Categorical(logits=logits).log_prob(action)
        order = np.random.default_rng(trees).permutation(len(observation))
        began = time.process_time()
        for first in range(0, len(order), MINIBATCH):
            rows = order[first : first + MINIBATCH]
            logits, values = model(observation[rows])
            log_prob = torch.distributions.Categorical(logits=logits).log_prob(action[rows])
            chosen_advantage = advantage[rows]
            chosen_advantage = (chosen_advantage - chosen_advantage.mean()) / (chosen_advantage.std() + 1e-8)
            ratio = torch.exp(log_prob - old[rows])
            gain = torch.min(
                ratio * chosen_advantage, torch.clamp(ratio, 1 - CLIP_RANGE, 1 + CLIP_RANGE) * chosen_advantage
            ).mean()
            error = torch.nn.functional.mse_loss(values, target[rows])
            (VALUE_COEFFICIENT * error - gain).backward()
            model.step(policy_grad_clip=CLIPS[0], value_grad_clip=CLIPS[1])
        return 1.0 / (time.process_time() - began)

    def _model(self, outputs: int, *, rate: float = 0.01, bins: int = MOST_BINS) -> Any:
        models: Any = importlib.import_module("gbrl.models.gbt")
        return models.GBTModel(
            tree_struct={**self._structure, "n_bins": bins},
            input_dim=FEATURES,
            output_dim=outputs,
            optimizers=_rate(rate, 0, outputs),
            params=_SCORE,
        )

    @functools.cached_property
    def _predictor(self) -> Any:
        model = self._model(OUTPUTS, bins=GROWN_BINS)
        return _grown(lambda features, gradients: model.step(features, gradients), model)

    def _step_table(self, features: Floats, targets: Floats) -> None:
        outputs = self._table(features, requires_grad=False, tensor=False)
        self._table.step(features, outputs - targets)

    def _new_actor_critic(self) -> Any:
        models: Any = importlib.import_module("gbrl.models.actor_critic")
        logits = 2
        return models.ActorCritic(
            tree_struct={**self._structure, "n_bins": MOST_BINS},
            input_dim=self._experience["observation"].shape[1],
            output_dim=logits + 1,
            policy_optimizer=_rate(RATES[0], 0, logits),
            value_optimizer=_rate(RATES[1], logits, logits + 1),
            params=_SCORE,
        )

    def _actor_critic(self, trees: int) -> Any:
        """Return an actor-critic that has grown so many trees on noise. It is kept."""
        key = str(trees)
        if key not in self._updates:
            model, generator = self._new_actor_critic(), np.random.default_rng(trees)
            observation = self._experience["observation"]
            for _ in range(trees):
                rows = generator.choice(len(observation), MINIBATCH, replace=False)
                noise = generator.normal(size=(MINIBATCH, 3)).astype(np.float32)
                model.step(observation[rows], noise[:, :2], noise[:, 2])
            self._updates[key] = model
        return self._updates[key]


class XGBoost:
    """XGBoost's trees with vectors in the leaves, of at most 256 bins, or as many as a matrix that is kept has."""

    def fit(self, rows: int) -> float:
        """Fit one more tree to new data, binning included."""
        features, gradients = _singles(make_rows(rows))
        booster = self._booster(features, OUTPUTS)

        def fit() -> None:
            booster.bin(features)
            booster.fit(gradients)

        return speed_of(fit)

    def fit_kept(self, rows: int, bins: int) -> float:
        """Fit one more tree on a matrix that is binned already."""
        features, gradients = _singles(make_rows(rows))
        booster = self._booster(features, OUTPUTS, bins=bins)
        return speed_of(lambda: booster.fit(gradients))

    def predict(self, rows: int) -> float:
        """Predict with ``TREES`` trees."""
        features, _ = _singles(make_rows(rows))
        booster = self._predictor.booster
        return speed_of(lambda: booster.inplace_predict(features))

    def table(self, begin: int, end: int) -> float:
        """Play some iterations of the speed table's loop, from the first on in order."""
        if begin == 0:
            self._table = self._booster(_singles(make_table_batch(0))[0], TABLE_OUTPUTS, rate=TABLE_RATE)
        return table_speed(self._step_table, _single_batches(begin, end))

    def _booster(self, features: Floats, outputs: int, *, bins: int = MOST_BINS, rate: float = 0.01) -> _Booster:
        return _Booster(features, {"num_target": outputs, "max_bin": bins, "learning_rate": rate})

    @functools.cached_property
    def _predictor(self) -> _Booster:
        features, _ = _singles(make_rows(GROWN_ROWS))
        booster = self._booster(features, OUTPUTS, bins=GROWN_BINS)
        _grown(lambda features, gradients: booster.fit(gradients), booster)
        return booster

    def _step_table(self, features: Floats, targets: Floats) -> None:
        outputs = self._table.booster.inplace_predict(features)
        self._table.bin(features)
        self._table.fit(outputs - targets)


class _Booster:
    """A booster and the binned matrix that it fits next."""

    def __init__(self, features: Floats, settings: dict[str, Any]) -> None:
        self._xgboost: Any = importlib.import_module("xgboost")
        self._bins, self._rounds = settings["max_bin"], 0
        self._first = self.bin(features)  # without it, boost fails later
        fixed = {"tree_method": "hist", "multi_strategy": "multi_output_tree", "max_depth": DEPTH, "reg_lambda": 0}
        quiet = {"base_score": 0, "nthread": 1, "verbosity": 0}
        self.booster = self._xgboost.Booster({**fixed, **quiet, **settings}, [self._first])

    def bin(self, features: Floats) -> Any:
        self._matrix = self._xgboost.QuantileDMatrix(features, max_bin=self._bins, nthread=1)
        return self._matrix

    def fit(self, gradients: Floats) -> None:
        self.booster.boost(self._matrix, self._rounds, grad=gradients, hess=np.ones_like(gradients))
        self._rounds += 1


_SCORE = {"split_score_func": "cosine", "generator_type": "Quantile", "control_variates": False}


def _rate(rate: float, begin: int, end: int) -> dict[str, Any]:
    return {"algo": "SGD", "lr": rate, "start_idx": begin, "stop_idx": end}


def _singles(arrays: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Both peers compute in single precision: they get it, so that they convert nothing."""
    return arrays[0].astype(np.float32), arrays[1].astype(np.float32)


def _single_batches(begin: int, end: int) -> list[tuple[Floats, Floats]]:
    return [_singles(make_table_batch(iteration)) for iteration in range(begin, end)]


def _grown(fit: Callable[[Floats, Floats], object], model: Any) -> Any:
    features, _ = _singles(make_rows(GROWN_ROWS))
    generator = np.random.default_rng(0)
    for _ in range(TREES):
        fit(features, generator.normal(size=(GROWN_ROWS, OUTPUTS)).astype(np.float32))
    return model


def _main() -> None:
    # What the libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for name in ("gbrl.models.actor_critic", "xgboost"):
        importlib.import_module(name)
    importlib.import_module("torch").set_num_threads(1)
    peers: dict[str, Any] = {"gbrl": Gbrl("greedy"), "gbrl_oblivious": Gbrl("oblivious"), "xgboost": XGBoost()}
    answer: dict[str, Any] = {name: importlib.metadata.version(name) for name in ("gbrl", "xgboost")}
    print(json.dumps(answer), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        peer, play = peers[request.pop("peer")], request.pop("play")
        print(json.dumps({"speed": getattr(peer, play)(**request)}), file=answers, flush=True)


if __name__ == "__main__":
    _main()
