"""The C. elegans locomotion circuit in torch, for learning from gradients; ``ncap.py`` has the equations."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wormwood.agents.policies.circuit import SPEED_THRESHOLD, TURN_THRESHOLD, check_weights
from wormwood.agents.policies.circuit_settings import SYNAPSES, NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.envs.bodies import Body
from wormwood.envs.layouts import ObservationLayout
from wormwood.errors import bad_input

__all__ = ["NCAPActor"]


class NCAPActor(nn.Module):
    """Maps observations ``[N, D]`` to actions ``[N, J]``; its state is the weights, for time is in the observation."""

    def __init__(self, config: NCAPConfig, weights: Arrays, *, body: Body, layout: ObservationLayout) -> None:
        """Take the weights of ``initial_weights``.

        Raises:
            BadInput: the period is to be learned or waits, the observation has no clock, or the weights do not fit.
        """
        super().__init__()
        if config.learn_period:
            raise bad_input("learn_period", where="agent ncap", expected="false: no gradient reaches it", got=True)
        if config.patience:
            expected = "0: who learns from gradients has no state"
            raise bad_input("patience", where="agent ncap", expected=expected, got=config.patience)
        if layout.clock is None:
            expected = "an observation with a clock, as of the task swim"
            raise bad_input("task", where="agent ncap", expected=expected, got=f"{layout.size} numbers without one")
        check_weights(config, weights, body)
        self.config, self.joints, self.layout = config, body.joints, layout
        self.own_period = config.period_on(body)
        self.synapses = nn.ParameterDict({name: _parameter(weights, name) for name in config.synapses})
        if config.steering == "learned":
            self.steering_weight = _parameter(weights, "steering_weight")
            self.steering_bias = _parameter(weights, "steering_bias")
        self.limit: Tensor
        self.period: Tensor
        self.register_buffer("limit", torch.tensor(body.joint_limit, dtype=torch.float32))
        self.register_buffer("period", torch.tensor(float(weights["period"]), dtype=torch.float64))
        if config.local_oscillators:
            self.lag: Tensor
            self.register_buffer("lag", torch.tensor(float(weights["lag"]), dtype=torch.float64))

    def weights(self) -> Arrays:
        """Return the weights as ``initial_weights`` has them, in float64."""
        named = {**dict(self.synapses.items()), **dict(self.named_parameters(recurse=False)), "period": self.period}
        if self.config.local_oscillators:
            named["lag"] = self.lag
        return {name: values.detach().cpu().double().numpy().copy() for name, values in named.items()}

    @torch.no_grad()
    def project(self) -> None:
        """Put each weight back within its bounds."""
        for name, (low, high) in self.config.bounds.items():
            if name in self.synapses:
                ends = sorted((SYNAPSES[name].sign * low, SYNAPSES[name].sign * high))
                self.synapses[name].clamp_(*(ends if self.config.constrain_signs else (-high, high)))

    def forward(self, observation: Tensor) -> Tensor:
        """Return the muscles' pull at each joint ``[N, J]``, in [-1, 1]."""
        angles = observation[:, self.layout.joints] / self.limit
        receptors = torch.stack([angles, -angles]).clamp(0.0, 1.0)
        clock = observation[:, self.layout.clock].double()

        drive = torch.zeros_like(receptors)
        if self.config.proprioception:
            upstream = self._effective("prop") * receptors[..., :-1]
            drive = drive + nn.functional.pad(upstream, (1, 0))
        if self.config.oscillator:
            head = self._effective("osc") * self._oscillator(clock)[..., None]
            drive = drive + nn.functional.pad(head, (0, self.joints - 1))
        if self.config.own_feedback:
            drive = drive + self._effective("own") * receptors
        if self.config.local_oscillators:
            delay = torch.arange(1, self.joints, device=clock.device) * self.lag * self._period
            later = self._oscillator(clock[:, None] - delay)
            drive = drive + nn.functional.pad(self._effective("local") * later, (1, 0))
        if self.config.turn_control or self.config.speed_control:
            drive = self._commanded(drive, observation[:, self.layout.command])
        neurons = self._clamped(drive, 0.0, 1.0)
        muscles = self._effective("ipsi") * neurons + self._effective("contra") * neurons.flip(0)
        muscles = self._clamped(muscles, 0.0, 1.0)
        return muscles[0] - muscles[1]

    @property
    def _period(self) -> Tensor | float:
        return self.period if self.own_period is None else self.own_period

    def _oscillator(self, clock: Tensor) -> Tensor:
        """Return the square wave of both sides ``[2, ...]`` at ``clock [...]``."""
        dorsal = torch.remainder(clock, self._period) < self._period / 2
        return torch.stack([dorsal, ~dorsal]).to(self.limit.dtype)

    def _clamped(self, values: Tensor, low: float | None, high: float | None) -> Tensor:
        clamped = values.clamp(low, high)
        if self.config.constraint == "hard":
            return clamped
        # In this order the forward value is the clamped one to the bit.
        return clamped.detach() + (values - values.detach())

    def _effective(self, name: str) -> Tensor:
        """Return a weight with its sign constrained, as ``[]`` or ``[2, 1, joints]``."""
        weight: Tensor = self.synapses[name]
        if self.config.constrain_signs:
            low, high = (0.0, None) if SYNAPSES[name].sign > 0 else (None, 0.0)
            weight = self._clamped(weight, low, high)
        return weight if self.config.share_weights else weight[:, None, :]

    def _commanded(self, drive: Tensor, command: Tensor) -> Tensor:
        """Return the drive of the neurons ``[2, N, J]`` with what commands add to it."""
        right, left, speed = self._commands(command)
        if self.config.turn_control:
            turned = min(self.config.turn_joints, self.joints)
            turn = (self._effective("turn") * torch.stack([right, left])[..., None]).expand(-1, -1, turned)
            drive = drive + nn.functional.pad(turn, (0, self.joints - turned))
        if self.config.speed_control:
            slowing = self._effective("speed") * (1.0 - speed)[:, None]
            if self.config.constraint == "straight_through":
                # It slows both sides alike: past all clamps its gradients would cancel. So they reach it only from
                # the neurons that have something to lose.
                slowing = torch.where(drive > 0, slowing, slowing.detach())
            drive = drive + slowing
        return drive

    def _commands(self, command: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return how far to turn right and left and how fast to swim, ``[N]`` each."""
        none = torch.zeros(len(command), dtype=command.dtype, device=command.device)
        if command.shape[1] == 0:
            return none, none, none + 1.0
        if command.shape[1] == 1:
            return none, none, (command[:, 0] / self.config.full_speed).clamp(0.0, 1.0)
        x, distance = -command[:, 0], command[:, 1].abs()
        if self.config.steering == "fixed":
            flags = (x > TURN_THRESHOLD, x < -TURN_THRESHOLD, distance > SPEED_THRESHOLD)
            right, left, speed = (flag.to(command.dtype) for flag in flags)
            return right, left, speed
        steered = nn.functional.linear(torch.stack([x, distance], dim=1), self.steering_weight, self.steering_bias)
        right, left, speed = self._clamped(steered, 0.0, 1.0).unbind(dim=1)
        return right, left, speed


def _parameter(weights: Arrays, name: str) -> nn.Parameter:
    return nn.Parameter(torch.tensor(weights[name], dtype=torch.float32))
