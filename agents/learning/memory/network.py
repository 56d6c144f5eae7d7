"""A memory network: three controllers that read, decide and write, as one step from state to state."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.memory_settings import MemoryConfig, check_memory

__all__ = ["MemoryNetwork", "State"]

State = dict[str, Tensor]
"""What a network remembers, by name: tensors whose first axis is the batch."""


class MemoryNetwork(nn.Module):
    """Neural Semantic Encoder (Munkhdalai & Yu 2016, https://arxiv.org/abs/1607.04315) with erasure.

    For inputs ``x_t``, memory ``M_t`` of N slots of width d, and the states ``hr_t`` and ``hw_t`` of two GRUs::

        read    hr_t = GRU_r(x_t, hr_{t-1})     z_t = softmax(β_r W_q hr_t · M_{t-1} / √d)     m_t = z_t M_{t-1}
        output  c_t  = MLP([hr_t, m_t])
        write   hw_t = GRU_w([c_t, m_t], hw_{t-1})
                a_t  = softmax(β_w W_a hw_t · M_{t-1} / √d), or z_t where addresses are tied
                e_t  = sigmoid(W_e hw_t)        v_t = tanh(W_v hw_t)
                M_t  = M_{t-1} ⊙ (1 - a_t ⊗ e_t) + a_t ⊗ v_t

    ``M_0`` is learned: were its slots alike, they would stay so. The equations are this project's reading of the
    published network.
    """

    features: int
    """Numbers in ``c_t``."""

    def __init__(self, config: MemoryConfig, inputs: int) -> None:
        """Draw the weights from torch's generator.

        Args:
            config: sizes and addressing.
            inputs: numbers in ``x_t``.

        Raises:
            BadInput: the memory has no slots, or something else of it is empty.
        """
        super().__init__()
        check_memory(config)
        hidden, width = config.hidden, config.width
        self.features, self.hidden = hidden, hidden
        self.read = nn.GRUCell(inputs, hidden)
        self.read_query = nn.Linear(hidden, width, bias=False)
        self.read_sharpness = nn.Parameter(torch.zeros(()))
        self.output = nn.Sequential(nn.Linear(hidden + width, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.write = nn.GRUCell(hidden + width, hidden)
        if config.addressing == "untied":
            self.write_query = nn.Linear(hidden, width, bias=False)
            self.write_sharpness = nn.Parameter(torch.zeros(()))
        self.erase = nn.Linear(hidden, width)
        self.content = nn.Linear(hidden, width)
        self.initial_memory = nn.Parameter(torch.randn(config.slots, width) * 0.5)

    def controllers(self) -> dict[str, list[nn.Parameter]]:
        """Return the parameters of the ``read``, ``output`` and ``write`` controllers, each parameter once."""
        owners = {"read": "read", "output": "output"}
        parameters: dict[str, list[nn.Parameter]] = {"read": [], "output": [], "write": []}
        for name, parameter in self.named_parameters():
            parameters[owners.get(name.split(".")[0].split("_")[0], "write")].append(parameter)
        return parameters

    def initial_state(self, batch: int) -> State:
        """Return the state before the first input: ``read [B, H]``, ``write [B, H]`` and ``memory [B, N, d]``."""
        nothing = self.initial_memory.new_zeros(batch, self.hidden)
        memory = self.initial_memory.expand(batch, *self.initial_memory.shape)
        return {"read": nothing, "write": nothing, "memory": memory}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Take one step.

        Args:
            x: ``[B, inputs]``.
            state: of ``initial_state`` or the step before.

        Returns:
            ``c_t [B, features]`` and the next state. Nothing is changed in place.
        """
        memory = state["memory"]
        read = self.read(x, state["read"])
        z = _address(self.read_query(read), self.read_sharpness, memory)
        recalled = (z.unsqueeze(1) @ memory).squeeze(1)
        features = self.output(torch.cat([read, recalled], dim=1))
        write = self.write(torch.cat([features, recalled], dim=1), state["write"])
        if hasattr(self, "write_query"):
            z = _address(self.write_query(write), self.write_sharpness, memory)
        slots, erased = z.unsqueeze(2), torch.sigmoid(self.erase(write)).unsqueeze(1)
        written = torch.tanh(self.content(write)).unsqueeze(1)
        return features, {"read": read, "write": write, "memory": memory + slots * (written - erased * memory)}

    def weights(self) -> Arrays:
        """Return the weights by name for ``memory_numpy``, in float64."""
        return {name: values.detach().cpu().double().numpy().copy() for name, values in self.state_dict().items()}


def _address(query: Tensor, sharpness: Tensor, memory: Tensor) -> Tensor:
    """Return weights ``[B, N]`` of the slots, by the likeness of each to the query ``[B, d]``."""
    scaled = query * (sharpness.exp() / math.sqrt(memory.shape[2]))
    return torch.softmax((memory @ scaled.unsqueeze(2)).squeeze(2), dim=1)
