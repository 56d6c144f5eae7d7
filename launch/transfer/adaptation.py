"""Agents on bodies that they do not fit: refused, or padded and truncated if the user asks for that."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wormwood.agents.policies.interfaces import Arrays, Floats, Policy
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec, require_swimmer
from wormwood.errors import BadInput
from wormwood.launch.run.agent_files import Agent

__all__ = ["NotTransferable", "PaddedAgent", "fit_agent"]


class NotTransferable(ValueError):
    """The agent cannot act on this body; the message says why."""


@dataclass(frozen=True)
class PaddedAgent(Agent):
    """An agent that acts on any body as if it were its own.

    From the head on, joints and links of its own body read what those of the other one do. Those that the other one
    lacks read 0, and what it has beyond them is not read, and gets an action of 0.
    """

    inner: Agent | None = None
    """The agent on its own body."""
    home: SwimmerSpec | None = None
    """Its own body, in the task that is asked of it."""

    def policy(self, spec: EnvironmentSpec, *, seed: int = 0) -> Policy:
        assert self.inner is not None
        assert self.home is not None
        inner = self.inner.policy(self.home, seed=seed)
        return _PaddedPolicy(inner, self.home.layout, require_swimmer(spec, where=f"agent {self.name}"))


class _PaddedPolicy:
    def __init__(self, inner: Policy, trained: ObservationLayout, spec: SwimmerSpec) -> None:
        self._inner, self._size = inner, trained.size
        self._joints = spec.body.joints
        self._columns = [
            (mine, theirs)
            for name in ("joints", "command", "velocities")
            for mine, theirs in _shared(trained, spec.layout, name)
        ]
        if trained.clock is not None and spec.layout.clock is not None:
            self._columns.append((trained.clock, spec.layout.clock))

    def act(
        self, observation: Floats, state: Arrays, rng: np.random.Generator | None
    ) -> tuple[NDArray[Any], Arrays, Arrays]:
        seen = np.zeros((len(observation), self._size))
        mine, theirs = (list(columns) for columns in zip(*self._columns, strict=True))
        seen[:, mine] = observation[:, theirs]
        action, state, extras = self._inner.act(seen, state, rng)
        padded = np.zeros((len(observation), self._joints))
        shared = min(self._joints, action.shape[1])
        padded[:, :shared] = action[:, :shared]
        return padded, state, extras


def _shared(trained: ObservationLayout, other: ObservationLayout, name: str) -> list[tuple[int, int]]:
    """Return the columns of one quantity that both bodies have, from the head on."""
    mine, theirs = (range(layout.size)[getattr(layout, name)] for layout in (trained, other))
    return list(zip(mine, theirs, strict=False))


def fit_agent(agent: Agent, spec: SwimmerSpec, *, pad: bool = False) -> Agent:
    """Return an agent that can act on a body: itself where it fits, and padded where that is allowed.

    Args:
        agent: which was trained on some body, or is built in and fits all.
        spec: another body, and the task.
        pad: let an agent that does not fit act as a ``PaddedAgent``.

    Raises:
        NotTransferable: it fits neither this body nor, at this task, its own; or it may not be padded.
    """
    try:
        agent.policy(spec)
        return agent
    except BadInput as misfit:
        reason = " ".join(str(misfit).split())
    if not isinstance(agent.spec, SwimmerSpec):
        raise NotTransferable(reason)
    home = SwimmerSpec(_own_body(agent.spec, spec), spec.task)
    try:
        agent.policy(home)
    except BadInput as misfit:
        # It is not the body: it knows another task, or is damaged. Padding would only hide that.
        raise NotTransferable(" ".join(str(misfit).split())) from None
    if not pad:
        raise NotTransferable(reason)
    return PaddedAgent(agent.name, agent.config, agent.weights, agent.spec, inner=agent, home=home)


def _own_body(trained: SwimmerSpec, other: SwimmerSpec) -> Any:
    """Return the agent's own body, with the control step of the other one where the agent counts time by it."""
    if trained.body.model == "gymnasium" and other.body.model != "gymnasium":
        return dataclasses.replace(trained.body, model="dm_control", control_timestep=other.body.control_timestep)
    return trained.body
