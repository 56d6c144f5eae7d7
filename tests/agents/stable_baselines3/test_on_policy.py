"""Structured policies in Stable-Baselines3: rates, bounds, NumPy twins, and plain use."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.utils import set_random_seed, update_learning_rate

from wormwood.agents.learning.optimizers import ProjectedAdam
from wormwood.agents.learning.torch_states import optimizer_arrays
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import AgentConfig, make_policy
from wormwood.agents.stable_baselines3.on_policy import NCAPPolicy, StructuredPolicy
from wormwood.envs.bodies import load_body, swimmer
from wormwood.envs.faces.stable_baselines3 import make_swimmers
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import Navigate, Swim, Task
from wormwood.errors import BadInput

STRAIGHT = NCAPConfig(constraint="straight_through")
FAST: dict[str, Any] = {"n_steps": 16, "batch_size": 32, "n_epochs": 2}


def _make(links: int = 4, task: Task | None = None, agent: AgentConfig = STRAIGHT, **settings: Any) -> StructuredPolicy:
    torch.manual_seed(0)
    size = (task or Swim()).layout(swimmer(links)).size
    spaces = Box(-np.inf, np.inf, (size,)), Box(-1, 1, (links - 1,))
    return StructuredPolicy(*spaces, lambda _: 0.01, agent=agent, task=task or Swim(), **settings)


def _observations(links: int, task: Task, rows: int = 200) -> np.ndarray:
    simulation = Simulation(swimmer(links), task, 5, streams=training_streams(0))
    observations, rng = [simulation.reset()], np.random.default_rng(0)
    for _ in range(rows // 5 - 1):
        observations.append(simulation.step(rng.uniform(-1, 1, (5, links - 1))).observation)
    return np.concatenate(observations)


def _shaken(policy: StructuredPolicy, observation: np.ndarray) -> StructuredPolicy:
    """The policy as if it had learned a while."""
    with torch.no_grad():
        for values in policy.parameters():
            values.add_(0.2 * torch.randn_like(values))
    policy.normalizer.update(torch.tensor(observation))
    return policy


# --- the optimiser ---


def test_each_group_takes_steps_of_its_own_rate() -> None:
    slow, fast = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    projections: list[float] = []
    groups = [{"params": [slow], "rate_scale": 1.0}, {"params": [fast], "rate_scale": 10.0}]
    optimizer = ProjectedAdam(groups, lr=1.0, eps=1e-5, project=lambda: projections.append(fast[0].item()))
    update_learning_rate(optimizer, 0.01)  # as SB3's `train` does
    slow.grad, fast.grad = torch.tensor([3.0, -0.5]), torch.tensor([-2.0, 1e-5])
    optimizer.step()
    # Adam's first step is g / (|g| + eps), times the rate.
    np.testing.assert_allclose(slow.detach(), [-0.01, 0.01], rtol=1e-4)
    np.testing.assert_allclose(fast.detach(), [0.1, -0.05], rtol=1e-4)
    assert [group["lr"] for group in optimizer.param_groups] == [0.01, 0.01], "SB3 sees the one rate that it set"
    assert [group["rate_scale"] for group in optimizer.param_groups] == [1.0, 10.0]
    assert projections == [fast[0].item()], "after the step"


def test_actor_noise_and_critic_each_learn_at_their_rate() -> None:
    policy = _make(learn_noise=True, actor_rate_scale=5.0)
    before = {name: values.detach().clone() for name, values in policy.named_parameters()}
    for values in policy.parameters():
        values.grad = torch.ones_like(values)
    update_learning_rate(policy.optimizer, 0.001)
    policy.optimizer.step()
    for name, values in policy.named_parameters():
        rate = 0.005 if name.startswith(("actor.", "log_std")) else 0.001
        torch.testing.assert_close(before[name] - values, torch.full_like(values, rate), atol=2e-6, rtol=1e-3)


def test_every_step_and_the_start_keep_to_the_bounds() -> None:
    agent = NCAPConfig(constraint="straight_through", bounds={"prop": (0.5, 0.8), "contra": (0.9, 1.01)})
    policy = _make(agent=agent, actor_rate_scale=100.0)
    assert policy.policy_weights()["prop"] == pytest.approx(0.8)
    assert policy.agent_weights()["prop"] == pytest.approx(0.8)  # the name until 0.3
    for values in policy.parameters():
        values.grad = torch.ones_like(values)
    policy.optimizer.step()
    weights = policy.policy_weights()
    assert weights["prop"] == pytest.approx(0.5)
    assert weights["contra"] == pytest.approx(-1.01)
    assert weights["ipsi"] == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_a_copied_policy_keeps_its_own_actor_in_bounds(duplicate: Any) -> None:
    agent = NCAPConfig(constraint="straight_through", bounds={"prop": (0.5, 2.0)})
    policy = _make(agent=agent, actor_rate_scale=100.0)
    other = duplicate(policy)
    for values in other.parameters():
        values.grad = torch.ones_like(values)
    other.optimizer.step()
    assert other.policy_weights()["prop"] == 0.5
    assert policy.policy_weights()["prop"] == 1.0


# --- the twin in NumPy ---


@pytest.mark.parametrize("links", [4, 6])
@pytest.mark.parametrize("task", [Swim(), Navigate()], ids=lambda task: task.name)
@pytest.mark.parametrize(
    "agent",
    [
        STRAIGHT,
        NCAPConfig(),
        NCAPConfig(constraint="straight_through", share_weights=False, turn_control=True, speed_control=True),
        MLPConfig(),
        MLPConfig(hidden=(16,), normalize=False),
    ],
)
def test_the_weights_act_in_numpy_as_the_policy_predicts(links: int, task: Task, agent: AgentConfig) -> None:
    observation = _observations(links, task)
    policy = _shaken(_make(links, task, agent), observation)
    predicted, _ = policy.predict(observation, deterministic=True)
    acted = make_policy(agent, policy.policy_weights(), SwimmerSpec(swimmer(links), task)).act(observation, {}, None)[0]
    assert np.abs(predicted).max() > 0.1
    np.testing.assert_allclose(np.clip(acted, -1, 1), predicted, atol=1e-6)


def test_the_noise_acts_in_numpy_as_the_policy_draws_it() -> None:
    policy = _make(noise_std=0.25)
    with torch.no_grad():
        policy.log_std.copy_(torch.log(torch.tensor([0.1, 0.2, 0.4])))
    observation = np.zeros((20000, 16))
    acting = make_policy(STRAIGHT, policy.policy_weights(), SwimmerSpec(swimmer(4), Swim()))
    rng = np.random.default_rng(0)
    noise = acting.act(observation, {}, rng)[0] - acting.act(observation, {}, None)[0]
    torch.manual_seed(0)
    drawn = policy(torch.zeros(20000, 16))[0] - policy(torch.zeros(1, 16), deterministic=True)[0]
    for values in (noise, drawn.detach().numpy()):  # five standard errors of a standard deviation
        np.testing.assert_allclose(values.std(axis=0), [0.1, 0.2, 0.4], rtol=5 / np.sqrt(2 * 20000))


# --- plain use ---


def test_the_circuit_learns_in_plain_sb3_and_goes_on_from_a_file(tmp_path: Path) -> None:
    model = PPO(NCAPPolicy, make_swimmers("swimmer-4", 4), seed=0, **FAST)
    before = {name: values.clone() for name, values in model.policy.state_dict().items()}
    model.learn(128)
    assert isinstance(model.policy, NCAPPolicy)
    assert any((values != before[name]).any() for name, values in model.policy.actor.named_parameters(prefix="actor"))
    model.save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model")
    observation = _observations(4, Swim())
    np.testing.assert_array_equal(
        loaded.predict(observation, deterministic=True)[0], model.predict(observation, deterministic=True)[0]
    )
    assert optimizer_arrays(loaded.policy.optimizer).keys() == optimizer_arrays(model.policy.optimizer).keys()
    for each in (model, loaded):
        each.set_env(make_swimmers("swimmer-4", 4, seed=5))
        set_random_seed(3)
        each.learn(64)
    for name, values in model.policy.state_dict().items():
        assert torch.equal(loaded.policy.state_dict()[name], values), name


def test_a_policy_alone_round_trips_through_its_file(tmp_path: Path) -> None:
    policy = _shaken(
        _make(6, agent=MLPConfig(hidden=(8,)), critic="pooled", learn_noise=True), _observations(6, Swim())
    )
    policy.save(str(tmp_path / "policy"))
    loaded = StructuredPolicy.load(str(tmp_path / "policy"))
    assert loaded.state_dict().keys() == policy.state_dict().keys()
    for name, values in policy.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], values), name
    assert loaded.log_std.requires_grad


def test_a2c_learns_too() -> None:
    model = A2C(NCAPPolicy, make_swimmers("swimmer-4", 4), n_steps=5, seed=0)
    assert isinstance(model.policy.optimizer, ProjectedAdam)
    before = model.policy.state_dict()["actor.synapses.prop"].clone()
    model.learn(100)
    assert (model.policy.state_dict()["actor.synapses.prop"] != before).all()


@pytest.mark.parametrize("learn_noise", [False, True])
def test_noise_is_learned_where_asked(learn_noise: bool) -> None:
    settings = {"learn_noise": learn_noise, "noise_std": 0.2}
    model = PPO(NCAPPolicy, make_swimmers("swimmer-4", 4), seed=0, policy_kwargs=settings, **FAST)
    assert isinstance(model.policy, NCAPPolicy)
    before = model.policy.policy_weights()["log_std"]
    np.testing.assert_allclose(np.exp(before), [0.2] * 3, rtol=1e-6)
    model.learn(64)
    assert (model.policy.policy_weights()["log_std"] != before).tolist() == [learn_noise] * 3


def test_bodies_and_tasks_come_by_name_or_by_themselves() -> None:
    for body in ("swimmer-5", load_body("swimmer-5"), None):
        for task in ("navigate", task_from_name("navigate")):
            settings = {"body": body, "task": task, "critic": "pooled"}
            model = PPO(NCAPPolicy, make_swimmers("swimmer-5", 2, task="navigate"), policy_kwargs=settings, **FAST)
            assert isinstance(model.policy, NCAPPolicy)
            assert model.policy.spec == SwimmerSpec(load_body("swimmer-5"), Navigate())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"body": "swimmer-6"},
            r"observation space in policy: expected \(24,\) numbers, as body swimmer-6, task swim has",
        ),
        ({"body": "swimer-4"}, "swimer-4"),
        ({"task": "navigate"}, r"expected \(18,\) numbers, as body swimmer-4, task navigate has"),
        ({"critic": "deep"}, r"value in policy_kwargs.critic: expected .*'mlp', 'pooled' or 'forest'"),
        ({"agent": NCAPConfig(learn_period=True)}, "no gradient reaches it"),
        ({"net_arch": [64]}, "unknown option in policy_kwargs: expected one of agent, body"),
        ({"actor_rate": 3.0}, "nearest: 'actor_rate_scale'"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        PPO(NCAPPolicy, make_swimmers("swimmer-4", 2), policy_kwargs=settings, **FAST)


def test_state_dependent_noise_is_refused() -> None:
    with pytest.raises(BadInput, match="use_sde"):
        PPO(NCAPPolicy, make_swimmers("swimmer-4", 2), use_sde=True, **FAST)


def test_drawn_weights_are_a_function_of_torchs_seed() -> None:
    agent = MLPConfig(hidden=(4,))
    one, same = _make(agent=agent).policy_weights(), _make(agent=agent).policy_weights()
    for name, values in one.items():
        np.testing.assert_array_equal(same[name], values)
    torch.manual_seed(1)
    spaces = Box(-np.inf, np.inf, (16,)), Box(-1, 1, (3,))
    other = StructuredPolicy(*spaces, lambda _: 0.01, agent=agent).policy_weights()
    assert (other["layer0_weight"] != one["layer0_weight"]).all()
