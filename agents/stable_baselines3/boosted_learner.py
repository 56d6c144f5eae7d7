"""PPO, A2C and AWR of forests as a learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from wormwood.agents.learning.boosted.actor_critic import BoostedActorCritic
from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig
from wormwood.agents.learning.determinism import one_torch_thread, seeded_generators
from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.torch_states import module_arrays, optimizer_arrays, restore_module, restore_optimizer
from wormwood.agents.learning.transitions import collate
from wormwood.agents.policies.forest import forest_weights
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig
from wormwood.agents.stable_baselines3.boosted import ALGORITHMS
from wormwood.agents.stable_baselines3.boosted_policy import BoostedActorCriticPolicy
from wormwood.agents.stable_baselines3.training import fill_buffer, set_up, take_metrics
from wormwood.envs.specs import EnvironmentSpec
from wormwood.errors import bad_input
from wormwood.trees.forest import Forest

__all__ = ["BoostedLearner"]

CRITIC = "critic/"
SEGMENT = 1024
"""Trees that a checkpoint keeps together. Full segments change only with a distilled forest: checkpoints share them."""


class BoostedLearner:
    """Grows the forest of a forest, beside a network where that is its critic."""

    @one_torch_thread()
    def __init__(self, config: BoostedLearnerConfig, agent: AgentConfig, *, spec: EnvironmentSpec, seed: int) -> None:
        """Start without trees.

        Raises:
            BadInput: the agent is no boosted one, or does not fit the environment.
        """
        if not isinstance(agent, ForestConfig):
            raise bad_input("agent", where="learner boosted", expected="kind forest", got=agent.kind)
        self._seed, self._updates = seed, 0
        self._model = ALGORITHMS[config.loss](
            BoostedActorCriticPolicy,
            settings=config,
            policy_kwargs={"agent": agent, "spec": spec},
            _init_setup_model=False,
        )
        set_up(self._model, spec, environments=config.environments, seed=seed)

    @property
    def _actor_critic(self) -> BoostedActorCritic:
        assert isinstance(self._model.policy, BoostedActorCriticPolicy)
        return self._model.policy.actor_critic

    def weights(self) -> Arrays:
        model = self._actor_critic
        noise = {} if model.log_std is None else {"log_std": model.log_std.detach().numpy().copy()}
        return {**forest_weights(model.forests["policy"]), **noise}

    def policy_weights(self) -> Arrays:
        return self.weights()

    @one_torch_thread()
    def update(self, fragments: Sequence[Fragment], iteration: int) -> Mapping[str, float]:
        fill_buffer(self._model, collate(fragments))
        self._updates += 1
        with seeded_generators(self._seed, self._updates):
            self._model.train()
        metrics = take_metrics(self._model)
        del metrics["n_updates"]  # of this process: it would begin anew where a run is resumed
        return metrics

    def state(self) -> Arrays:
        model = self._actor_critic
        state: Arrays = {"updates": np.array(self._updates), **model.growth_arrays()}
        for name, forest in model.forests.items():
            state |= {f"{name}/{part}": values for part, values in _forest_state(forest).items()}
        if model.log_std is not None:
            state["log_std"] = model.log_std.detach().numpy().copy()
        if model.critic is not None:
            state |= module_arrays(model.critic, prefix=CRITIC)
        return state | (optimizer_arrays(model.optimizer) if model.optimizer else {})

    def restore(self, state: Arrays) -> None:
        model = self._actor_critic
        model.restore_growth(state)
        for name in model.forests:
            start = f"{name}/"
            arrays = {part.removeprefix(start): values for part, values in state.items() if part.startswith(start)}
            model.forests[name] = _restored_forest(arrays)
        if model.log_std is not None:
            model.log_std.data.copy_(torch.tensor(state["log_std"]))
        if model.critic is not None:
            restore_module(model.critic, state, prefix=CRITIC)
        if model.optimizer is not None:
            restore_optimizer(model.optimizer, state)
        self._updates = int(state["updates"])


def _forest_state(forest: Forest) -> Arrays:
    """Return a forest as full segments of trees, and the rest."""
    full = len(forest) // SEGMENT
    state: Arrays = {f"rest/{name}": values for name, values in forest.arrays(start=full * SEGMENT).items()}
    for segment in range(full):
        first = segment * SEGMENT
        arrays = {**forest[first : first + SEGMENT].arrays(), "start": np.array(first)}
        state |= {f"segments/{segment:06d}/{name}": values for name, values in arrays.items()}
    return state


def _restored_forest(state: Arrays) -> Forest:
    parts: dict[str, Arrays] = {}
    for name, values in state.items():
        part, array = name.rsplit("/", 1)
        parts.setdefault(part, {})[array] = values
    rest = parts.pop("rest")
    ordered = [*(parts[part] for part in sorted(parts)), rest]
    forest = Forest.from_arrays(ordered[0])
    for arrays in ordered[1:]:
        forest.extend(arrays)
    return forest
