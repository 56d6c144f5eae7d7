"""Circuits act and learn on gymnasium's Swimmer-v5 and on dm_control's swimmer."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from dm_control.suite import swimmer as suite
from gymnasium import spaces
from stable_baselines3 import A2C, DDPG, PPO, SAC, TD3

from wormwood.agents.stable_baselines3.on_policy import NCAPPolicy
from wormwood.agents.stable_baselines3.sac import NCAPSACPolicy
from wormwood.agents.stable_baselines3.td3 import NCAPTD3Policy
from wormwood.envs.faces.bridges import SwimmerV5Observation, SwimObservation
from wormwood.errors import BadInput

V5: dict[str, Any] = {"body": "gymnasium-swimmer"}
KEPT: dict[str, Any] = {"learning_starts": 0, "batch_size": 16, "train_freq": 16, "seed": 0, "device": "cpu"}


def _v5() -> gymnasium.Env[Any, Any]:
    return SwimmerV5Observation(gymnasium.make("Swimmer-v5"))


class DMControl(gymnasium.Env[Any, Any]):
    """dm_control's swimmer of 4 links behind dictionaries, as bridges show it."""

    observation_space = spaces.Dict(
        {
            "joints": spaces.Box(-np.inf, np.inf, (3,)),
            "to_target": spaces.Box(-np.inf, np.inf, (2,)),
            "body_velocities": spaces.Box(-np.inf, np.inf, (12,)),
        }
    )
    action_space = spaces.Box(-1, 1, (3,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.suite = suite.swimmer(4, random=seed)
        return dict(self.suite.reset().observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        latest = self.suite.step(action)
        return dict(latest.observation), float(latest.reward), False, latest.last(), {}


def test_an_untrained_circuit_swims_in_swimmer_v5() -> None:
    env = _v5()
    model = PPO(NCAPPolicy, env, policy_kwargs=dict(V5), seed=0, device="cpu")
    observation, _ = env.reset(seed=0)
    earned = 0.0
    for _ in range(250):
        action, _ = model.predict(observation, deterministic=True)
        observation, reward, *_ = env.step(action)
        earned += float(reward)
    # The reward is the velocity along +x, into which the head looks at the start: 10 s of it.
    assert earned > 5.0


def _ppo() -> Any:
    return PPO(NCAPPolicy, _v5(), policy_kwargs=dict(V5), n_steps=32, batch_size=16, n_epochs=2, seed=0, device="cpu")


def _a2c() -> Any:
    return A2C(NCAPPolicy, _v5(), policy_kwargs=dict(V5), seed=0, device="cpu")


def _td3() -> Any:
    return TD3(NCAPTD3Policy, _v5(), policy_kwargs=dict(V5), **KEPT)


def _ddpg() -> Any:
    return DDPG(NCAPTD3Policy, _v5(), policy_kwargs=dict(V5), **KEPT)


def _sac() -> Any:
    return SAC(NCAPSACPolicy, _v5(), policy_kwargs=dict(V5), ent_coef="auto_0.01", **KEPT)


@pytest.mark.parametrize("build", [_ppo, _a2c, _td3, _ddpg, _sac])
def test_a_circuit_learns_in_swimmer_v5(build: Any, tmp_path: Path) -> None:
    model = build()
    before = {name: np.copy(values) for name, values in model.policy.policy_weights().items()}
    model.learn(64)
    after = model.policy.policy_weights()
    assert any(not np.array_equal(before[name], after[name]) for name in before)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", env=_v5())
    observation = _v5().reset(seed=0)[0]
    expected, found = (each.predict(observation, deterministic=True)[0] for each in (model, loaded))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("task", "command"), [("swim", None), ("navigate", "to_target")])
def test_a_circuit_learns_in_dm_controls_swimmer(task: str, command: str | None) -> None:
    env = SwimObservation(DMControl(), joints="joints", velocities="body_velocities", command=command)
    model = PPO(NCAPPolicy, env, policy_kwargs={"task": task}, n_steps=32, batch_size=16, n_epochs=2, device="cpu")
    before = model.policy.policy_weights()  # type: ignore[attr-defined]
    model.learn(32)
    after = model.policy.policy_weights()  # type: ignore[attr-defined]
    assert before["prop"] != after["prop"]


def test_without_a_clock_the_circuit_is_refused_in_one_line() -> None:
    with pytest.raises(BadInput, match=r"observation space in policy: expected .* numbers, as body gymnasium-swimmer"):
        PPO(NCAPPolicy, gymnasium.make("Swimmer-v5"), policy_kwargs=dict(V5))
