"""PPO of perceptrons and circuits without torch: an update is one compiled call."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from wormwood.agents.learning.compiled.acting import evaluate
from wormwood.agents.learning.compiled.descent import Descent, unbounded
from wormwood.agents.learning.compiled.heads import build_head
from wormwood.agents.learning.compiled.matrices import padded
from wormwood.agents.learning.compiled.networks import Networks
from wormwood.agents.learning.compiled.perceptrons import Singles, build, layers
from wormwood.agents.learning.compiled.policy_gradient import Experience, Objective
from wormwood.agents.learning.compiled.updates import Progress, update
from wormwood.agents.learning.interfaces import Fragment, Transitions
from wormwood.agents.learning.on_policy.actors import make_actor
from wormwood.agents.learning.on_policy.moments import RunningMoments
from wormwood.agents.learning.on_policy.networks import initial_critic, layer_sizes
from wormwood.agents.learning.ppo_settings import PPOConfig
from wormwood.agents.learning.returns import generalized_advantages
from wormwood.agents.learning.transitions import collate
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.perceptron import input_columns
from wormwood.agents.policies.table import AgentConfig
from wormwood.envs.randomness import stream
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["CompiledPPOLearner"]

CHUNK = 1024
"""Observations that are judged at once."""


class CompiledPPOLearner:
    """Improves a perceptron or a circuit by policy gradients, with a perceptron as its critic."""

    def __init__(
        self, config: PPOConfig, agent: AgentConfig, weights: Arrays, *, spec: EnvironmentSpec, seed: int
    ) -> None:
        """Start from ``weights``; the noise is that of the settings.

        Raises:
            BadInput: they were made for another observation, or other actions.
        """
        self._config, self._seed = config, seed
        self._updates, self._passes = 0, 0
        rows = max(CHUNK, min(config.batch_size, config.environments * config.steps))
        self._actor = make_actor(agent, weights, spec, rows=rows)
        self._columns, self._moments = input_columns(spec.layout), RunningMoments(spec.layout, weights)
        critic = initial_critic(len(self._columns), config.critic_hidden, stream(seed, "update", 0))
        inputs, *units = layer_sizes(critic)
        network, end = build(inputs, units, activation="tanh", first=self._actor.end, rows=rows)
        learned = config.learn_noise and not spec.actions.choices
        head = build_head(spec.actions.choices, spec.actions.outputs, log_std=end, learned=learned)
        self._networks = Networks(self._actor.network, network, head, end + padded(spec.actions.outputs))
        self._progress = self._start(weights, critic)

    def _start(self, weights: Arrays, critic: Arrays) -> Progress:
        """Return the parameters that learning starts from, and an optimiser that remembers nothing."""
        parameters, rates, mean, square = (np.zeros(self._networks.size, dtype=np.float32) for _ in range(4))
        low, high = (np.full(self._networks.size, end, dtype=np.float32) for end in (-np.inf, np.inf))
        initial = {f"actor/{name}": values for name, values in weights.items()}
        initial |= {f"critic/{name}": values for name, values in critic.items()}
        initial["log_std"] = np.array(math.log(self._config.noise_std))
        for name, part in self._named(parameters).items():
            part[...] = initial[name]
        for name, part in self._named(rates).items():
            part[...] = self._config.critic_rate if name.startswith("critic/") else self._config.actor_rate
        for ends, side in ((low, 0), (high, 1)):
            parts = self._actor.parts(ends)
            for name, bounds in self._actor.bounds.items():
                parts[name][...] = bounds[side]
        if not self._actor.bounds:
            low = high = unbounded()
        else:
            np.clip(parameters, low, high, out=parameters)
        return Progress(parameters, Descent(True, rates, mean, square, 0.9, 0.999, 1e-5, low, high), 0)

    def _named(self, flat: Singles) -> dict[str, Singles]:
        """Return the parts of a flat array as views: ``actor/...``, ``critic/layer0_weight`` and so on, ``log_std``."""
        parts = {f"actor/{name}": part for name, part in self._actor.parts(flat).items()}
        for index, (weight, bias) in enumerate(layers(self._networks.critic, flat)):
            parts |= {f"critic/layer{index}_weight": weight, f"critic/layer{index}_bias": bias}
        if self._networks.head.numbers:
            first = self._networks.head.log_std
            parts["log_std"] = flat[first : first + self._networks.head.numbers]
        return parts

    def weights(self) -> Arrays:
        return self.policy_weights()

    def policy_weights(self) -> Arrays:
        weights: Arrays = {
            name.removeprefix("actor/"): part.astype(np.float64)
            for name, part in self._named(self._progress.parameters).items()
            if not name.startswith("critic/")
        }
        moments = self._moments.weights() if self._actor.standardized() else {}
        return weights | {name: values.copy() for name, values in self._actor.fixed.items()} | moments

    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        config, transitions = self._config, collate(fragments)
        if transitions.reward.size > config.environments * config.steps:  # kernels check no index
            expected = config.environments * config.steps
            raise ValueError(f"{transitions.reward.size} transitions where an iteration has {expected}")
        data = self._experience(transitions)
        self._updates += 1
        rng, rows = stream(self._seed, "update", self._updates), len(data.returns)
        orders = np.stack([rng.permutation(rows) for _ in range(config.epochs)])
        outcome = update(
            self._networks, self._progress, _objective(config), data, orders, batch_size=min(config.batch_size, rows)
        )
        # After the update: the actions of this experience were chosen with what was known before it.
        self._moments.update(transitions.observation)
        log_std = self._named(self._progress.parameters).get("log_std")
        self._passes += outcome.passes
        metrics = outcome.metrics() | {
            "explained_variance": _explained_variance(data),
            "n_updates": float(self._passes),
            "learning_rate": config.critic_rate,
            "clip_range": config.clip_range,
        }
        return metrics | ({} if log_std is None else {"std": float(np.exp(log_std).mean())})

    def _experience(self, transitions: Transitions) -> Experience:
        """Judge what was collected, and return it as one row for each transition."""
        config, reward = self._config, transitions.reward.copy()
        steps, environments = reward.shape
        judged = self._judged(transitions.observation)
        values = self._values(judged).reshape(steps, environments)
        # Episodes that were cut were not lost: what they would have earned is estimated.
        cut = transitions.truncated
        reward[cut] += config.gamma * self._values(self._judged(transitions.final_observation))
        advantages = generalized_advantages(
            reward,
            values,
            self._values(self._judged(transitions.next_observation)),
            transitions.terminated | cut,
            gamma=config.gamma,
            lambda_=config.gae_lambda,
        )
        rows = steps * environments
        seen = self._actor.inputs(transitions.observation, self._moments)
        singles = [transitions.log_prob, values, advantages, advantages + values]
        actions = np.ascontiguousarray(transitions.action.reshape(rows, -1), dtype=np.float32)
        return Experience(seen, judged, actions, *(each.reshape(rows).astype(np.float32) for each in singles))

    def _judged(self, observation: Floats) -> Singles:
        """Return what the critic looks at ``[N, C]`` of observations ``[..., D]``: all but the clock, standardised."""
        standard = self._moments.standardize(observation)
        return np.ascontiguousarray(standard.reshape(-1, standard.shape[-1])[:, self._columns])

    def _values(self, inputs: Singles) -> Floats:
        """Return values ``[N]``."""
        values = np.empty(len(inputs), dtype=np.float32)
        evaluate(self._networks.critic, self._progress.parameters, inputs, values)
        return values.astype(np.float64)

    def state(self) -> Arrays:
        arrays: Arrays = {f"{name}/{part}": values.copy() for name, part, values in self._parts()}
        moments = {"mean": self._moments.mean, "variance": self._moments.variance}
        counters = {
            "updates": self._updates,
            "passes": self._passes,
            "gradient_steps": self._progress.steps,
            "moments/count": self._moments.count,
        }
        arrays |= {f"moments/{name}": values.copy() for name, values in moments.items()}
        arrays |= {f"fixed/{name}": values.copy() for name, values in self._actor.fixed.items()}
        return arrays | {name: np.array(value) for name, value in counters.items()}

    def restore(self, state: Arrays) -> None:
        for name, part, values in self._parts():
            values[...] = state[f"{name}/{part}"]
        self._actor.fix({name: state[f"fixed/{name}"] for name in self._actor.fixed})
        self._networks = self._networks._replace(actor=self._actor.network)
        self._moments.mean, self._moments.variance = state["moments/mean"].copy(), state["moments/variance"].copy()
        self._moments.count = float(state["moments/count"])
        self._updates, self._passes = int(state["updates"]), int(state["passes"])
        self._progress.steps = int(state["gradient_steps"])

    def _parts(self) -> list[tuple[str, str, Singles]]:
        """Return each part of what is learned and remembered: whose it is, its name, and a view of it."""
        progress = self._progress
        owners = {"parameters": progress.parameters, "mean": progress.descent.mean, "square": progress.descent.square}
        return [(owner, name, view) for owner, flat in owners.items() for name, view in self._named(flat).items()]


def _objective(config: PPOConfig) -> Objective:
    return Objective(
        surrogate=True,
        clip_range=config.clip_range,
        value_clip=math.inf,
        value_coefficient=config.value_coefficient,
        entropy_coefficient=config.entropy_coefficient,
        max_grad_norm=config.max_grad_norm,
        target_kl=math.inf if config.target_kl is None else config.target_kl,
        normalize=config.normalize_advantage,
    )


def _explained_variance(data: Experience) -> float:
    """Return by how much less the returns vary around the values than around their mean, as a share."""
    variance = float(data.returns.var())
    return 1.0 - float((data.returns - data.values).var()) / variance if variance else math.nan
