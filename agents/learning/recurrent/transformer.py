"""The linear transformer in torch, all steps of a chunk at once; ``linear_transformer.py`` has the equations."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.recurrent_settings import LinearTransformerConfig
from wormwood.agents.policies.transformer import EPSILON

__all__ = ["LinearTransformerCore"]

State = Mapping[str, Tensor]
CHUNK = 128
"""Steps at once: attention within a chunk takes memory and time with the square of its length."""


class LinearTransformerCore(nn.Module):
    """The transformer of ``linear_transformer.LinearTransformer``."""

    def __init__(self, config: LinearTransformerConfig, weights: Arrays, inputs: int) -> None:
        """Take the weights of ``linear_transformer.initial_weights``."""
        super().__init__()
        self._config, self._inputs = config, inputs
        self.features: int = config.units
        names = {name for name in weights if name.startswith(("input_", "layer"))}
        self.parts = nn.ParameterDict(
            {name: torch.tensor(weights[name], dtype=torch.float32) for name in sorted(names)}
        )

    def initial_state(self, count: int) -> State:
        config, like = self._config, self.parts["input_bias"]
        slots = (count, config.layers, config.heads, config.slots)
        return {
            "input": like.new_zeros(count, self._inputs),
            "sums": like.new_zeros(*slots, config.width),
            "counts": like.new_zeros(slots),
        }

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        parts = []
        for chunk in torch.split(x, CHUNK):
            features, state = self._chunk(chunk, state)
            parts.append(features)
        return torch.cat(parts), state

    def _chunk(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        last = torch.cat([state["input"][None], x[:-1]])
        features = torch.cat([x, last], dim=2) @ self.parts["input_weight"] + self.parts["input_bias"]
        sums, counts = [], []
        for layer in range(self._config.layers):
            recalled, layer_sums, layer_counts = self._recalled(layer, features, state)
            features = features + recalled
            inner = torch.tanh(_normalized(features) @ self._part(layer, "up_weight") + self._part(layer, "up_bias"))
            features = features + inner @ self._part(layer, "down_weight")
            sums.append(layer_sums)
            counts.append(layer_counts)
        return _normalized(features), {"input": x[-1], "sums": torch.stack(sums, 1), "counts": torch.stack(counts, 1)}

    def _recalled(self, layer: int, features: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
        """Return what each step reads ``[T, N, units]``, and the layer's slots behind the last one."""
        u, (steps, count) = _normalized(features), features.shape[:2]
        heads = (steps, count, self._config.heads, -1)
        # [N, H, T, ·], so that attention is one product of matrices for each trial and head.
        key, query = (
            (u @ self._part(layer, f"{name}_weight") + self._part(layer, f"{name}_bias"))
            .reshape(heads)
            .softmax(-1)
            .permute(1, 2, 0, 3)
            for name in ("key", "query")
        )
        value = (u @ self._part(layer, "value_weight")).reshape(heads).permute(1, 2, 0, 3)
        sums, counts = state["sums"][:, layer], state["counts"][:, layer]
        attention = (query @ key.transpose(2, 3)).tril()
        known = attention.sum(3) + (query @ counts[..., None])[..., 0]
        read = (attention @ value + query @ sums) / (1.0 + known[..., None])
        features = torch.cat(
            [read.permute(2, 0, 1, 3).reshape(steps, count, -1), known.log1p().permute(2, 0, 1)],
            dim=2,
        )
        recalled = features @ self._part(layer, "read_weight")
        return recalled, sums + key.transpose(2, 3) @ value, counts + key.sum(2)

    def _part(self, layer: int, name: str) -> Tensor:
        part: Tensor = self.parts[f"layer{layer}_{name}"]
        return part

    def weights(self) -> Arrays:
        """Return the weights for the transformer in NumPy, in float64."""
        return {name: values.detach().cpu().double().numpy().copy() for name, values in self.parts.items()}


def _normalized(features: Tensor) -> Tensor:
    scale: Tensor = torch.rsqrt(features.square().mean(-1, keepdim=True) + EPSILON)
    return features * scale
