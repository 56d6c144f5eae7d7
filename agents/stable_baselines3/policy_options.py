"""What is asked for by ``policy_kwargs``, checked as files are."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import is_dataclass
from typing import Annotated, Any

from gymnasium.spaces import Space
from pydantic import Field
from stable_baselines3.common.policies import BasePolicy

from wormwood.agents.policies.table import AgentConfig
from wormwood.agents.stable_baselines3.spaces import body_of
from wormwood.configs.checked import check_value
from wormwood.envs.bodies import Body
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import Task
from wormwood.errors import bad_input

__all__ = ["RateScale", "checked_agent", "checked_options", "refuse_others", "spec_of"]

WHERE = "policy_kwargs"
RateScale = Annotated[float, Field(ge=1e-13, le=1e13, allow_inf_nan=False)]
"""One of Adam's step sizes as a multiple of another."""


def checked_options(given: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as their types, by the same names, make them.

    Raises:
        BadInput: a value is not of its type, or out of its bounds.
    """
    return {name: check_value(value, kinds[name], where=f"{WHERE}.{name}") for name, value in given.items()}


def checked_agent(agent: Any) -> AgentConfig:
    """Return the settings of what acts.

    Raises:
        BadInput: they are none.
    """
    if agent is None or isinstance(agent, type) or not is_dataclass(agent) or not hasattr(agent, "kind"):
        raise bad_input("agent", where=WHERE, expected="settings, such as NCAPConfig() or MLPConfig()", got=agent)
    settings: Any = agent
    return settings  # type: ignore[no-any-return]


def spec_of(
    action_space: Space[Any], *, body: str | Body | None, task: str | Task | None, spec: EnvironmentSpec | None
) -> EnvironmentSpec:
    """Return the environment that a policy is built for: as it is given, or of a body and a task.

    Raises:
        BadInput: there is no such body or task, or one is named beside the environment.
    """
    if spec is None:
        built = task_from_name(task or "swim") if task is None or isinstance(task, str) else task
        return SwimmerSpec(body_of(body, action_space), built)
    for name, value in (("body", body), ("task", task)):
        if value is not None:
            raise bad_input(name, where=WHERE, expected="nothing beside spec, which has one", got=value)
    return spec


def refuse_others(given: Mapping[str, Any], policy: type[BasePolicy], *, beside: Collection[str] = ()) -> None:
    """Refuse what a policy has no option for.

    Args:
        given: what is left of the arguments. SB3's algorithms pass some on their own, such as ``use_sde=False``.
        policy: its class.
        beside: names that make no difference, which algorithms pass on their own, too.

    Raises:
        BadInput: naming the first.
    """
    taken = [name for name, each in inspect.signature(policy).parameters.items() if each.kind is each.KEYWORD_ONLY]
    for name, value in given.items():
        if value and name not in beside:
            expected = f"one of {', '.join(taken)}; layers and noise of Stable-Baselines3's own have no place"
            raise bad_input("unknown option", where=WHERE, expected=expected, got=name, nearest_to=taken)
