"""Critics: modules that map observations ``[N, D]`` to values ``[N, 1]``; all but forests want them standardised."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wormwood.envs.bodies import Body
from wormwood.envs.layouts import ObservationLayout

__all__ = ["MLPCritic", "PooledCritic"]


def _perceptron(inputs: int, hidden: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(inputs, units), nn.Tanh()]
        inputs = units
    for layer in layers[::2]:
        nn.init.orthogonal_(layer.weight, gain=2**0.5)  # type: ignore[arg-type]
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers)


def _value_layer(inputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, 1)
    nn.init.orthogonal_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class MLPCritic(nn.Module):
    """A perceptron over the whole observation but its clock, which is tied to one body's number of links."""

    def __init__(self, hidden: Sequence[int], *, layout: ObservationLayout) -> None:
        """Build the layers for observations of this layout."""
        super().__init__()
        self.columns: Tensor
        columns = [column for column in range(layout.size) if column != layout.clock]
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        self.hidden = _perceptron(len(columns), hidden)
        self.value = _value_layer(hidden[-1] if hidden else len(columns))

    def forward(self, observation: Tensor) -> Tensor:
        """Return values ``[N, 1]``."""
        value: Tensor = self.value(self.hidden(observation[:, self.columns]))
        return value


class PooledCritic(nn.Module):
    """The same perceptron over every link, then the mean over links: its weights fit any number of links.

    A link is described by its velocities (3), the angles of the joints before and behind it as shares of their limits
    (2, 0 where it has none), its place in the chain from 0 at the head to 1 at the tail, and the task's command.
    """

    def __init__(self, hidden: Sequence[int], *, body: Body, layout: ObservationLayout) -> None:
        """Build the layers, for any body, and the inputs for this one."""
        super().__init__()
        self.limit: Tensor
        self.place: Tensor
        self.links, self.layout = body.links, layout
        command = layout.command.stop - layout.command.start
        self.register_buffer("limit", torch.tensor(body.joint_limit, dtype=torch.float32), persistent=False)
        self.register_buffer("place", torch.linspace(0.0, 1.0, body.links)[:, None], persistent=False)
        self.hidden = _perceptron(6 + command, hidden)
        self.value = _value_layer(hidden[-1] if hidden else 6 + command)

    def forward(self, observation: Tensor) -> Tensor:
        """Return values ``[N, 1]``."""
        rows = len(observation)
        velocities = observation[:, self.layout.velocities].reshape(rows, self.links, 3)
        angles = observation[:, self.layout.joints] / self.limit
        before = nn.functional.pad(angles, (1, 0))[..., None]
        behind = nn.functional.pad(angles, (0, 1))[..., None]
        command = observation[:, None, self.layout.command].expand(-1, self.links, -1)
        links = torch.cat([velocities, before, behind, self.place.expand(rows, -1, -1), command], dim=2)
        value: Tensor = self.value(self.hidden(links).mean(dim=1))
        return value
