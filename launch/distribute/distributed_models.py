"""Models of Stable-Baselines3 whose experience is collected by workers, and which are otherwise what they were."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from wormwood.agents.stable_baselines3.replaced_methods import replace_method
from wormwood.envs.faces.common import whole_number
from wormwood.errors import bad_input
from wormwood.launch.distribute.acting import Acting, OffPolicyActing
from wormwood.launch.distribute.collecting import Collector, Distribution
from wormwood.launch.distribute.environments import Maker
from wormwood.launch.distribute.off_policy import collect_off_policy
from wormwood.launch.distribute.on_policy import Judged, Masked, Recurrent, collect_on_policy

__all__ = ["distribute"]

Model = TypeVar("Model", bound=BaseAlgorithm)


def distribute(
    model: Model,
    *,
    workers: int,
    address: str = "local",
    shards: int | None = None,
    make: Maker | None = None,
    lag: int = 0,
    deadline: float = 300.0,
) -> Model:
    """Let Ray workers collect the experience of a Stable-Baselines3 model.

    ``model = wormwood.distribute(PPO("MlpPolicy", make_swimmers("swimmer-6", 16)), workers=2)`` learns, calls
    callbacks, logs, predicts, saves and loads as before. The result is the same for any number of workers, killed
    ones among them, in the way that docs/stable_baselines3.md says.

    Args:
        model: of an algorithm that collects as SB3's own do, such as PPO, A2C, DQN, DDPG, TD3 or SAC, or as
            MaskablePPO or RecurrentPPO, with environments. It is changed, and returned.
        workers: Ray actors that collect; 0 collects in this process, without Ray.
        address: of a running Ray cluster; ``"local"`` starts one on this machine, which ends with the process.
        shards: groups of environments, the unit of work, of which a worker plays one after the other; None makes 4,
            or one for 16 environments where that is more. The result depends on it.
        make: builds one environment, for those that ``gymnasium.make`` did not.
        lag: 1 lets the workers of an on-policy model collect while it learns, with the policy before the update. That
            is another result, and as reproducible; PPO's ratios account for it.
        deadline: seconds after which a rollout counts as hung, and its worker is ended.

    Raises:
        BadInput: the model collects in another way or has no environments, they cannot be built in workers, or a
            number is wrong.
    """
    if not isinstance(model, BaseAlgorithm):
        raise bad_input("model", where="distribute", expected='a model, as PPO("MlpPolicy", env) makes one', got=model)
    whole_number("workers", workers, minimum=0, where="distribute")
    whole_number("lag", lag, minimum=0, maximum=int(isinstance(model, OnPolicyAlgorithm)), where="distribute")
    if shards is not None:
        whole_number("shards", shards, minimum=1, where="distribute")
    if not isinstance(deadline, int | float) or not deadline > 0:
        raise bad_input("deadline", where="distribute", expected="seconds, more than 0", got=deadline)
    if make is not None and not callable(make):
        raise bad_input("make", where="distribute", expected="a function that builds one environment", got=make)
    if model.env is None:
        raise bad_input("model", where="distribute", expected="one with environments", got=type(model).__name__)
    acting, ours = _way_of(type(model))
    collector = Collector(model.env, acting, Distribution(workers, address, shards, make, lag, deadline))
    replace_method(model, "collect_rollouts", functools.partial(ours, model, collector), _collector=collector)
    return model


def _way_of(algorithm: type[BaseAlgorithm]) -> tuple[type[Acting], Callable[..., Any]]:
    """Return how the policy of an algorithm acts in workers, and what takes the place of its ``collect_rollouts``.

    Raises:
        BadInput: it collects in a way of its own.
    """
    owner = next((each for each in algorithm.__mro__ if "collect_rollouts" in vars(each)), algorithm)
    if owner is OffPolicyAlgorithm:
        return OffPolicyActing, collect_off_policy
    kinds = {
        OnPolicyAlgorithm.__module__: Judged,
        "sb3_contrib.ppo_mask.ppo_mask": Masked,
        "sb3_contrib.ppo_recurrent.ppo_recurrent": Recurrent,
    }
    if owner.__module__ in kinds:
        kind = kinds[owner.__module__]
        return kind.acting, functools.partial(collect_on_policy, kind)
    expected = "an algorithm that collects as those of Stable-Baselines3, MaskablePPO or RecurrentPPO do"
    raise bad_input("algorithm", where="distribute", expected=expected, got=algorithm.__name__)
