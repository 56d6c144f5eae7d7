"""What turns a policy's outputs into the action it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats

__all__ = ["categorical_action", "choose_action", "gaussian_action", "likeliest_action"]


def choose_action(
    outputs: Floats,
    *,
    choices: Sequence[int] = (),
    std: float | Floats | None = None,
    rng: np.random.Generator | None,
) -> tuple[NDArray[Any], Arrays]:
    """Return the actions that outputs ``[.., O]`` ask for, drawn around them where there is noise.

    Args:
        outputs: logits of choices, or means of numbers.
        choices: alternatives of each of K choices; empty where actions are numbers.
        std: of the noise of numbers, one for all or one for each; None is without.
        rng: source of the noise; None takes the likeliest.

    Returns:
        The actions, ``[.., K]`` choices or ``[.., O]`` numbers, and ``log_prob [..]`` of those that were drawn.
    """
    if choices:
        return (likeliest_action(outputs, choices), {}) if rng is None else categorical_action(outputs, choices, rng)
    return (outputs, {}) if rng is None or std is None else gaussian_action(outputs, std, rng)


def gaussian_action(mean: Floats, std: float | Floats, rng: np.random.Generator) -> tuple[Floats, Arrays]:
    """Draw actions from a normal distribution around the policy's.

    Args:
        mean: ``[.., J]`` actions.
        std: standard deviation, one for all or one for each of J joints.
        rng: source of the noise.

    Returns:
        The actions, and ``log_prob [..]``, the logarithm of the density they were drawn with:
        ``Σ_j -(z_j² + log 2π) / 2 - log std_j``.
    """
    noise = rng.standard_normal(mean.shape)
    log_prob = np.sum(-0.5 * (noise**2 + np.log(2 * np.pi)) - np.log(std), axis=-1)
    return mean + std * noise, {"log_prob": log_prob}


def likeliest_action(logits: Floats, choices: Sequence[int]) -> NDArray[np.int64]:
    """Return the likeliest alternative ``[.., K]`` of each choice; ``logits [.., sum(choices)]``."""
    return np.stack([part.argmax(axis=-1) for part in _split(logits, choices)], axis=-1)


def categorical_action(
    logits: Floats, choices: Sequence[int], rng: np.random.Generator
) -> tuple[NDArray[np.int64], Arrays]:
    """Draw one alternative of each choice with the probabilities ``softmax(logits)``.

    Args:
        logits: ``[.., sum(choices)]``, those of the first choice first.
        choices: alternatives of each of K choices.
        rng: source of the noise.

    Returns:
        The alternatives ``[.., K]``, and ``log_prob [..]``, the logarithm of the probability of all of them together.
    """
    # Adding Gumbel noise and taking the largest draws from the softmax (Gumbel 1954).
    noisy = logits + rng.gumbel(size=logits.shape)
    action = likeliest_action(noisy, choices)
    log_prob = np.zeros(logits.shape[:-1])
    for index, part in enumerate(_split(logits, choices)):
        shifted = part - part.max(axis=-1, keepdims=True)
        normalized = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        log_prob += np.take_along_axis(normalized, action[..., index, None], axis=-1)[..., 0]
    return action, {"log_prob": log_prob}


def _split(logits: Floats, choices: Sequence[int]) -> list[Floats]:
    return np.split(logits, np.cumsum(choices)[:-1], axis=-1)
