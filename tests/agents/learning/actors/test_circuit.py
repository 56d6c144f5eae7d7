"""The circuit in torch: the same actions as its equations, gradients for every weight, and what modules must stand."""

import copy
import pickle
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wormwood.agents.learning.actors.circuit import NCAPActor
from wormwood.agents.policies.circuit import NCAP, initial_weights
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, swimmer
from wormwood.envs.randomness import training_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim, SwimAtSpeed, Task
from wormwood.errors import BadInput

Floats = NDArray[np.float64]


def _make_actor(
    config: NCAPConfig | None = None, body: Body | None = None, task: Task | None = None, **weights: Any
) -> NCAPActor:
    config, body = config or NCAPConfig(), body or swimmer(6)
    drawn = initial_weights(config, body, np.random.default_rng(0))
    drawn |= {name: np.full_like(drawn[name], value) for name, value in weights.items()}
    return NCAPActor(config, drawn, body=body, layout=(task or Swim()).layout(body))


def _experience(config: NCAPConfig, task: Task, **weights: Any) -> torch.Tensor:
    """Observations ``[N, D]`` of four swimmers over two periods of the circuit, on six links."""
    body = swimmer(6)
    actor = _make_actor(config, body, task, **weights)
    policy = NCAP(config, actor.weights(), body=body, layout=task.layout(body), noise_std=0.1)
    simulation = Simulation(body, task, 4, streams=training_streams(0))
    rng, observations = np.random.default_rng(0), [simulation.reset()]
    for _ in range(120):
        action, _, _ = policy.act(observations[-1], {}, rng)
        observations.append(simulation.step(np.clip(action, -1, 1)).observation)
    return torch.as_tensor(np.concatenate(observations), dtype=torch.float32)


def _gradients(actor: NCAPActor, observation: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients of a sum in which each action has a random factor: if it is 0, almost surely every term is."""
    action = actor(observation)
    factors = torch.randn(action.shape, generator=torch.Generator().manual_seed(0))
    actor.zero_grad()
    (action * factors).sum().backward()
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in actor.named_parameters()}


# --- equations ---


@settings(max_examples=300)
@given(data=st.data())
def test_it_does_what_the_equations_say(data: Any, draw_case: Any, slow_actions: Any) -> None:
    case = draw_case(data, clock=True)
    # Rounded first, so that both see the same numbers; the period stays in double precision.
    case.observation = case.observation.astype(np.float32).astype(np.float64)
    period = case.weights.pop("period")
    case.weights = {name: w.astype(np.float32).astype(np.float64) for name, w in case.weights.items()}
    case.weights["period"] = period
    actor = NCAPActor(case.config, case.weights, body=case.body, layout=case.layout)
    with torch.no_grad():
        action = actor(torch.as_tensor(case.observation, dtype=torch.float32))
    np.testing.assert_allclose(action.numpy(), slow_actions(case), rtol=0, atol=1e-6)


@settings(max_examples=100)
@given(data=st.data())
def test_both_constraints_give_the_same_actions(data: Any, draw_case: Any) -> None:
    case = draw_case(data, clock=True)
    observation = torch.as_tensor(case.observation, dtype=torch.float32)
    fields = {name: getattr(case.config, name) for name in case.config.__dataclass_fields__}
    hard, through = (
        NCAPActor(NCAPConfig(**{**fields, "constraint": constraint}), case.weights, body=case.body, layout=case.layout)
        for constraint in ("hard", "straight_through")
    )
    assert torch.equal(hard(observation), through(observation))


def test_it_goes_by_the_period_of_its_body() -> None:
    config = NCAPConfig(period=60, body_periods={"swimmer-4": 3})
    body, layout = swimmer(4), Swim().layout(swimmer(4))
    observation = np.zeros((6, layout.size))
    observation[:, -1] = np.arange(6)
    weights = initial_weights(config, swimmer(6), np.random.default_rng(0))  # made elsewhere
    actor = NCAPActor(config, weights, body=body, layout=layout)
    head = actor(torch.as_tensor(observation, dtype=torch.float32))[:, 0]
    assert head.tolist() == [1, 1, -1] * 2
    np.testing.assert_array_equal(
        NCAP(config, actor.weights(), body=body, layout=layout).act(observation, {}, None)[0][:, 0], head.detach()
    )
    assert actor.weights()["period"] == 60, "elsewhere the period is the old one"


# --- weights ---


@pytest.mark.parametrize(
    ("config", "count"),
    [
        (NCAPConfig(), 4),
        (NCAPConfig(speed_control=True, turn_control=True), 6),
        (NCAPConfig(share_weights=False), 30),
        (NCAPConfig(speed_control=True, turn_control=True, steering="learned"), 6 + 9),
    ],
)
def test_parameters_of_six_links(config: NCAPConfig, count: int) -> None:
    actor = _make_actor(config)
    assert sum(parameter.numel() for parameter in actor.parameters()) == count


def test_weights_go_in_and_out_unchanged() -> None:
    config = NCAPConfig(share_weights=False, steering="learned", initialization="uniform")
    body = swimmer(6)
    weights = initial_weights(config, body, np.random.default_rng(0))
    out = NCAPActor(config, weights, body=body, layout=Navigate().layout(body)).weights()
    assert out.keys() == weights.keys()
    for name, values in out.items():
        assert (values.dtype, values.shape) == (np.float64, weights[name].shape)
        np.testing.assert_allclose(values, weights[name], rtol=1e-7)


def test_projection_puts_weights_back_within_their_bounds() -> None:
    bounds = {"prop": (0.5, 4.0), "contra": (0.5, 3.0), "osc": (0.7, 1.5), "period": (20.0, 90.0)}
    actor = _make_actor(NCAPConfig(bounds=bounds), prop=-1.0, contra=-5.0, osc=1.1, ipsi=9.0)
    actor.project()
    projected = {name: values.item() for name, values in actor.weights().items()}
    assert projected == pytest.approx({"prop": 0.5, "contra": -3, "osc": 1.1, "ipsi": 9, "period": 60})
    free = _make_actor(NCAPConfig(bounds=bounds, constrain_signs=False), prop=-7.0, contra=2.0, osc=0.1)
    free.project()
    projected = {name: free.weights()[name].item() for name in ("prop", "contra", "osc")}
    assert projected == pytest.approx({"prop": -4, "contra": 2, "osc": 0.1})


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(BadInput, match="patience in agent ncap: expected 0"):
        _make_actor(NCAPConfig(patience=1.0))
    with pytest.raises(BadInput, match="learn_period in agent ncap: expected false"):
        _make_actor(NCAPConfig(learn_period=True))
    with pytest.raises(BadInput, match="expected an observation with a clock"):
        _make_actor(body=GYMNASIUM_SWIMMER, task=GymnasiumForward())
    config = NCAPConfig(share_weights=False)
    with pytest.raises(BadInput, match="weights of the agent do not fit in agent ncap"):
        NCAPActor(config, _make_actor(config).weights(), body=swimmer(5), layout=Swim().layout(swimmer(5)))


# --- gradients ---

COMMANDED = {"speed_control": True, "turn_control": True, "turn_joints": 2}
CIRCUITS = [
    (NCAPConfig(constraint="straight_through"), Swim()),
    (NCAPConfig(constraint="straight_through", share_weights=False), Swim()),
    (NCAPConfig(constraint="straight_through", speed_control=True), SwimAtSpeed()),
    (NCAPConfig(constraint="straight_through", speed_control=True, share_weights=False), SwimAtSpeed()),
    (NCAPConfig(constraint="straight_through", steering="learned", **COMMANDED), Navigate()),
    (NCAPConfig(constraint="straight_through", steering="learned", share_weights=False, **COMMANDED), Navigate()),
]


@pytest.mark.parametrize("prop", [1.0, 2.0])
@pytest.mark.parametrize(("config", "task"), CIRCUITS)
def test_straight_through_every_weight_has_a_gradient(config: NCAPConfig, task: Task, prop: float) -> None:
    gradients = _gradients(_make_actor(config, task=task, prop=prop), _experience(config, task, prop=prop))
    assert set(gradients) >= {f"synapses.{name}" for name in config.synapses}
    dead = [name for name, gradient in gradients.items() if (gradient == 0).any()]
    assert dead == []


def test_hard_clamps_leave_contralateral_inhibition_without_any() -> None:
    # The reference's flaw: at the start a muscle is either excited alone, or inhibited below 0 and clamped.
    gradients = _gradients(_make_actor(), _experience(NCAPConfig(), Swim()))
    assert gradients["synapses.contra"] == 0
    assert gradients["synapses.prop"] != 0


def test_straight_through_more_slowing_means_weaker_actions() -> None:
    config = NCAPConfig(constraint="straight_through", speed_control=True)
    actor = _make_actor(config, task=SwimAtSpeed(), speed=-0.5)
    observation = _experience(config, SwimAtSpeed())
    observation[:, 5] = 0.1  # half of full speed: 0.25 is taken off each neuron that has as much
    action = actor(observation)
    action.abs().sum().backward()
    gradient = actor.synapses["speed"].grad
    assert gradient is not None
    assert gradient > 0, "towards 0 is towards stronger actions"
    less = _make_actor(config, task=SwimAtSpeed(), speed=-0.49)(observation).abs().sum()
    assert less > action.abs().sum()


# --- what modules must stand ---


def _full_actor() -> tuple[NCAPActor, torch.Tensor]:
    config, task = CIRCUITS[-1]
    return _make_actor(config, task=task), _experience(config, task)


def test_copies_act_alike() -> None:
    actor, observation = _full_actor()
    loaded = _make_actor(*CIRCUITS[-1][:1], task=CIRCUITS[-1][1], prop=0.3)
    loaded.load_state_dict(actor.state_dict())
    for twin in (pickle.loads(pickle.dumps(actor)), copy.deepcopy(actor), loaded):
        assert torch.equal(twin(observation), actor(observation))
        assert [name for name, _ in twin.named_parameters()] == [name for name, _ in actor.named_parameters()]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_it_compiles_whole(backend: str) -> None:
    actor, observation = _full_actor()
    torch.compiler.reset()
    compiled = torch.compile(actor, backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(observation), actor(observation), rtol=0, atol=1e-6)
    compiled(observation).sum().backward()
    assert all(parameter.grad is not None for parameter in actor.parameters())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_it_compiles_to_machine_code() -> None:
    actor, observation = _full_actor()
    torch.compiler.reset()
    compiled = torch.compile(actor, fullgraph=True)
    torch.testing.assert_close(compiled(observation), actor(observation), rtol=0, atol=1e-6)
