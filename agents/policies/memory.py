"""The step of a memory network in NumPy, for rollouts; ``network.py`` has the equations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax

from wormwood.agents.policies.gru import gated_step
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.agents.policies.memory_settings import MemoryConfig, check_memory
from wormwood.agents.policies.weights import Shape, check_arrays

__all__ = ["MemoryStep", "check_weights", "initial_state", "initial_weights", "step", "weight_shapes", "whole_step"]


def weight_shapes(config: MemoryConfig, inputs: int) -> dict[str, Shape]:
    """Return the shape of each array of a memory network for so many inputs, as ``MemoryNetwork`` names them."""
    hidden, width = config.hidden, config.width
    shapes: dict[str, Shape] = {"initial_memory": (config.slots, width), "read_sharpness": ()}
    for name, fan_in in (("read", inputs), ("write", hidden + width)):
        shapes |= {f"{name}.weight_ih": (3 * hidden, fan_in), f"{name}.weight_hh": (3 * hidden, hidden)}
        shapes |= {f"{name}.bias_ih": (3 * hidden,), f"{name}.bias_hh": (3 * hidden,)}
    for name, fan_in, fan_out in (
        ("output.0", hidden + width, hidden),
        ("output.2", hidden, hidden),
        ("erase", hidden, width),
        ("content", hidden, width),
    ):
        shapes |= {f"{name}.weight": (fan_out, fan_in), f"{name}.bias": (fan_out,)}
    shapes |= {"read_query.weight": (width, hidden)}
    if config.addressing == "untied":
        shapes |= {"write_query.weight": (width, hidden), "write_sharpness": ()}
    return shapes


def initial_weights(config: MemoryConfig, *, inputs: int, rng: np.random.Generator) -> Arrays:
    """Draw the weights: uniform within ``±1 / sqrt(fan in)``, normal slots with deviation 0.5, all else 0.

    Raises:
        BadInput: the memory has no slots.
    """
    check_memory(config)
    weights: Arrays = {}
    for name, shape in weight_shapes(config, inputs).items():
        if name == "initial_memory":
            weights[name] = 0.5 * rng.standard_normal(shape)
        elif len(shape) == 2:
            weights[name] = rng.uniform(-1.0, 1.0, shape) / np.sqrt(shape[1])
        else:
            weights[name] = np.zeros(shape)
    return weights


def check_weights(weights: Arrays, config: MemoryConfig, inputs: int) -> None:
    """Check that these are the weights of such a memory network for so many inputs.

    Raises:
        BadInput: an array is missing, or has another shape, or something else than finite numbers in it; or the
            memory has no slots.
    """
    check_memory(config)
    check_arrays(weights, weight_shapes(config, inputs), where="agent memory")


def initial_state(weights: Arrays, batch: int) -> Arrays:
    """Return the state before the first input: ``read [B, H]``, ``write [B, H]`` and ``memory [B, N, d]``."""
    hidden, memory = weights["read.weight_hh"].shape[1], weights["initial_memory"]
    nothing = np.zeros((batch, hidden), memory.dtype)
    return {"read": nothing, "write": nothing.copy(), "memory": np.repeat(memory[None], batch, axis=0)}


@dataclass(frozen=True)
class MemoryStep:
    """Everything that one step does, in the notation of ``MemoryNetwork``."""

    features: Floats
    """``c_t [B, H]``"""
    state: Arrays
    """The next state."""
    read_address: Floats
    """``z_t [B, N]``"""
    write_address: Floats
    """``a_t [B, N]``"""
    erased: Floats
    """``e_t [B, d]``"""


def whole_step(weights: Arrays, x: Floats, state: Arrays) -> MemoryStep:
    """Take one step with inputs ``x [B, inputs]`` and return all of it; see ``step``."""
    memory = state["memory"]
    read = _gru(weights, "read", x, state["read"])
    z = _address(weights, "read", read, memory)
    recalled = np.einsum("bn,bnd->bd", z, memory)
    inner = np.tanh(_linear(weights, "output.0", np.concatenate([read, recalled], axis=1)))
    features: Floats = np.tanh(_linear(weights, "output.2", inner))
    write = _gru(weights, "write", np.concatenate([features, recalled], axis=1), state["write"])
    a = _address(weights, "write", write, memory) if "write_query.weight" in weights else z
    erased = expit(_linear(weights, "erase", write))
    written = np.tanh(_linear(weights, "content", write))
    following = memory + a[:, :, None] * (written[:, None, :] - erased[:, None, :] * memory)
    return MemoryStep(features, {"read": read, "write": write, "memory": following}, z, a, erased)


def step(weights: Arrays, x: Floats, state: Arrays) -> tuple[Floats, Arrays]:
    """Take one step; see ``MemoryNetwork.forward``.

    Args:
        weights: of ``MemoryNetwork.weights``.
        x: ``[B, inputs]``.
        state: of ``initial_state`` or the step before.

    Returns:
        Features ``[B, H]`` and the next state. Nothing is changed in place.
    """
    whole = whole_step(weights, x, state)
    return whole.features, whole.state


def _linear(weights: Arrays, name: str, x: Floats) -> Floats:
    outputs: Floats = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
    return outputs


def _gru(weights: Arrays, name: str, x: Floats, h: Floats) -> Floats:
    from_input = x @ weights[f"{name}.weight_ih"].T + weights[f"{name}.bias_ih"]
    from_state = h @ weights[f"{name}.weight_hh"].T + weights[f"{name}.bias_hh"]
    return gated_step(from_input, from_state, h)


def _address(weights: Arrays, name: str, h: Floats, memory: Floats) -> Floats:
    query = h @ weights[f"{name}_query.weight"].T
    scaled = query * (np.exp(weights[f"{name}_sharpness"]) / np.sqrt(memory.shape[2]))
    addresses: Floats = softmax(np.einsum("bnd,bd->bn", memory, scaled), axis=1)
    return addresses
