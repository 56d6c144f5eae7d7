"""The perceptron in NumPy and in torch."""

import numpy as np
import pytest
import torch

from wormwood.agents.learning.actors.perceptron import MLPActor
from wormwood.agents.learning.actors.table import make_actor
from wormwood.agents.learning.normalization import RunningNormalizer
from wormwood.agents.policies.perceptron import MLP, initial_weights, search_space
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.envs.bodies import swimmer
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.specs import ActionSpace, SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim, SwimAtSpeed, Task
from wormwood.errors import BadInput

TINY = ObservationLayout(size=4, joints=slice(0, 1), velocities=slice(1, 3), clock=3)
ONE, TWO, THREE = (ActionSpace((-1.0,) * size, (1.0,) * size) for size in (1, 2, 3))
TASKS = [Swim(), SwimAtSpeed(), Navigate(), GymnasiumForward()]
Weights = dict[str, np.ndarray]


def _weights(task: Task, links: int = 4, hidden: tuple[int, ...] = (7, 6), seed: int = 0) -> Weights:
    body = swimmer(links)
    rng = np.random.default_rng(seed)
    weights = initial_weights(MLPConfig(hidden=hidden), layout=task.layout(body), outputs=body.joints, rng=rng)
    # As if learned: no longer small in the last layer, no longer without biases.
    return {name: values + 0.3 * rng.standard_normal(values.shape) for name, values in weights.items()}


def _observations(layout: ObservationLayout, rows: int = 12, seed: int = 1) -> np.ndarray:
    observation = np.random.default_rng(seed).standard_normal((rows, layout.size)) * 3.0
    if layout.clock is not None:
        observation[:, layout.clock] = np.arange(rows)
    return observation


def _tiny() -> Weights:
    return {
        "layer0_weight": np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]]),
        "layer0_bias": np.array([0.5, 0.0]),
        "layer1_weight": np.array([[2.0], [10.0]]),
        "layer1_bias": np.array([-1.0]),
    }


def test_a_tiny_perceptron_by_hand() -> None:
    observation = np.array([[0.25, 0.5, 0.1, 77.0]])
    expected = 2.0 * np.tanh(0.25 + 2 * 0.5 + 0.5) + 10.0 * np.tanh(3 * 0.1) - 1.0
    action, state, extras = MLP(_tiny(), layout=TINY, actions=ONE).act(observation, {}, None)
    np.testing.assert_allclose(action, [[expected]], rtol=1e-15)
    assert (state, extras) == ({}, {})


def test_inputs_are_standardised_and_clipped_but_for_the_joints_and_only_where_a_mean_is_given() -> None:
    standard = {
        "observation_mean": np.array([0.0, 1.0, -1.0, 0.0]),
        "observation_deviation": np.array([1.0, 2.0, 0.1, 1.0]),
        "observation_count": np.array(5.0),
    }
    identity = {"layer0_weight": np.array([[1.0], [1000.0], [1e6]]), "layer0_bias": np.zeros(1)}
    observation = np.array([[12.0, 3.0, 4.0, 0.0]])  # standardised: 12, 1, 50
    assert MLP({**identity, **standard}, layout=TINY, actions=ONE).act(observation, {}, None)[0] == 12 + 1000 + 10e6
    assert MLP(identity, layout=TINY, actions=ONE).act(observation, {}, None)[0] == 12 + 3000 + 4e6
    far = np.array([[0.0, 1.0, 45.0, 0.0]])
    assert MLP(identity, layout=TINY, actions=ONE).act(far, {}, None)[0] == 1000 + 45e6


def test_the_clock_is_not_looked_at() -> None:
    layout = Swim().layout(swimmer(4))
    policy, observation = MLP(_weights(Swim()), layout=layout, actions=THREE), _observations(layout)
    action = policy.act(observation, {}, None)[0]
    observation[:, layout.clock] += 100
    np.testing.assert_array_equal(policy.act(observation, {}, None)[0], action)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
@pytest.mark.parametrize("links", [2, 6])
@pytest.mark.parametrize("hidden", [(7, 6), ()])
def test_numpy_equals_torch(task: Task, links: int, hidden: tuple[int, ...]) -> None:
    spec, weights = SwimmerSpec(swimmer(links), task), _weights(task, links, hidden)
    layout, actions = spec.layout, spec.actions
    actor, normalizer = MLPActor(weights, layout=layout, outputs=links - 1), RunningNormalizer(layout)
    observation = _observations(layout)
    tensor = torch.tensor(observation, dtype=torch.float32)
    plain = actor(tensor).detach().numpy()
    np.testing.assert_allclose(
        MLP(weights, layout=layout, actions=actions).act(observation, {}, None)[0], plain, atol=5e-6, rtol=1e-6
    )
    normalizer.update(torch.tensor(_observations(layout, 200, seed=2)))
    standardised = actor(normalizer(tensor)).detach().numpy()
    policy = MLP({**weights, **normalizer.weights()}, layout=layout, actions=actions)
    np.testing.assert_allclose(policy.act(observation, {}, None)[0], standardised, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("standardised", [False, True])
def test_a_population_acts_as_its_candidates_one_by_one(standardised: bool) -> None:
    layout = Swim().layout(swimmer(4))
    candidates = [_weights(Swim(), seed=seed) for seed in range(3)]
    if standardised:
        rng = np.random.default_rng(5)
        for weights in candidates:
            weights["observation_mean"] = rng.standard_normal(layout.size)
            weights["observation_deviation"] = rng.uniform(0.5, 2.0, layout.size)
            weights["log_std"] = rng.uniform(-2, 0, 3)
    stacked = {name: np.stack([weights[name] for weights in candidates]) for name in candidates[0]}
    observation = _observations(layout, rows=12)
    rng = np.random.default_rng(6) if standardised else None
    together = MLP(stacked, layout=layout, actions=THREE).act(observation, {}, rng)[0]
    rng = np.random.default_rng(6) if standardised else None
    for index, weights in enumerate(candidates):
        rows = slice(4 * index, 4 * index + 4)
        alone = MLP(weights, layout=layout, actions=THREE).act(observation[rows], {}, rng)[0]
        np.testing.assert_allclose(together[rows], alone, rtol=1e-13, atol=1e-15)


def test_evolution_searches_the_layers_and_keeps_what_else_was_learned() -> None:
    weights = _tiny() | {"observation_mean": np.ones(4), "observation_deviation": np.ones(4), "log_std": np.zeros(1)}
    space = search_space(weights)
    assert space.size == 6 + 2 + 2 + 1
    population = space.decode(space.encode(weights) + np.zeros((5, 1)))
    assert population["observation_mean"].shape == (5, 4)
    action = MLP(population, layout=TINY, actions=ONE).act(np.full((5, 4), 0.3), {}, None)[0]
    np.testing.assert_allclose(action, MLP(weights, layout=TINY, actions=ONE).act(np.full((5, 4), 0.3), {}, None)[0])


@pytest.mark.parametrize(
    ("links", "task", "got"),
    [
        (5, Swim(), "15 inputs to 3 outputs"),
        (4, Navigate(), "15 inputs to 3 outputs"),
        (4, GymnasiumForward(), "15 inputs to 3 outputs"),
    ],
)
def test_another_body_or_task_is_refused_by_both(links: int, task: Task, got: str) -> None:
    weights, spec = _weights(Swim()), SwimmerSpec(swimmer(links), task)
    message = f"agent does not fit the environment in agent mlp.*got '{got}'"
    with pytest.raises(BadInput, match=message):
        MLP(weights, layout=spec.layout, actions=spec.actions)
    with pytest.raises(BadInput, match=message):
        MLPActor(weights, layout=spec.layout, outputs=spec.actions.outputs)


def test_as_many_inputs_are_not_enough_where_joints_differ() -> None:
    # Two links at a commanded speed and three in gymnasium's task: 8 inputs both, but 1 joint and 2.
    with pytest.raises(BadInput, match="expected 8 inputs to 2 outputs, got '8 inputs to 1 outputs'"):
        MLP(
            _weights(SwimAtSpeed(), links=2),
            layout=GymnasiumForward().layout(swimmer(3)),
            actions=TWO,
        )


def test_weights_of_another_agent_are_refused() -> None:
    with pytest.raises(BadInput, match=r"expected layer0_bias: numbers of shape .*, got 'none'"):
        MLP({"prop": np.array(1.0), "period": np.array(60.0)}, layout=TINY, actions=ONE)


def test_the_actor_gives_its_weights_back_and_does_not_care_for_their_order() -> None:
    weights, layout = _weights(Swim(), hidden=(3,) * 11), Swim().layout(swimmer(4))
    shuffled = dict(sorted(weights.items()))
    actor = make_actor(MLPConfig(), weights, SwimmerSpec(swimmer(4), Swim()))
    other = MLPActor({**shuffled, "log_std": np.zeros(3)}, layout=layout, outputs=3)
    assert [name for name, _ in actor.named_parameters()] == [name for name, _ in other.named_parameters()]
    assert other.weights().keys() == weights.keys()
    for name, values in other.weights().items():
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, weights[name], rtol=1e-7)


def test_initial_weights_have_the_scale_of_their_inputs() -> None:
    config, layout = MLPConfig(hidden=(400, 300)), Swim().layout(swimmer(100))
    weights = initial_weights(config, layout=layout, outputs=99, rng=np.random.default_rng(0))
    deviations = [weights[f"layer{index}_weight"].std() for index in range(3)]
    np.testing.assert_allclose(deviations, [399**-0.5, 400**-0.5, 0.01 * 300**-0.5], rtol=0.02)
    assert not any(weights[f"layer{index}_bias"].any() for index in range(3))
