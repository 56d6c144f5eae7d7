"""Stable-Baselines3's ``MlpPolicy`` with Gaussian actions, acting in NumPy: for few rows a tenth of torch's time.

Only the actor is here; values are computed for many observations at once, at which torch is good.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from torch import nn

__all__ = ["GaussianPerceptron", "has_twin"]

Singles = NDArray[np.float32]
ACTIVATIONS: dict[type[nn.Module], Callable[[Singles], Singles]] = {
    nn.Tanh: np.tanh,
    nn.ReLU: lambda x: np.maximum(x, np.float32(0.0)),
}
LARGEST_PRODUCT = 2**18
"""Multiplications of a layer up to which NumPy computes on one thread, whatever it is allowed: bits depend on it."""
LOG_ROOT_TWO_PI = np.float32(math.log(math.sqrt(2.0 * math.pi)))


def has_twin(policy: Any, rows: int) -> bool:
    """Return whether ``GaussianPerceptron`` is this policy's actor, for as many observations at once.

    It is where nothing of SB3's ``MlpPolicy`` is overridden, its layers are linear, tanh or ReLU, observations are
    one array and no images, actions are Gaussian without a squashing or state-dependent noise, and layers are not so
    large that torch would be as fast.
    """
    methods = ("get_distribution", "extract_features", "_get_action_dist_from_latent")
    if not all(getattr(type(policy), name, None) is getattr(ActorCriticPolicy, name) for name in methods):
        return False
    if type(getattr(policy, "mlp_extractor", None)) is not MlpExtractor:
        return False
    layers = _layers(policy)
    return (
        isinstance(policy.observation_space, Box)
        and not is_image_space(policy.observation_space)
        and type(policy.pi_features_extractor) is FlattenExtractor
        and type(policy.action_dist) is DiagGaussianDistribution
        and all(type(each) in (nn.Linear, *ACTIVATIONS) for each in layers)
        and not any(each._forward_hooks or each._forward_pre_hooks for each in layers)
        and all(rows * each.weight.numel() <= LARGEST_PRODUCT for each in layers if isinstance(each, nn.Linear))
    )


class GaussianPerceptron:
    """``a ~ N(W_n f(... f(W_0 x + b_0) ...) + b_n, exp(log_std)²)``, in single precision.

    Means and densities are those of torch within its rounding, and the noise comes from torch's global generator in
    the order of SB3's own loop: under the same seed, actions are the same but for that rounding.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        """Take the weights of a policy that has this twin; where they are on the CPU, they stay the policy's own."""
        self._layers: list[tuple[Singles, Singles] | Callable[[Singles], Singles]] = [
            (_array(each.weight).T, _array(each.bias)) if isinstance(each, nn.Linear) else ACTIVATIONS[type(each)]
            for each in _layers(policy)
        ]
        self._log_std = _array(policy.log_std)

    def mean(self, observation: NDArray[Any]) -> Singles:
        """Return the most likely actions ``[N, J]`` for observations ``[N, ...]``."""
        x = observation.reshape(len(observation), -1).astype(np.float32)
        for layer in self._layers:
            if isinstance(layer, tuple):
                weight, bias = layer
                x = x @ weight
                x += bias
            else:
                x = layer(x)
        return x

    def sample(self, observation: NDArray[Any]) -> tuple[Singles, Singles]:
        """Draw actions ``[N, J]`` for observations ``[N, ...]``; also return their log densities ``[N]``."""
        mean, deviation = self.mean(observation), np.exp(self._log_std)
        actions = torch.randn(mean.shape).numpy() * deviation + mean
        # From the rounded actions, as whoever learns from them will compute it.
        squares = (actions - mean) ** 2 / (2.0 * deviation**2)
        return actions, -(squares + self._log_std + LOG_ROOT_TWO_PI).sum(axis=1)


def _layers(policy: ActorCriticPolicy) -> list[nn.Module]:
    return [*policy.mlp_extractor.policy_net, policy.action_net]


def _array(parameter: torch.Tensor) -> Singles:
    values: Singles = parameter.detach().cpu().numpy()
    return values
