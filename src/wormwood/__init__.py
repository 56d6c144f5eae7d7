"""Wormwood: reinforcement learning with structure built into the policy.

What Python users need is here, and loaded when it is asked for: ``wormwood.train("swim-ncap-cma")``,
``from wormwood import NCAPPolicy``. ``dir(wormwood)`` lists it.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    # Train, evaluate, compare
    "wormwood.launch.api": "evaluate train transfer",
    "wormwood.launch.run.agent_files": "Agent load_agent save_agent",
    "wormwood.launch.run.evaluation": "Evaluation",
    "wormwood.launch.run.exports": "export",
    "wormwood.launch.run.training": "Interrupted Watcher",
    "wormwood.launch.transfer.report": "Report",
    "wormwood.launch.inspect.film": "write_film",
    "wormwood.errors": "BadInput",
    # In scripts of Stable-Baselines3
    "wormwood.launch.distribute": "distribute",
    "wormwood.envs.faces.stable_baselines3": "make_swimmers",
    "wormwood.agents.stable_baselines3.accelerated.models": "accelerate",
    "wormwood.agents.stable_baselines3.trials": "make_trials",
    "wormwood.agents.stable_baselines3.on_policy": "NCAPPolicy",
    "wormwood.agents.stable_baselines3.td3": "NCAPTD3Policy",
    "wormwood.agents.stable_baselines3.sac": "NCAPSACPolicy",
    "wormwood.agents.stable_baselines3.boosted": "BoostedA2C BoostedAWR BoostedPPO",
    "wormwood.agents.stable_baselines3.boosted_dqn": "BoostedDQN",
    "wormwood.agents.stable_baselines3.boosted_sac": "BoostedSAC",
    "wormwood.agents.policies.forest_settings": "ForestConfig",
    "wormwood.agents.learning.boosted.settings": "BoostingConfig",
    # Bodies, tasks and environments
    "wormwood.envs.bodies": "Body load_body swimmer",
    "wormwood.envs.specs": "ActionSpace SwimmerSpec",
    "wormwood.envs.gymnasium_spec": "GymnasiumSpec",
    "wormwood.envs.tasks": "Navigate Swim SwimAtSpeed Task forward_speed",
    "wormwood.envs.task_table": "task_from_name",
    "wormwood.envs.faces.bridges": "SwimObservation SwimmerV5Observation",
    "wormwood.envs.faces.dm_control": "load_environment",
    "wormwood.envs.randomness": "stream",
    # Families of tasks, and what is known to play them
    "wormwood.envs.families.interfaces": "FamilyTask InnerStep plain_layout",
    "wormwood.envs.families.table": "family_from_name held_out_tasks",
    "wormwood.envs.families.trials": "TrialSpec trial_from_name",
    "wormwood.envs.faces.trials": "TaskEnv Trial",
    "wormwood.agents.references.bandit_policies": "BanditPolicy thompson",
    "wormwood.agents.references.bandit_values": "bayes_optimal_value",
    "wormwood.agents.references.playing": "held_out_returns",
    # Trees
    "wormwood.trees.forest": "Forest",
    "wormwood.trees.config": "TreeConfig",
    "wormwood.trees.explanation": "explain",
    "wormwood.trees.compression": "distil",
    "wormwood.agents.policies.forest": "forest_of forest_weights",
    "wormwood.agents.policies.features": "make_feature_map",
    "wormwood.launch.inspect.forest_source": "visited_observations",
    # Agents, learners and tasks of your own
    "wormwood.agents.policies.interfaces": "Policy",
    "wormwood.agents.policies.search_space": "Parameter SearchSpace",
    "wormwood.agents.learners": "LearnerContext SampleRequirements",
    "wormwood.agents.learning.interfaces": "Fragment Learner",
    "wormwood.agents.learning.evolution.fitness": "candidate_returns",
}
"""The public names of each module. ``__init__.pyi`` says the same to type checkers and editors."""
_MODULES = {name: module for module, names in _HOMES.items() for name in names.split()}

__all__ = [*sorted(_MODULES), "__version__"]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
        return value
    from wormwood.errors import nearest

    close = nearest(name, _MODULES)
    raise AttributeError(f"module 'wormwood' has no attribute {name!r}" + (f" (nearest: {close!r})" if close else ""))


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
