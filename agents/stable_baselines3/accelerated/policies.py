"""The networks of Stable-Baselines3's ``MlpPolicy`` as kernels want them, and back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, MlpExtractor
from torch import nn

from wormwood.agents.learning.compiled.networks import Networks, build_networks
from wormwood.agents.learning.compiled.perceptrons import Singles, layers
from wormwood.errors import bad_input

__all__ = ["check_policy", "features_of", "networks_of", "parameter_views", "read_parameters"]

ACTIVATIONS: dict[type[nn.Module], str] = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.ELU: "elu", nn.GELU: "gelu"}
DISTRIBUTIONS = (DiagGaussianDistribution, CategoricalDistribution, MultiCategoricalDistribution)
CHUNK = 8192
"""Observations whose features are computed at once."""


def check_policy(policy: Any, *, where: str) -> None:
    """Check that a policy is what ``networks_of`` can describe.

    Raises:
        BadInput: it is not SB3's ``MlpPolicy`` or ``MultiInputPolicy``, or has layers that learn in its extractor,
            other layers or activations, or gSDE.
    """
    for expected, got in _problems(policy):
        raise bad_input("policy", where=where, expected=expected, got=got)


def _problems(policy: Any) -> Any:
    """Give what is expected of a policy, and what it has in its place."""
    ours = ("forward", "evaluate_actions", "extract_features", "_get_action_dist_from_latent", "predict_values")
    for name in ours:
        if getattr(type(policy), name, None) is not getattr(ActorCriticPolicy, name):
            yield f"MlpPolicy or MultiInputPolicy, with their own {name}", type(policy).__name__
            return
    extractors = {policy.features_extractor, policy.pi_features_extractor, policy.vf_features_extractor}
    for extractor in extractors:
        if type(extractor) not in (FlattenExtractor, CombinedExtractor) or list(extractor.parameters()):
            yield (
                "a features extractor without layers: FlattenExtractor, or CombinedExtractor without images",
                extractor,
            )
    if type(policy.action_dist) not in DISTRIBUTIONS:
        yield "actions of a Gaussian without gSDE, or choices", type(policy.action_dist).__name__
    if type(policy.mlp_extractor) is not MlpExtractor:
        yield "separate networks of actor and critic by net_arch", type(policy.mlp_extractor).__name__
        return
    yield from _layer_problems(policy)


def _layer_problems(policy: Any) -> Any:
    hidden = (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net)
    known = ", ".join(kind.__name__ for kind in ACTIVATIONS)
    for net in hidden:
        for place, module in enumerate(net):
            if not (type(module) in ACTIVATIONS if place % 2 else type(module) is nn.Linear):
                yield f"linear layers, each with one of {known} behind it", net
    modules = [*hidden[0], *hidden[1], policy.action_net, policy.value_net]
    for module in modules:
        if vars(module) != vars(module) | _plain(module) or "forward" in vars(module):
            yield f"layers without options or hooks, as {type(module).__name__}()", module
    kinds = {type(module).__name__ for net in hidden for module in net[1::2]}
    if len(kinds) > 1:
        yield "one activation for all layers", ", ".join(sorted(kinds))
    yield from _parameter_problems(policy, [each for module in modules for each in module.parameters()])


def _parameter_problems(policy: Any, used: list[torch.Tensor]) -> Any:
    if isinstance(policy.action_dist, DiagGaussianDistribution):
        used = [*used, policy.log_std]
    named = dict(policy.named_parameters())
    if sorted(map(id, used)) != sorted(map(id, named.values())):
        yield "parameters of separate layers of actor and critic, and no others", ", ".join(named)
    for name, parameter in named.items():
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            yield "parameters in float32 on the CPU", f"{name} in {parameter.dtype} on {parameter.device}"
        if not parameter.requires_grad and name != "log_std":
            yield "parameters that are all learned, but for log_std", f"{name} that is not"


def _plain(module: nn.Module) -> dict[str, Any]:
    """Return what a module without options or hooks has in its place."""
    known: dict[type[nn.Module], dict[str, Any]] = {nn.ELU: {"alpha": 1.0}, nn.GELU: {"approximate": "none"}}
    hooks: dict[str, Any] = {"_forward_hooks": {}, "_forward_pre_hooks": {}, "_backward_hooks": {}}
    return known.get(type(module), {}) | hooks


def networks_of(policy: ActorCriticPolicy, rows: int) -> Networks:
    """Describe the networks of a policy that ``check_policy`` has passed, for up to ``rows`` observations at once."""
    actor, critic = (
        [each[0].in_features, *(linear.out_features for linear in each)] for each in _linear_layers(policy)
    )
    kinds = [ACTIVATIONS[type(each)] for each in _hidden_layers(policy) if type(each) in ACTIVATIONS]
    learned = getattr(policy, "log_std", None) is not None and policy.log_std.requires_grad
    activation = kinds[0] if kinds else "tanh"
    choices = _choices(policy)
    return build_networks(actor, critic, activation=activation, choices=choices, learn_noise=learned, rows=rows)


def parameter_views(policy: ActorCriticPolicy, networks: Networks, flat: Singles) -> list[tuple[torch.Tensor, Singles]]:
    """Return each parameter of a policy with its place ``[...]`` in a flat array, in the parameter's own shape."""
    views: list[tuple[torch.Tensor, Singles]] = []
    perceptrons: list[Any] = [networks.actor, networks.critic]
    for linears, network in zip(_linear_layers(policy), perceptrons, strict=True):
        for linear, (weight, bias) in zip(linears, layers(network, flat), strict=True):
            views += [(linear.weight, weight.T), (linear.bias, bias)]
    if networks.head.numbers:
        first = networks.head.log_std
        views.append((policy.log_std, flat[first : first + networks.head.numbers]))
    return views


def read_parameters(policy: ActorCriticPolicy, networks: Networks) -> Singles:
    """Return a policy's parameters as one flat array ``[P]``."""
    flat = np.zeros(networks.size, dtype=np.float32)
    for tensor, view in parameter_views(policy, networks, flat):
        view[...] = tensor.detach().numpy()
    return flat


@torch.no_grad()
def features_of(policy: ActorCriticPolicy, observations: Any) -> Singles:
    """Return the inputs ``[N, D]`` of actor and critic for observations of a rollout buffer ``[N, ...]``."""
    if isinstance(observations, dict):
        count = len(next(iter(observations.values())))
        parts: list[Any] = [
            {key: torch.as_tensor(values[first : first + CHUNK]) for key, values in observations.items()}
            for first in range(0, count, CHUNK)
        ]
    else:
        parts = [torch.as_tensor(observations[first : first + CHUNK]) for first in range(0, len(observations), CHUNK)]
    extract = super(ActorCriticPolicy, policy).extract_features
    features = [extract(part, policy.pi_features_extractor).numpy() for part in parts]
    return np.ascontiguousarray(np.concatenate(features), dtype=np.float32)


def _hidden_layers(policy: ActorCriticPolicy) -> list[nn.Module]:
    return list(chain(policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net))


def _linear_layers(policy: ActorCriticPolicy) -> tuple[list[nn.Linear], list[nn.Linear]]:
    extractor = policy.mlp_extractor
    nets = ((extractor.policy_net, policy.action_net), (extractor.value_net, policy.value_net))
    actor, critic = ([each for each in (*net, last) if isinstance(each, nn.Linear)] for net, last in nets)
    return actor, critic


def _choices(policy: ActorCriticPolicy) -> Sequence[int]:
    """Return the number of alternatives of each choice; none where actions are Gaussian numbers."""
    distribution: Any = policy.action_dist
    if isinstance(distribution, MultiCategoricalDistribution):
        return [int(count) for count in distribution.action_dims]
    return [int(distribution.action_dim)] if isinstance(distribution, CategoricalDistribution) else []
