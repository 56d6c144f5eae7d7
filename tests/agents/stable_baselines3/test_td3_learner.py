"""TD3 as a learner: Stable-Baselines3's own loop as the reference, and going on from a state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DDPG, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed

from wormwood.agents.learning.determinism import seeded_generators
from wormwood.agents.learning.interfaces import Fragment, Transitions
from wormwood.agents.learning.td3_settings import TD3Config
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import AgentConfig, initial_weights, make_policy
from wormwood.agents.stable_baselines3.off_policy_modules import Bounded
from wormwood.agents.stable_baselines3.td3 import NCAPTD3Policy, StructuredTD3Policy
from wormwood.agents.stable_baselines3.td3_learner import TD3Learner
from wormwood.envs.bodies import swimmer
from wormwood.envs.faces.stable_baselines3 import make_swimmers
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput

BODY, TASK = swimmer(4), Swim(horizon=7)
SPEC = SwimmerSpec(BODY, TASK)
NCAP = NCAPConfig(constraint="straight_through", bounds={"prop": (0.1, 1.5)})
MLP = MLPConfig(hidden=(8, 8))
Play = Callable[..., Fragment]


def _make(agent: AgentConfig = NCAP, spec: EnvironmentSpec = SPEC, **settings: Any) -> TD3Learner:
    defaults = {"environments": 4, "steps": 16, "batch_size": 32, "critic_hidden": (8,), "actor_rate": 0.01}
    config = TD3Config(**{**defaults, "critic_iterations": 1, "replay_ratio": 0.1, **settings})
    return TD3Learner(config, agent, initial_weights(agent, spec, np.random.default_rng(0)), spec=spec, seed=3)


def _iterate(learner: TD3Learner, play: Play, agent: AgentConfig, iterations: range) -> None:
    for iteration in iterations:
        weights = learner.weights()
        fragments = [play(weights, agent, BODY, TASK, seed=iteration, shard=shard) for shard in range(2)]
        learner.update(fragments, iteration)


def _assert_same(one: Arrays, two: Arrays) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(two[name], values, err_msg=name)
        assert two[name].dtype == values.dtype


# --- bounds ---


def test_gradients_that_lead_out_of_the_bounds_are_dropped_by_hand() -> None:
    action = torch.tensor([-2.0, -2.0, -0.5, 0.5, 2.0, 2.0], requires_grad=True)
    bounded = Bounded.apply(action)
    assert bounded.tolist() == [-1, -1, -0.5, 0.5, 1, 1]
    # Descent moves against the gradient: +1 lowers the action, -1 raises it.
    bounded.backward(torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]))
    assert action.grad is not None
    assert action.grad.tolist() == [0, -1, 1, -1, 1, 0]


# --- against SB3's own loop ---


class _Recorder(BaseCallback):
    """Writes down what a rollout of ours would have recorded."""

    def _on_training_start(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in Transitions.__dataclass_fields__ if name != "memory"}

    def _on_step(self) -> bool:
        infos, columns = self.locals["infos"], self.columns
        truncated = np.array([info["TimeLimit.truncated"] for info in infos])
        columns["observation"].append(self.model._last_obs.copy())
        columns["episode_start"].append(np.zeros(len(truncated), dtype=bool))
        columns["action"].append(self.locals["actions"].copy())
        columns["log_prob"].append(np.zeros(len(truncated)))
        columns["reward"].append(self.locals["rewards"].copy())
        columns["truncated"].append(truncated)
        columns["terminated"].append(self.locals["dones"] & ~truncated)
        columns["final_observation"] += [infos[row]["terminal_observation"] for row in np.flatnonzero(truncated)]
        columns["next_observation"] = list(self.locals["new_obs"])
        return True

    def fragment(self) -> Fragment:
        arrays = {name: np.array(values) for name, values in self.columns.items()}
        return Fragment(0, 0, 0, None, Transitions(**arrays))  # type: ignore[arg-type] # it does not look at episodes


@pytest.mark.parametrize("agent", [NCAP, MLP])
def test_buffer_and_update_are_those_of_sb3s_own_loop(agent: AgentConfig) -> None:
    learner = _make(agent, environments=2, steps=20, replay_ratio=0.5, critic_iterations=0, buffer_size=40)
    settings = {"agent": agent, "spec": SPEC, "critic_hidden": (8,), "actor_rate_scale": 10.0}
    model = TD3(
        StructuredTD3Policy,
        make_swimmers(BODY, 2, task=TASK),
        buffer_size=40,
        learning_starts=0,
        batch_size=32,
        train_freq=(20, "step"),
        gradient_steps=20,
        policy_kwargs=settings,
    )
    model.policy.load_state_dict(learner._policy.state_dict())
    recorder = _Recorder()
    _, callback = model._setup_learn(10**6, callback=recorder)
    callback.on_training_start({}, {})
    assert model.replay_buffer is not None
    model.collect_rollouts(model.env, callback, model.train_freq, model.replay_buffer, learning_starts=0)  # type: ignore[arg-type]
    metrics = learner.update([recorder.fragment()], 0)
    for name in ("observations", "next_observations", "actions", "rewards"):
        ours, theirs = (getattr(buffer, name) for buffer in (learner._model.replay_buffer, model.replay_buffer))
        np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=1e-6, err_msg=name)
    # SB3 counts cut episodes as done, and takes that back when it samples.
    theirs_done = model.replay_buffer.dones * (1 - model.replay_buffer.timeouts)
    assert learner._model.replay_buffer is not None
    np.testing.assert_array_equal(learner._model.replay_buffer.dones, theirs_done)
    model.policy.normalizer.update(torch.tensor(np.array(recorder.columns["observation"])).flatten(0, 1))
    with seeded_generators(3, 1):
        model.train(20, 32)
    for name, theirs in model.policy.state_dict().items():
        np.testing.assert_allclose(learner._policy.state_dict()[name], theirs, atol=1e-6, rtol=1e-5, err_msg=name)
    assert metrics["n_updates"] == 20
    assert metrics["critic_loss"] == pytest.approx(model.logger.name_to_value["train/critic_loss"], rel=1e-4)


# --- learning ---


def test_the_actor_rests_at_first_and_then_moves_within_its_bounds(play: Play) -> None:
    learner = _make(critic_iterations=2, actor_rate=0.5)
    start = learner.weights()
    _iterate(learner, play, NCAP, range(2))
    assert learner.weights()["prop"] == start["prop"]
    _iterate(learner, play, NCAP, range(2, 6))
    moved = learner.weights()
    assert moved["prop"] != start["prop"]
    assert 0.1 <= moved["prop"] <= np.float32(1.5)


@pytest.mark.parametrize("agent", [NCAP, MLP])
def test_the_exported_policy_acts_as_the_torch_module_does(agent: AgentConfig, play: Play) -> None:
    learner = _make(agent)
    _iterate(learner, play, agent, range(3))
    observation = np.random.default_rng(0).standard_normal((5, SPEC.layout.size))
    observation[:, -1] = np.arange(5)
    action = make_policy(agent, learner.policy_weights(), SPEC).act(observation, {}, None)[0]
    theirs = learner._policy.actor(torch.tensor(observation, dtype=torch.float32)).detach().numpy()
    np.testing.assert_allclose(np.clip(action, -1, 1), theirs, atol=1e-5)


@pytest.mark.parametrize("agent", [NCAP, MLP])
def test_it_goes_on_from_its_state_to_the_bit(agent: AgentConfig, play: Play) -> None:
    one, two = _make(agent, buffer_size=200), _make(agent, buffer_size=200)
    _iterate(one, play, agent, range(5))
    state = {name: values.copy() for name, values in one.state().items()}
    two.restore(state)
    _assert_same(one.state(), two.state())
    for learner in (one, two):
        _iterate(learner, play, agent, range(5, 8))
    _assert_same(one.state(), two.state())


def test_actions_of_other_ranges_are_scaled() -> None:
    spec = GymnasiumSpec("Pendulum-v1")
    learner = _make(MLP, spec, environments=1, steps=4)
    zero = np.zeros((4, 1))
    experience = Transitions(
        observation=np.zeros((4, 1, 3)),
        action=np.array([-9.0, -1.0, 1.0, 9.0])[:, None, None],  # bounds are -2 and 2
        reward=zero,
        episode_start=zero.astype(bool),
        terminated=zero.astype(bool),
        truncated=zero.astype(bool),
        final_observation=np.zeros((0, 3)),
        next_observation=np.zeros((1, 3)),
        log_prob=zero,
    )
    learner.update([Fragment(0, 0, 4, None, experience)], 0)  # type: ignore[arg-type]
    assert learner.state()["replay/segments/000000/actions"].ravel().tolist() == [-1, -0.5, 0.5, 1]


@pytest.mark.parametrize(
    ("spec", "settings", "message"),
    [
        (
            GymnasiumSpec("CartPole-v1"),
            {},
            "action space in an off-policy learner: expected numbers, got 'choices in environment",
        ),
        (
            SPEC,
            {"buffer_size": 63},
            "buffer_size in learner td3: expected at least the 64 transitions of one iteration",
        ),
    ],
)
def test_what_cannot_be_learned_is_refused(spec: EnvironmentSpec, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        _make(MLP, spec, **settings)


# --- plain use ---


@pytest.mark.parametrize("algorithm", [TD3, DDPG])
def test_the_circuit_learns_in_plain_sb3_and_goes_on_from_a_file(algorithm: type[TD3], tmp_path: Path) -> None:
    fast: dict[str, Any] = {"learning_starts": 0, "batch_size": 16, "buffer_size": 1000}
    model = algorithm(NCAPTD3Policy, make_swimmers("swimmer-4", 4), seed=0, **fast)
    before = {name: values.clone() for name, values in model.policy.state_dict().items()}
    model.learn(128)
    assert any((values != before[name]).any() for name, values in model.policy.actor.named_parameters(prefix="actor"))
    model.save(tmp_path / "model")
    loaded = algorithm.load(tmp_path / "model")
    observation = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    observation[:, -1] = 0, 1, 500  # the clock
    np.testing.assert_array_equal(loaded.predict(observation)[0], model.predict(observation)[0])
    for each in (model, loaded):
        each.replay_buffer.reset()  # type: ignore[union-attr] # it is not in the file
        each.set_env(make_swimmers("swimmer-4", 4, seed=5))
        set_random_seed(3)
        each.learn(64)
    for name, values in model.policy.state_dict().items():
        assert torch.equal(loaded.policy.state_dict()[name], values), name
