"""PPO as a learner: Stable-Baselines3's own loop as the reference, and going on from a state."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

from wormwood.agents.learning.determinism import seeded_generators
from wormwood.agents.learning.interfaces import Fragment, Transitions
from wormwood.agents.learning.ppo_settings import PPOConfig
from wormwood.agents.learning.transitions import collate
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import AgentConfig, initial_weights
from wormwood.agents.stable_baselines3.on_policy import StructuredPolicy
from wormwood.agents.stable_baselines3.ppo_learner import PPOLearner
from wormwood.agents.stable_baselines3.training import fill_buffer
from wormwood.envs.bodies import swimmer
from wormwood.envs.faces.stable_baselines3 import SwimmerVecEnv
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.trees.config import TreeConfig

BODY, TASK = swimmer(4), Swim(horizon=7)
NCAP = NCAPConfig(constraint="straight_through", bounds={"prop": (0.1, 1.5)})
MLP = MLPConfig(hidden=(8, 8))
Play = Callable[..., Fragment]


def _config(**settings: Any) -> PPOConfig:
    defaults = {
        "environments": 4,
        "steps": 16,
        "batch_size": 24,
        "epochs": 3,
        "critic_hidden": (8,),
        "actor_rate": 0.01,
    }
    return PPOConfig(**{**defaults, **settings})


def _weights(agent: AgentConfig) -> Arrays:
    return initial_weights(agent, SwimmerSpec(BODY, TASK), np.random.default_rng(0))


def _make(agent: AgentConfig = NCAP, seed: int = 3, **settings: Any) -> PPOLearner:
    return PPOLearner(_config(**settings), agent, _weights(agent), spec=SwimmerSpec(BODY, TASK), seed=seed)


def _iterate(learner: PPOLearner, play: Play, agent: AgentConfig, iterations: range) -> None:
    for iteration in iterations:
        weights = learner.weights()
        fragments = [play(weights, agent, BODY, TASK, seed=iteration, shard=shard) for shard in range(2)]
        learner.update(fragments, iteration)


def _assert_same(one: Arrays, two: Arrays) -> None:
    assert one.keys() == two.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(two[name], values, err_msg=name)
        assert two[name].dtype == values.dtype


# --- against SB3's own loop ---


class _Recorder(BaseCallback):
    """Writes down what a rollout of ours would have recorded, and makes environment 1 unstable once."""

    def __init__(self, unstable_after: int) -> None:
        super().__init__()
        self.unstable_after = unstable_after

    def _on_rollout_start(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in Transitions.__dataclass_fields__ if name != "memory"}

    def _on_step(self) -> bool:
        infos, columns = self.locals["infos"], self.columns
        truncated = np.array([info["TimeLimit.truncated"] for info in infos])
        columns["observation"].append(self.model._last_obs.copy())
        columns["episode_start"].append(self.model._last_episode_starts.copy())
        columns["action"].append(self.locals["actions"].copy())
        columns["log_prob"].append(self.locals["log_probs"].numpy().copy())
        columns["reward"].append(self.locals["rewards"].copy())  # SB3 adds the values of cut episodes in place
        columns["truncated"].append(truncated)
        columns["terminated"].append(self.locals["dones"] & ~truncated)
        columns["final_observation"] += [infos[row]["terminal_observation"] for row in np.flatnonzero(truncated)]
        columns["next_observation"] = list(self.locals["new_obs"])
        if len(columns["reward"]) == self.unstable_after:
            simulation = self.training_env._simulation.simulation  # type: ignore[attr-defined]
            state = simulation.state()
            state["physics"][1, 7:13] = 1e12
            simulation.restore(state)
        return True

    def fragments(self) -> list[Fragment]:
        arrays = {
            name: np.array(values, dtype=bool if values[0].dtype == bool else float)
            for name, values in self.columns.items()
        }
        arrays["episode_start"] = arrays["episode_start"].astype(bool)
        whole = Transitions(**arrays)
        return [_shard(whole, slice(0, 1), 0), _shard(whole, slice(1, 3), 1)]


def _shard(whole: Transitions, columns: slice, shard: int) -> Fragment:
    at = np.argwhere(whole.truncated)
    chosen = np.isin(at[:, 1], range(3)[columns])
    names = ("observation", "action", "log_prob", "reward", "episode_start", "terminated", "truncated")
    part = {name: getattr(whole, name)[:, columns] for name in names}
    transitions = Transitions(
        **part, final_observation=whole.final_observation[chosen], next_observation=whole.next_observation[columns]
    )
    return Fragment(shard, 0, 0, None, transitions)  # type: ignore[arg-type] # PPO does not look at episodes


def _sb3(learner: PPOLearner, config: PPOConfig, agent: AgentConfig) -> PPO:
    model = PPO(
        StructuredPolicy,
        SwimmerVecEnv(BODY, 3, task=TASK, seed=5),
        learning_rate=config.critic_rate,
        n_steps=config.steps,
        batch_size=config.batch_size,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.entropy_coefficient,
        target_kl=config.target_kl,
        policy_kwargs={
            "agent": agent,
            "body": BODY,
            "task": TASK,
            "learn_noise": config.learn_noise,
            "critic": config.critic,
            "critic_hidden": config.critic_hidden,
            "actor_rate_scale": config.actor_rate / config.critic_rate,
        },
    )
    model.policy.load_state_dict(learner._policy.state_dict())
    return model


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize(
    ("agent", "settings"),
    [
        (NCAP, {"steps": 20, "learn_noise": True, "entropy_coefficient": 0.01}),
        (NCAP, {"steps": 21, "critic": "pooled"}),  # two of the episodes end with the rollout
        (MLP, {"steps": 20, "target_kl": 0.005}),
        (MLP, {"steps": 13, "critic": "pooled", "learn_noise": True}),
    ],
)
def test_an_update_is_that_of_sb3s_own_loop(agent: AgentConfig, settings: dict[str, Any]) -> None:
    config = _config(environments=3, gamma=0.9, **settings)
    learner = PPOLearner(config, agent, _weights(agent), spec=SwimmerSpec(BODY, TASK), seed=3)
    model, recorder = _sb3(learner, config, agent), _Recorder(unstable_after=4)
    _, callback = model._setup_learn(10**6, callback=recorder)
    truncated = terminated = 0
    for update in range(1, 4):
        with seeded_generators(11, update):  # the noise of its actions
            model.collect_rollouts(model.env, callback, model.rollout_buffer, config.steps)  # type: ignore[arg-type]
        experience = collate(recorder.fragments())
        truncated += experience.truncated.sum()
        terminated += experience.terminated.sum()
        fill_buffer(learner._model, experience)
        for name in ("observations", "actions", "rewards", "episode_starts", "values", "log_probs", "advantages"):
            ours, theirs = (getattr(buffer, name) for buffer in (learner._model.rollout_buffer, model.rollout_buffer))
            np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(learner._model.rollout_buffer.returns, model.rollout_buffer.returns, atol=1e-5)
        # The reward of an episode that was cut holds the critic's guess of the rest, that of a failure does not.
        assert (
            model.rollout_buffer.rewards != experience.reward.astype(np.float32)
        ).sum() == experience.truncated.sum()
        metrics = learner.update(recorder.fragments(), update)
        with seeded_generators(3, update):
            model.train()
        model.policy.normalizer.update(torch.tensor(experience.observation).flatten(0, 1))
        for name, theirs in model.policy.state_dict().items():
            np.testing.assert_allclose(
                learner._policy.state_dict()[name], theirs, atol=1e-6, rtol=1e-6, err_msg=f"{name}, update {update}"
            )
        assert metrics["n_updates"] == model._n_updates
        assert metrics["value_loss"] == pytest.approx(model.logger.name_to_value["train/value_loss"], rel=1e-4)
    assert truncated >= 5
    assert terminated == 3


def test_an_update_moves_actor_and_critic_but_not_noise_that_is_not_learned(play: Play) -> None:
    learner = _make()
    before = learner.state()
    _iterate(learner, play, NCAP, range(2))
    moved = {name for name, values in learner.state().items() if name in before and (values != before[name]).any()}
    assert {"policy/actor.synapses.prop", "policy/value_net.module.value.weight", "policy/normalizer.count"} <= moved
    assert "policy/log_std" not in moved
    assert learner.state()["policy/normalizer.count"] == 2 * 4 * 16
    assert learner.state()["gradient_steps"] == 2 * 3
    assert learner.weights()["prop"] <= 1.5


def test_metrics_are_finite_numbers(play: Play) -> None:
    learner = _make()
    fragments = [play(learner.weights(), NCAP, BODY, TASK, seed=1, shard=shard) for shard in range(2)]
    metrics = learner.update(fragments, 0)
    assert {"policy_gradient_loss", "value_loss", "approx_kl", "clip_fraction", "explained_variance"} <= metrics.keys()
    assert all(type(value) is float and np.isfinite(value) for value in metrics.values())


# --- states ---


@pytest.mark.parametrize(
    ("agent", "settings"),
    [
        (NCAP, {"learn_noise": True}),
        (MLP, {"critic": "pooled"}),
        (MLP, {"learn_noise": True}),
        (NCAP, {"critic": "forest"}),
        (MLP, {"critic": "forest", "critic_tree": TreeConfig(max_depth=2)}),
    ],
)
def test_it_goes_on_from_any_state_bit_for_bit(play: Play, agent: AgentConfig, settings: dict[str, Any]) -> None:
    whole, states = _make(agent, **settings), []
    for iteration in range(4):
        states.append(whole.state())
        _iterate(whole, play, agent, range(iteration, iteration + 1))
    for iteration, state in enumerate(states):
        resumed = _make(agent, **settings)
        _iterate(resumed, play, agent, range(7, 8))  # what it learned before must not matter
        resumed.restore(state)
        _assert_same(resumed.state(), state)
        _iterate(resumed, play, agent, range(iteration, 4))
        _assert_same(resumed.state(), whole.state())
        _assert_same(resumed.weights(), whole.weights())


def test_a_state_is_copies_of_numbers(play: Play) -> None:
    learner = _make()
    _iterate(learner, play, NCAP, range(1))
    state = learner.state()
    kept = {name: values.copy() for name, values in state.items()}
    assert {values.dtype.kind for values in state.values()} <= {"f", "i"}
    _iterate(learner, play, NCAP, range(1, 2))
    learner.restore(state)
    _iterate(learner, play, NCAP, range(1, 2))
    _assert_same(state, kept)


def test_two_learners_in_one_process_learn_as_each_alone(play: Play) -> None:
    alone = []
    for agent, seed in ((NCAP, 1), (MLP, 2)):
        learner = _make(agent, seed=seed)
        _iterate(learner, play, agent, range(3))
        alone.append(learner.state())
    one, two = _make(NCAP, seed=1), _make(MLP, seed=2)
    for iteration in range(3):
        _iterate(two, play, MLP, range(iteration, iteration + 1))
        _iterate(one, play, NCAP, range(iteration, iteration + 1))
    _assert_same(one.state(), alone[0])
    _assert_same(two.state(), alone[1])


def test_the_seed_draws_the_critic_and_shuffles(play: Play) -> None:
    one, same, other = _make(), _make(), _make(seed=4)
    _assert_same(one.state(), same.state())
    name = "policy/value_net.module.hidden.0.weight"
    assert (one.state()[name] != other.state()[name]).any()
    other.restore(one.state())
    _iterate(one, play, NCAP, range(1))
    _iterate(other, play, NCAP, range(1))
    assert (one.state()[name] != other.state()[name]).any()


def test_global_generators_are_left_alone(play: Play) -> None:
    before = repr(np.random.get_state()), torch.get_rng_state()  # noqa: NPY002
    _iterate(_make(), play, NCAP, range(1))
    assert repr(np.random.get_state()) == before[0]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


# --- weights and fragments ---


def test_it_starts_from_the_weights_it_is_given() -> None:
    for agent in (NCAP, MLP):
        weights, got = _weights(agent), _make(agent).policy_weights()
        for name, values in weights.items():
            np.testing.assert_allclose(got[name], values, rtol=1e-6)
        np.testing.assert_allclose(np.exp(got["log_std"]), [0.3] * 3, rtol=1e-6)


def test_learning_goes_on_from_exported_weights(play: Play) -> None:
    learner = _make(MLP)
    _iterate(learner, play, MLP, range(2))
    weights = learner.policy_weights()
    again = PPOLearner(_config(), MLP, weights, spec=SwimmerSpec(BODY, TASK), seed=9).weights()
    assert again.pop("log_std") == pytest.approx(np.log(0.3)), "the noise is that of the settings"
    for name, values in again.items():
        np.testing.assert_allclose(values, weights[name], rtol=1e-12, err_msg=name)


def test_a_perceptron_that_is_not_to_standardise_does_not(play: Play) -> None:
    raw = MLPConfig(hidden=(8, 8), normalize=False)
    learner = _make(raw)
    _iterate(learner, play, raw, range(1))
    assert learner.weights().keys() == _weights(raw).keys() | {"log_std"}
    assert learner.state()["policy/normalizer.count"] == 64, "the critic does"


def test_joined_puts_environments_side_by_side_in_the_order_of_shards() -> None:
    truncated = np.array([[False, True, True], [True, False, True]])
    final = np.array([[1.0], [2.0], [10.0], [12.0]])  # of (time, environment): (0, 1), (0, 2), (1, 0), (1, 2)
    values = np.arange(6.0).reshape(2, 3)
    whole = Transitions(
        observation=values[..., None],
        action=-values[..., None],
        reward=values,
        episode_start=truncated,
        terminated=~truncated,
        truncated=truncated,
        final_observation=final,
        next_observation=np.array([[7.0], [8.0], [9.0]]),
        log_prob=values + 100,
    )
    together = collate([_shard(whole, slice(0, 1), 0), _shard(whole, slice(1, 3), 1)])
    for name in Transitions.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(together, name), getattr(whole, name), err_msg=name)


def test_fragments_without_transitions_are_refused(play: Play) -> None:
    learner = _make()
    fragment = play(learner.weights(), NCAP, BODY, TASK, seed=1)
    with pytest.raises(ValueError, match="transitions"):
        learner.update([fragment, Fragment(1, 0, 32, fragment.episodes, None)], 0)


def test_an_agent_that_no_gradient_reaches_is_refused() -> None:
    with pytest.raises(BadInput, match="learn_period"):
        _make(NCAPConfig(learn_period=True))


@pytest.mark.parametrize("agent", [NCAP, MLP])
def test_the_density_that_a_worker_notes_is_that_of_the_torch_policy(agent: AgentConfig, play: Play) -> None:
    learner = _make(agent)
    _iterate(learner, play, agent, range(1))
    noted = play(learner.weights(), agent, BODY, TASK, seed=2).transitions
    assert noted is not None
    flat = [torch.as_tensor(values.reshape(-1, values.shape[-1])) for values in (noted.observation, noted.action)]
    _, log_prob, _ = learner._policy.evaluate_actions(*(values.float() for values in flat))
    np.testing.assert_allclose(log_prob.detach().numpy(), noted.log_prob.ravel(), atol=1e-5)
