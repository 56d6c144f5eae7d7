"""SAC with structured actors: noise, densities, going on from a state, and plain Stable-Baselines3 scripts."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import SAC
from stable_baselines3.common.utils import set_random_seed

from wormwood.agents.learning.interfaces import Fragment
from wormwood.agents.learning.sac_settings import SACConfig
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.table import initial_weights, make_policy
from wormwood.agents.stable_baselines3.sac import NCAPSACPolicy
from wormwood.agents.stable_baselines3.sac_learner import SACLearner
from wormwood.envs.bodies import swimmer
from wormwood.envs.faces.stable_baselines3 import make_swimmers
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput

BODY, TASK = swimmer(4), Swim(horizon=7)
SPEC = SwimmerSpec(BODY, TASK)
NCAP = NCAPConfig(constraint="straight_through", bounds={"prop": (0.1, 1.5)})
FAST: dict[str, Any] = {"learning_starts": 0, "batch_size": 16, "buffer_size": 1000, "device": "cpu"}
Play = Callable[..., Fragment]


def _make(**settings: Any) -> SACLearner:
    defaults = {"environments": 4, "steps": 16, "batch_size": 32, "critic_hidden": (8,), "actor_rate": 0.01}
    config = SACConfig(**{**defaults, "critic_iterations": 1, "replay_ratio": 0.1, **settings})
    return SACLearner(config, NCAP, initial_weights(NCAP, SPEC, np.random.default_rng(0)), spec=SPEC, seed=3)


def _iterate(learner: SACLearner, play: Play, iterations: range) -> None:
    for iteration in iterations:
        weights = learner.weights()
        fragments = [play(weights, NCAP, BODY, TASK, seed=iteration, shard=shard) for shard in range(2)]
        learner.update(fragments, iteration)


def _observation(rows: int) -> torch.Tensor:
    observation = torch.randn(rows, SPEC.layout.size)
    observation[:, -1] = torch.arange(rows)
    return observation


def test_actions_are_the_circuits_with_noise_and_the_density_is_that_of_the_noise() -> None:
    actor: Any = _make(noise_std=0.2)._policy.actor
    observation = _observation(5)
    torch.manual_seed(0)
    action, log_prob = actor.action_log_prob(observation)
    torch.manual_seed(0)
    standard = torch.randn(5, 3)
    expected = (actor.mean(observation) + 0.2 * standard).clamp(-1, 1)
    torch.testing.assert_close(action, expected)
    by_hand = -0.5 * standard**2 - math.log(0.2) - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(log_prob, by_hand.sum(dim=1))
    torch.testing.assert_close(actor(observation, deterministic=True), actor.mean(observation).clamp(-1, 1))


def test_entropy_moves_the_noise_and_not_the_circuit() -> None:
    policy = _make()._policy
    actor: Any = policy.actor
    actor.action_log_prob(_observation(5))[1].mean().backward()
    assert actor.log_std.grad.tolist() == pytest.approx([-1, -1, -1])
    assert all(parameter.grad is None for parameter in actor.structure.parameters())


def test_the_actor_rests_at_first_and_then_everything_stays_within_its_bounds(play: Play) -> None:
    learner = _make(critic_iterations=2, actor_rate=0.5, critic_rate=0.5)
    start = learner.weights()
    _iterate(learner, play, range(2))
    assert learner.weights()["prop"] == start["prop"]
    assert (learner.weights()["log_std"] == start["log_std"]).all()
    _iterate(learner, play, range(2, 6))
    moved = learner.weights()
    assert moved["prop"] != start["prop"]
    assert 0.1 <= moved["prop"] <= np.float32(1.5)
    noise = np.exp(moved["log_std"])
    assert ((noise > 0.0099) & (noise < 0.5001)).all()
    assert (noise != np.exp(start["log_std"])).any()


def test_the_exported_policy_acts_as_the_torch_module_does(play: Play) -> None:
    learner = _make()
    _iterate(learner, play, range(3))
    observation = _observation(5)
    action = make_policy(NCAP, learner.policy_weights(), SPEC).act(observation.double().numpy(), {}, None)[0]
    theirs = learner._policy._predict(observation, deterministic=True).detach().numpy()
    np.testing.assert_allclose(np.clip(action, -1, 1), theirs, atol=1e-5)


def test_it_goes_on_from_its_state_to_the_bit(play: Play) -> None:
    one, two = _make(buffer_size=200), _make(buffer_size=200)
    _iterate(one, play, range(5))
    two.restore({name: values.copy() for name, values in one.state().items()})
    for learner in (one, two):
        _iterate(learner, play, range(5, 8))
    ours, theirs = one.state(), two.state()
    assert ours.keys() == theirs.keys()
    assert ours["log_entropy_coefficient"] != np.float32(math.log(0.01))
    for name, values in ours.items():
        np.testing.assert_array_equal(theirs[name], values, err_msg=name)


def test_the_circuit_learns_in_plain_sb3_and_goes_on_from_a_file(tmp_path: Path) -> None:
    model = SAC(NCAPSACPolicy, make_swimmers("swimmer-4", 4), seed=0, **FAST)  # type: ignore[arg-type]
    before = {name: values.clone() for name, values in model.policy.state_dict().items()}
    model.learn(128)
    changed = [
        name for name, values in model.policy.actor.named_parameters() if (values != before[f"actor.{name}"]).any()
    ]
    assert "log_std" in changed
    assert len(changed) > 1
    model.save(tmp_path / "model")
    loaded = SAC.load(tmp_path / "model", device="cpu")
    observation = _observation(3).numpy()
    actions = [each.predict(observation, deterministic=True)[0] for each in (model, loaded)]
    np.testing.assert_array_equal(*actions)
    for each in (model, loaded):
        each.replay_buffer.reset()  # type: ignore[union-attr] # it is not in the file
        each.set_env(make_swimmers("swimmer-4", 4, seed=5))
        set_random_seed(3)
        each.learn(64)
    for name, values in model.policy.state_dict().items():
        assert torch.equal(loaded.policy.state_dict()[name], values), name


def test_state_dependent_noise_is_refused() -> None:
    with pytest.raises(BadInput, match=r"unknown option in policy_kwargs: .*got 'use_sde'"):
        SAC(NCAPSACPolicy, make_swimmers("swimmer-4", 2), use_sde=True, **FAST)  # type: ignore[arg-type]
