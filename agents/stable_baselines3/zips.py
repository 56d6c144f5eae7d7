"""Policies from the zips of Stable-Baselines3. Nothing in a file is run.

Algorithm and path are said by whoever names the file, as in ``ppo:model.zip``. The shapes of the tensors say how large
the policy is, and the plain JSON beside them what lies between its layers. What neither tells is refused, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np

from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.stable_baselines3.zip_files import ZipContents, read_normalization, read_zip
from wormwood.agents.stable_baselines3.zipped_policies import ACTIVATIONS, ZippedPolicy
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, swimmer
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim, SwimAtSpeed, Task
from wormwood.errors import bad_input

__all__ = ["ALGORITHMS", "load_zip", "policy_of"]

MOST_LINKS = 200


class _Algorithm(NamedTuple):
    """Where an algorithm keeps its policy."""

    layers: tuple[str, ...]
    """Prefixes of its layers, in their order."""
    activation: str
    """Between layers, where the user set no other."""
    squashes: bool
    """The output always goes through tanh."""
    module: str
    """Of the policies that come with it."""


_ON_POLICY = _Algorithm(
    ("mlp_extractor.policy_net.", "action_net."), "tanh", squashes=False, module="stable_baselines3.common.policies"
)
_DETERMINISTIC = _Algorithm(("actor.mu.",), "relu", squashes=True, module="stable_baselines3.td3.policies")
_SOFT = _Algorithm(("actor.latent_pi.", "actor.mu."), "relu", squashes=True, module="stable_baselines3.sac.policies")
ALGORITHMS: Mapping[str, _Algorithm] = {
    "ppo": _ON_POLICY,
    "a2c": _ON_POLICY,
    "trpo": _ON_POLICY,
    "sac": _SOFT,
    "tqc": _SOFT._replace(module="sb3_contrib.tqc.policies"),
    "crossq": _SOFT._replace(module="sb3_contrib.crossq.policies"),
    "td3": _DETERMINISTIC,
    "ddpg": _DETERMINISTIC,
}

HARMLESS = {
    *(
        "net_arch",
        "ortho_init",
        "log_std_init",
        "full_std",
        "use_expln",
        "share_features_extractor",
        "normalize_images",
    ),
    *(
        "optimizer_class",
        "optimizer_kwargs",
        "n_critics",
        "n_quantiles",
        "top_quantiles_to_drop_per_net",
        "dropout_rate",
    ),
    *("batch_norm", "batch_norm_momentum", "renorm_warmup_steps"),
}
"""Settings of policies that change nothing of how they act without noise, or that the tensors tell."""
FLATTEN = "<class 'stable_baselines3.common.torch_layers.FlattenExtractor'>"
PICKLE = {":type:", ":serialized:"}
"""What Stable-Baselines3 writes beside the plain JSON of a pickled field."""


def load_zip(text: str) -> ZippedPolicy:
    """Return the policy in a zip of Stable-Baselines3.

    Args:
        text: ``ALGORITHM:PATH``, optionally with ``?activation=NAME`` in place of the one that the zip names, and
            ``?normalize=FILE.npz`` of what ``VecNormalize`` did to observations (``none``: nothing), or both with ``&``
            between them.

    Raises:
        BadInput: the file is no such zip, its policy is no perceptron with continuous actions, something about it
            cannot be told, or it is made for an environment that is no swimmer.
    """
    algorithm, path, options = _parse(text)
    where, normalize = str(path), options.get("normalize")
    contents = read_zip(path, where=where)
    policy = _build(contents, algorithm, name=path.stem, where=where, activation=options.get("activation"))
    # Algorithms on policy keep this one field only behind a VecNormalize; those off policy always have it.
    normalizes = ALGORITHMS[algorithm] is _ON_POLICY and contents.settings.get("_last_original_obs") is not None
    if normalize is None and normalizes:
        expected = "?normalize=FILE.npz of its VecNormalize, or ?normalize=none where that has norm_obs=False"
        raise bad_input("normalize", where=where, expected=expected, got="training behind a VecNormalize")
    if normalize is None or normalize == "none":
        return policy
    return _normalized(policy, read_normalization(Path(normalize)), where=normalize)


def policy_of(model: Any, *, name: str) -> ZippedPolicy:
    """Return the policy of a model of Stable-Baselines3, with what a ``VecNormalize`` around its environments does.

    Raises:
        BadInput: as ``load_zip``.
    """
    algorithm, where = type(model).__name__.lower(), f"model {type(model).__name__}"
    if algorithm not in ALGORITHMS:
        raise bad_input("model", where="export", expected=f"one of {', '.join(ALGORITHMS)}", got=type(model).__name__)
    file = BytesIO()
    model.save(file)
    policy = _build(read_zip(file, where=where), algorithm, name=name, where=where, activation=None)
    around = model.get_vec_normalize_env()
    if around is None or not around.norm_obs:
        return policy
    deviation = np.sqrt(np.asarray(around.obs_rms.var) + around.epsilon)
    statistics = {"mean": np.array(around.obs_rms.mean), "deviation": deviation, "clip": np.array(around.clip_obs)}
    return _normalized(policy, statistics, where=where)


def _normalized(policy: ZippedPolicy, statistics: Arrays, *, where: str) -> ZippedPolicy:
    inputs = len(policy.weights["layer0_weight"])
    if len(statistics["mean"]) != inputs:
        got = f"{len(statistics['mean'])} numbers"
        raise bad_input("normalize", where=where, expected=f"means of the policy's {inputs} inputs", got=got)
    return replace(policy, normalization=statistics)


def _parse(text: str) -> tuple[str, Path, dict[str, str]]:
    """Return the algorithm, the path, and the options that are said."""
    match = re.fullmatch(r"(\w+):([^?]+)(?:\?(.*))?", text, flags=re.DOTALL)
    if match is None:
        expected = "the algorithm before the path of a zip, as in ppo:model.zip?activation=relu"
        raise bad_input("missing algorithm", where="agent", expected=expected, got=text)
    algorithm, path, query = match.groups()
    if algorithm not in ALGORITHMS:
        expected = f"one of {', '.join(ALGORITHMS)}"
        raise bad_input("unknown algorithm", where="agent", expected=expected, got=algorithm, nearest_to=ALGORITHMS)
    where, options = f"agent {algorithm}:{path}", dict[str, str]()
    for name, value in parse_qsl(query or "", keep_blank_values=True):
        if name not in {"activation", "normalize"}:
            known = ["activation", "normalize"]
            expected = " or ".join(known)
            raise bad_input("unknown option", where=where, expected=expected, got=name, nearest_to=known)
        if name in options:
            raise bad_input("option", where=where, expected=f"{name} once", got=query)
        options[name] = value
    activation = options.get("activation", "tanh")
    if activation not in ACTIVATIONS:
        expected = f"one of {', '.join(ACTIVATIONS)}"
        raise bad_input("activation", where=where, expected=expected, got=activation, nearest_to=ACTIVATIONS)
    return algorithm, Path(path), options


def _build(contents: ZipContents, algorithm: str, *, name: str, where: str, activation: str | None) -> ZippedPolicy:
    known, settings = ALGORITHMS[algorithm], contents.settings
    kwargs = settings.get("policy_kwargs")
    if not isinstance(kwargs, dict):
        raise bad_input("policy_kwargs", where=where, expected="plain JSON of them", got=kwargs)
    tensors = _without_batch_norm(contents.tensors, kwargs)
    weights = _layers(tensors, known, where=where, algorithm=algorithm)
    _check_settings(settings, kwargs, known, where=where)
    depth = len(weights) // 2
    inputs, outputs = len(weights["layer0_weight"]), len(weights[f"layer{depth - 1}_bias"])
    spec = _home(inputs, outputs, where=where)
    _check_spaces(settings, inputs, outputs, where=where)
    return ZippedPolicy(
        name,
        weights,
        spec,
        activation or (_activation(kwargs, where=where) if depth > 1 else None) or known.activation,
        squashes=known.squashes or kwargs.get("squash_output") is True,
        # With state-dependent exploration, SAC and TQC put a Hardtanh behind the last layer, which has a number then.
        bound=float(kwargs.get("clip_mean", 2.0))
        if "actor.mu.0.weight" in tensors and known.module != _DETERMINISTIC.module
        else None,
    )


def _check_settings(settings: Mapping[str, Any], kwargs: Mapping[str, Any], known: _Algorithm, *, where: str) -> None:
    """Refuse policies that may act otherwise than their tensors say."""
    described = settings.get("policy_class")
    module = described.get("__module__") if isinstance(described, dict) else None
    if module != known.module:
        expected = (
            f"a policy of {known.module}; wormwood.export(model, FOLDER) in your script writes others that it knows"
        )
        raise bad_input("policy class", where=where, expected=expected, got=module)
    told = {"activation_fn", "use_sde", "squash_output", "clip_mean", "batch_norm_eps"}
    extractor = kwargs.get("features_extractor_class", FLATTEN)
    if extractor != FLATTEN or kwargs.get("features_extractor_kwargs"):
        raise bad_input("features_extractor_class", where=where, expected=FLATTEN, got=extractor)
    for key in kwargs.keys() - PICKLE - HARMLESS - told - {"features_extractor_class", "features_extractor_kwargs"}:
        raise bad_input("policy_kwargs", where=where, expected="settings that are known to us", got=key)


def _activation(kwargs: Mapping[str, Any], *, where: str) -> str | None:
    """Return the activation that the settings name, or None where they name none."""
    described = kwargs.get("activation_fn")
    if described is None:
        return None
    names = {name.replace("_", ""): name for name in ACTIVATIONS}
    match = re.fullmatch(r"<class 'torch\.nn\.modules\.(?:activation|linear)\.(\w+)'>", str(described))
    if match is None or match[1].lower() not in names:
        expected = f"one of {', '.join(ACTIVATIONS)}; say which is nearest by ?activation=NAME"
        raise bad_input("activation_fn", where=where, expected=expected, got=str(described))
    return names[match[1].lower()]


def _check_spaces(settings: Mapping[str, Any], inputs: int, outputs: int, *, where: str) -> None:
    """Refuse actions that are scaled: those of swimmers are between -1 and 1."""
    space, seen = settings.get("action_space"), settings.get("observation_space")
    space, seen = (part if isinstance(part, dict) else {} for part in (space, seen))
    bounds = [re.findall(r"[^\s\[\]]+", str(space.get(side))) for side in ("low", "high")]
    if {*bounds[0]} - {"-1.", "-1"} or {*bounds[1]} - {"1.", "1"} or [len(side) for side in bounds] != [outputs] * 2:
        got = f"from {space.get('low')} to {space.get('high')}"
        raise bad_input("action_space", where=where, expected=f"{outputs} numbers from -1 to 1", got=got)
    if seen.get("_shape") != [inputs]:
        raise bad_input("observation_space", where=where, expected=f"{inputs} numbers", got=seen.get("_shape"))


def _without_batch_norm(tensors: Arrays, kwargs: Mapping[str, Any]) -> Arrays:
    """Return the tensors with each normalisation of CrossQ within the layer behind it.

    It is ``x -> scale (x - ra_mean) / sqrt(ra_var + eps) + bias``, and a layer ``W x + b`` follows each.
    """
    kept = dict(tensors)
    for name in [name for name in tensors if name.endswith(".ra_mean")]:
        prefix = name.removesuffix("ra_mean")
        scale, shift, mean, var = (kept.pop(f"{prefix}{part}") for part in ("scale", "bias", "ra_mean", "ra_var"))
        number = re.search(r"(\d+)\.$", prefix)
        behind = f"{prefix[: number.start()]}{int(number[1]) + 1}." if number else ""
        layer = behind if f"{behind}weight" in kept else "actor.mu."
        if f"{layer}weight" in kept and prefix.startswith("actor."):
            factor = scale / np.sqrt(var + float(kwargs.get("batch_norm_eps", 0.001)))
            weight = kept[f"{layer}weight"]
            kept[f"{layer}bias"] = kept[f"{layer}bias"] + weight @ (shift - mean * factor)
            kept[f"{layer}weight"] = weight * factor
    return kept


def _layers(tensors: Arrays, known: _Algorithm, *, where: str, algorithm: str) -> Arrays:
    """Return ``layer<k>_weight [in, out]`` and ``layer<k>_bias [out]`` from input to output."""
    strange = next((name for name in tensors if "features_extractor" in name), None)
    expected = f"the perceptron of a policy of {algorithm} with continuous actions"
    if strange is not None or (known is _ON_POLICY and "log_std" not in tensors):
        raise bad_input("policy", where=where, expected=expected, got=strange or "discrete actions")
    found: list[str] = []
    for prefix in known.layers:
        names = [re.fullmatch(rf"{re.escape(prefix)}(?:(\d+)\.)?weight", name) for name in tensors]
        found += [match[0] for match in sorted(filter(None, names), key=lambda match: int(match[1] or 0))]
    if not found or not found[-1].startswith(known.layers[-1]):
        raise bad_input("policy", where=where, expected=expected, got=", ".join(list(tensors)[:4]) or "no tensor")
    weights: Arrays = {}
    for k, name in enumerate(found):
        weight, bias = tensors[name].T, tensors.get(f"{name.removesuffix('weight')}bias", np.zeros(0))
        fits = weight.ndim == 2 and weight.size and weight.shape[1:] == bias.shape
        if not fits or not np.isfinite(weight).all() or not np.isfinite(bias).all():
            got = f"weight {weight.shape}, bias {bias.shape}"
            raise bad_input(name, where=where, expected="finite numbers of fitting shapes", got=got)
        if k and len(weight) != len(weights[f"layer{k - 1}_bias"]):
            got = f"{len(weights[f'layer{k - 1}_bias'])} outputs before {len(weight)} inputs"
            raise bad_input(name, where=where, expected="layers that follow each other", got=got)
        weights[f"layer{k}_weight"], weights[f"layer{k}_bias"] = weight, bias
    return weights


def _home(inputs: int, outputs: int, *, where: str) -> SwimmerSpec:
    """Return the environment whose observations and actions have these sizes."""
    if (inputs, outputs) == (8, 2):
        return SwimmerSpec(GYMNASIUM_SWIMMER, GymnasiumForward())
    tasks: list[Task] = [Swim(), SwimAtSpeed(), Navigate()]
    if 1 <= outputs < MOST_LINKS:
        body = swimmer(outputs + 1)
        for task in tasks:
            size = task.layout(body).size
            if inputs in ((size, size - 1) if isinstance(task, Swim) else (size,)):
                return SwimmerSpec(body, task)
    expected = "a policy for gymnasium's Swimmer-v5 (8 inputs to 2 outputs) or for a swimmer of ours"
    raise bad_input("sizes", where=where, expected=expected, got=f"{inputs} inputs to {outputs} outputs")
