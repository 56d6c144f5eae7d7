"""Settings of a run that nothing would use, for what agent, learner and environment are together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig
from wormwood.agents.learning.evolution.settings import CMAESConfig, OpenAIESConfig
from wormwood.agents.learning.ppo_settings import PPOConfig
from wormwood.agents.learning.recurrent.settings import FastSlowConfig, RecurrentPPOConfig
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.configs.idle_settings import Uses, refuse_idle
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.errors import bad_input

__all__ = ["refuse_idle_settings"]

EVOLUTION = (CMAESConfig, OpenAIESConfig)
COMMANDS = {"swim-speed": ("speed_control", "a speed"), "navigate": ("turn_control", "a target")}
"""By task, which synapses obey what it commands, and what that is."""


def refuse_idle_settings(
    agent: Any, learner: Any, spec: EnvironmentSpec, *, others: Sequence[SwimmerSpec], device: str
) -> None:
    """Check that a new run has no setting that does nothing.

    Args:
        agent: settings of what acts.
        learner: settings of how it learns.
        spec: what it acts in.
        others: what a population acts in besides.
        device: where torch is to learn.

    Raises:
        BadInput: naming the first, and what would use it.
    """
    by_gradient = not isinstance(learner, EVOLUTION)
    uses: Uses = {}
    if isinstance(agent, MLPConfig):
        uses = {"normalize": (by_gradient, "the learner follows gradients")}
    if isinstance(agent, NCAPConfig) and isinstance(spec, SwimmerSpec):
        _check_command(agent, spec)
        uses = _of_circuit(agent, [spec, *others], by_gradient=by_gradient)
    refuse_idle(agent, where=f"agent {agent.kind}", uses=uses)
    refuse_idle(learner, where=f"learner {learner.kind}", uses=_of_learner(learner, agent, spec))
    if device == "cuda" and (not by_gradient or isinstance(learner, BoostedLearnerConfig)):
        expected = f"cpu: {learner.kind} learns without torch's devices"
        raise bad_input("device", where="configuration", expected=expected, got=device)


def _check_command(agent: NCAPConfig, spec: SwimmerSpec) -> None:
    """Check that a circuit obeys what its task commands: whatever it learned, it could not tell one goal from another.

    Raises:
        BadInput: it does not.
    """
    synapse, command = COMMANDS.get(spec.task.name, ("", ""))
    if synapse and not getattr(agent, synapse):
        expected = f"true: task {spec.task.name} commands {command}, which nothing else obeys"
        raise bad_input(synapse, where="agent ncap", expected=expected, got=False)


def _of_circuit(agent: NCAPConfig, specs: Sequence[SwimmerSpec], *, by_gradient: bool) -> Uses:
    commanded = specs[0].layout.command.stop - specs[0].layout.command.start
    names = [each.body.name for each in specs]
    learns_period = any(name not in agent.body_periods for name in names)
    return {
        "constraint": (by_gradient, "the learner follows gradients"),
        "speed_control": (commanded >= 1, "the task commands a speed or a target"),
        "turn_control": (commanded >= 2, "the task commands a target"),
        "learn_period": (learns_period, f"a body of training has no period of its own: {', '.join(names)}"),
    }


def _of_learner(learner: Any, agent: Any, spec: EnvironmentSpec) -> Uses:
    continuous = (not spec.actions.choices, "actions are numbers")
    if isinstance(learner, PPOConfig):
        free = bool(spec.actions.choices) or learner.learn_noise
        entropy = (free, "learn_noise is true: fixed noise has a fixed entropy")
        return {"noise_std": continuous, "learn_noise": continuous, "entropy_coefficient": entropy}
    if isinstance(learner, RecurrentPPOConfig):
        return {"noise_std": continuous}
    if isinstance(learner, FastSlowConfig):
        writes = (agent.kind == "memory", "the agent has a write controller, as kind memory has")
        return {"noise_std": continuous, "schedule.write_rate": writes}
    if isinstance(learner, BoostedLearnerConfig):
        return dict.fromkeys(("noise_std", "boosting.noise_rate"), continuous)
    return {}
