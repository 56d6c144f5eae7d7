"""Recurrent actor-critics in torch; ``gru.py`` and ``policy.py`` have the equations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from wormwood.agents.learning.memory.network import MemoryNetwork
from wormwood.agents.learning.recurrent.transformer import LinearTransformerCore
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["CORES", "GRUCore", "RecurrentActorCritic", "TorchCore", "action_likelihood"]

State = Mapping[str, Tensor]
"""What a core remembers: tensors of one row for each trial."""


class TorchCore(Protocol):
    """What remembers, as a torch module."""

    features: int

    def initial_state(self, count: int) -> State:
        """Return what ``count`` trials begin with."""

    def __call__(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run over inputs ``[T, N, D]``, and return the features ``[T, N, F]`` and the state behind them."""

    def weights(self) -> Arrays:
        """Return the weights for the core in NumPy."""


class GRUCore(nn.Module):
    """The gated recurrent unit of ``gru.GRU``."""

    def __init__(self, weights: Arrays) -> None:
        """Take the weights of ``gru.initial_weights``."""
        super().__init__()
        inputs, columns = weights["input_weight"].shape
        self.features: int = columns // 3
        self.unit = nn.GRU(inputs, self.features)
        with torch.no_grad():
            for name, parameter in self._named().items():
                parameter.copy_(torch.tensor(weights[name].T))

    def _named(self) -> dict[str, nn.Parameter]:
        unit = self.unit
        return {
            "input_weight": unit.get_parameter("weight_ih_l0"),
            "hidden_weight": unit.get_parameter("weight_hh_l0"),
            "input_bias": unit.get_parameter("bias_ih_l0"),
            "hidden_bias": unit.get_parameter("bias_hh_l0"),
        }

    def initial_state(self, count: int) -> State:
        return {"hidden": torch.zeros(count, self.features, device=self.unit.get_parameter("weight_hh_l0").device)}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        features, hidden = self.unit(x, state["hidden"][None].contiguous())
        return features, {"hidden": hidden[0]}

    def weights(self) -> Arrays:
        return {name: _numbers(parameter).T.copy() for name, parameter in self._named().items()}


class MemoryCore(nn.Module):
    """The memory network, step after step."""

    def __init__(self, config: MemoryConfig, weights: Arrays, inputs: int) -> None:
        """Take the weights of ``memory_numpy.initial_weights``."""
        super().__init__()
        self.network = MemoryNetwork(config, inputs)
        self.features: int = self.network.features
        parameters = self.network.state_dict()
        self.network.load_state_dict({name: torch.tensor(weights[name], dtype=torch.float32) for name in parameters})

    def initial_state(self, count: int) -> State:
        return self.network.initial_state(count)

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        features, state_t = [], dict(state)
        for x_t in x:
            feature, state_t = self.network(x_t, state_t)
            features.append(feature)
        return torch.stack(features), state_t

    def weights(self) -> Arrays:
        return self.network.weights()


CORES: dict[str, Callable[[Any, Arrays, int], Any]] = {
    "gru": lambda config, weights, inputs: GRUCore(weights),
    "memory": MemoryCore,
    "linear-transformer": LinearTransformerCore,
}
"""(config, weights, inputs) -> the core of each kind of recurrent agent."""


class RecurrentActorCritic(nn.Module):
    """A core with one linear head for actions and one for values, which begins at 0."""

    def __init__(self, config: Any, weights: Arrays, spec: EnvironmentSpec, *, noise_std: float) -> None:
        """Take the weights of ``policy.initial_weights``; ``noise_std`` is of actions that are numbers."""
        super().__init__()
        self.choices = spec.actions.choices
        self.core: Any = CORES[config.kind](config, weights, spec.layout.size)
        self.policy = nn.Linear(self.core.features, spec.actions.outputs)
        self.value = nn.Linear(self.core.features, 1)
        with torch.no_grad():
            self.policy.weight.copy_(torch.tensor(weights["policy_weight"].T))
            self.policy.bias.copy_(torch.tensor(weights["policy_bias"]))
            nn.init.zeros_(self.value.weight)
            nn.init.zeros_(self.value.bias)
        if not self.choices:
            start = torch.full((spec.actions.outputs,), noise_std).log()
            self.log_std = nn.Parameter(torch.tensor(weights["log_std"]).float() if "log_std" in weights else start)

    def forward(self, observation: Tensor, starts: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Run over ``[T, N, D]`` observations.

        Args:
            observation: what was acted on.
            starts: ``[T, N]`` the step begins a trial.
            state: before the first step, which no trial needs that begins there; it may be empty then.

        Returns:
            The outputs ``[T, N, O]``, the values ``[T, N]``, and the state behind the last step.
        """
        bounds = sorted({0, len(observation), *torch.nonzero(starts.any(1)).flatten().tolist()})
        fresh = self.core.initial_state(observation.shape[1])
        parts = []
        for begin, end in itertools.pairwise(bounds):
            state = _begun(state, fresh, starts[begin]) if state else fresh
            features, state = self.core(observation[begin:end], state)
            parts.append(features)
        features = torch.cat(parts)
        return self.policy(features), self.value(features)[..., 0], state

    def policy_weights(self) -> Arrays:
        """Return the weights for the policy in NumPy, in float64."""
        head = {"policy_weight": _numbers(self.policy.weight).T.copy(), "policy_bias": _numbers(self.policy.bias)}
        noise = {} if self.choices else {"log_std": _numbers(self.log_std)}
        return {**self.core.weights(), **head, **noise}

    def likelihood(self, outputs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithm of the probability of actions, and the entropy, both ``[..]``; see the function."""
        return action_likelihood(outputs, action, choices=self.choices, log_std=None if self.choices else self.log_std)


def action_likelihood(
    outputs: Tensor, action: Tensor, *, choices: tuple[int, ...], log_std: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the logarithm of the probability or density of actions, and the entropy.

    Args:
        outputs: ``[.., O]`` means of numbers, or logits of choices.
        action: ``[.., J]`` numbers, or ``[.., K]`` alternatives.
        choices: alternatives of each choice; empty where actions are numbers.
        log_std: ``[J]`` logarithm of the noise of numbers.
    """
    if log_std is not None:
        z = (action - outputs) / log_std.exp()
        log_prob = -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1) - log_std.sum()
        entropy = log_std.sum() + 0.5 * len(log_std) * math.log(2 * math.pi * math.e)
        return log_prob, entropy.expand_as(log_prob)
    log_prob, entropy = torch.zeros_like(outputs[..., 0]), torch.zeros_like(outputs[..., 0])
    for k, logits in enumerate(torch.split(outputs, list(choices), dim=-1)):
        logs = logits.log_softmax(-1)
        log_prob = log_prob + logs.gather(-1, action[..., k, None])[..., 0]
        entropy = entropy - (logs.exp() * logs).sum(-1)
    return log_prob, entropy


def _begun(state: State, fresh: State, starts: Tensor) -> State:
    """Return the state with a fresh one where a trial begins, which ``starts [N]`` says."""
    return {
        name: torch.where(starts.reshape(-1, *[1] * (values.ndim - 1)), fresh[name], values)
        for name, values in state.items()
    }


def _numbers(parameter: Tensor) -> Any:
    return parameter.detach().cpu().double().numpy().copy()
