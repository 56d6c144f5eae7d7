"""Looking into agents: in the same order at every call, and one line for a place that cannot be written."""

import dataclasses
import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.features import make_feature_map
from wormwood.agents.policies.forest import forest_of, forest_weights
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.agents.policies.modulated_circuit_settings import ModulatedNCAPConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.recurrent_settings import GRUConfig
from wormwood.agents.policies.table import initial_weights
from wormwood.envs.bodies import swimmer
from wormwood.envs.families.trials import TrialSpec, trial_from_name
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.randomness import evaluation_streams, stream
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Navigate, Swim
from wormwood.errors import BadInput
from wormwood.launch.inspect.forest_source import visited_observations
from wormwood.launch.inspect.inspection import Inspection, inspect_agent
from wormwood.launch.run.agent_files import Agent, load_agent, save_agent
from wormwood.launch.run.evaluation import evaluate
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree

BODY = swimmer(4)
SPEC = SwimmerSpec(BODY, Navigate())


def _names(summary: str) -> list[str]:
    return [line.split()[0] for line in summary.splitlines() if line.startswith("  ")]


def _shuffled(config: NCAPConfig | MLPConfig, seed: int) -> Agent:
    weights = initial_weights(config, SPEC, stream(0, "update"))
    if isinstance(config, MLPConfig):  # what PPO has learned besides
        size = Navigate().layout(BODY).size
        weights |= {"observation_mean": np.zeros(size), "observation_deviation": np.ones(size), "log_std": np.zeros(3)}
    names = np.random.default_rng(seed).permutation(sorted(weights)).tolist()
    return Agent("shuffled", config, {name: weights[name] for name in names}, SPEC)


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_a_circuit_stand_in_the_order_of_its_synapses(seed: int) -> None:
    config = NCAPConfig(speed_control=True, turn_control=True, steering="learned", initialization="uniform")
    inspection = inspect_agent(_shuffled(config, seed), SPEC)
    expected = ["prop", "osc", "ipsi", "contra", "speed", "turn", "steering_weight", "steering_bias", "period"]
    assert _names(inspection.summary) == expected
    assert list(inspection.described["weights"]) == expected[:-1]
    # Names are as wide as the longest of them, so that the values stand in one column.
    assert {re.match(r"  \S+ +", line).end() for line in inspection.summary.splitlines()[1:]} == {18}  # type: ignore[union-attr]
    assert inspection.summary == inspect_agent(_shuffled(config, seed + 10), SPEC).summary


@pytest.mark.parametrize("seed", range(3))
def test_layers_of_a_network_stand_from_input_to_output(seed: int) -> None:
    inspection = inspect_agent(_shuffled(MLPConfig(hidden=(3,) * 11), seed), SPEC)
    layers = [f"layer{index}_{part}" for index in range(12) for part in ("weight", "bias")]
    expected = [*layers, "log_std", "observation_deviation", "observation_mean"]
    assert _names(inspection.summary) == expected
    assert list(inspection.described["arrays"]) == expected


# --- forests ---

CART_POLE = GymnasiumSpec("CartPole-v1")


def _boosted(config: ForestConfig, spec: SwimmerSpec | GymnasiumSpec, outputs: int, *, trees: int = 5) -> Agent:
    feature_map, generator = make_feature_map(config, spec), np.random.default_rng(0)
    rows = generator.normal(size=(100, feature_map.columns))
    grid = fit_grid(rows, max_bins=16, method="quantile")
    forest = Forest(np.zeros(outputs), features=feature_map.columns, depth=config.tree.max_depth)
    for _ in range(trees):
        gradients = generator.normal(size=(100, outputs)) + rows[:, :1]
        forest.append(grow_tree(grid.encode(rows), grid, gradients, config=config.tree), np.full(outputs, 0.1))
    return Agent("boosted", config, forest_weights(forest), spec)


@pytest.mark.parametrize(
    ("config", "spec", "outputs"),
    [
        (ForestConfig(), CART_POLE, 3),
        (ForestConfig(shares_trees=False), SwimmerSpec(BODY, Swim()), 3),
        (ForestConfig(features="joint", tree=TreeConfig(max_depth=3)), SwimmerSpec(BODY, Navigate()), 2),
    ],
)
def test_a_forest_is_written_as_json_picture_and_sources_that_predict_the_same(
    config: ForestConfig, spec: SwimmerSpec | GymnasiumSpec, outputs: int, tmp_path: Path
) -> None:
    agent = _boosted(config, spec, outputs)
    save_agent(tmp_path / "agent", agent)
    inspection = inspect_agent(load_agent(str(tmp_path / "agent")), spec)
    assert len(inspection.summary.splitlines()) + 4 < 25
    files = inspection.write(tmp_path / "out")
    assert [file.name for file in files] == ["forest.json", "forest.png", "policy.c", "policy.py"]
    described = json.loads(files[0].read_text())
    assert (described["agent"], described["kind"], described["trees"]) == ("boosted", "forest", 5)
    assert described["rows"]["explained"] == 256 and "noise_std" not in described
    with Image.open(files[1]) as picture:
        assert picture.format == "PNG"
    visited = visited_observations(agent.policy(spec), spec, steps=3)
    features = make_feature_map(config, spec).features(visited)
    forest = forest_of(agent.weights or {})
    predict = runpy.run_path(str(files[3]))["predict_forest"]
    np.testing.assert_array_equal([predict(row) for row in features.tolist()], forest.predict(features))
    assert ", ".join(described["outputs"]) in files[2].read_text()
    if shutil.which("cc"):
        options = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]
        subprocess.run(["cc", *options, files[2]], check=True)


def test_a_forest_looks_the_same_at_every_call_and_does_not_fit_other_bodies() -> None:
    agent = _boosted(ForestConfig(), SPEC, 4)
    first, second = inspect_agent(agent, SPEC), inspect_agent(agent, SPEC)
    assert (first.summary, first.described) == (second.summary, second.described)
    with pytest.raises(BadInput, match="agent does not fit the environment"):
        inspect_agent(agent, SwimmerSpec(swimmer(6), Navigate()))


def test_the_noise_of_continuous_actions_is_described() -> None:
    agent = _boosted(ForestConfig(), SPEC, 4)
    agent = dataclasses.replace(agent, weights={**(agent.weights or {}), "log_std": np.log([0.1, 0.2, 0.3])})
    assert inspect_agent(agent, SPEC).described["noise_std"] == pytest.approx([0.1, 0.2, 0.3])


def test_a_forest_without_trees_is_described_alone(tmp_path: Path) -> None:
    inspection = inspect_agent(Agent("new", ForestConfig(), None, CART_POLE), CART_POLE)
    assert inspection.summary.startswith("boosted forest: 0 trees of depth 4")
    assert [file.name for file in inspection.write(tmp_path)] == ["forest.json"]


def test_observations_are_those_of_evaluation_and_go_on_after_an_episode_has_ended() -> None:
    policy = _boosted(ForestConfig(), CART_POLE, 3).policy(CART_POLE)
    simulation = CART_POLE.simulate(10, streams=evaluation_streams(0))
    visited = visited_observations(policy, CART_POLE, steps=100).reshape(100, 10, 4)
    np.testing.assert_array_equal(visited[0], simulation.reset())
    # The pole starts within 0.05 rad of upright and ends beyond 0.2: only a new episode moves it so far in one step.
    assert (np.abs(np.diff(visited[:, :, 2], axis=0)) > 0.15).any(axis=0).all()


def test_an_agent_from_a_file_looks_as_it_did(tmp_path: Path) -> None:
    for config in (NCAPConfig(learn_period=True), MLPConfig(hidden=(4, 4))):
        agent = _shuffled(config, 0)
        save_agent(tmp_path / config.kind, agent)
        shown = inspect_agent(agent, SPEC).summary
        for _ in range(5):
            assert inspect_agent(load_agent(str(tmp_path / config.kind)), SPEC).summary == shown


def test_json_and_picture_are_written(tmp_path: Path) -> None:
    inspection = inspect_agent(load_agent("ncap"), SwimmerSpec(swimmer(2), Swim()))
    files = inspection.write(tmp_path / "deep" / "folder")
    assert [file.name for file in files] == ["circuit.json", "circuit.png"]
    assert json.loads(files[0].read_text())["counts"]["synapses"] == 6
    with Image.open(files[1]) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/x"])
def test_a_place_that_cannot_be_written_is_one_line(out: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput) as caught:
        inspect_agent(load_agent("zero"), SwimmerSpec(BODY, Swim())).write(tmp_path / out)
    assert f"cannot write to the output folder {tmp_path / out}: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_up_is_one_line(tmp_path: Path) -> None:
    def draw() -> Figure:
        raise OSError("encoder error -2 when writing image file")

    with pytest.raises(BadInput, match=r"cannot write to the output folder .*: encoder error -2"):
        Inspection("circuit", {}, "", draw).write(tmp_path)


def _recurrent(config: GRUConfig | MemoryConfig | ModulatedNCAPConfig, spec: TrialSpec) -> Agent:
    return Agent("memory", config, initial_weights(config, spec, np.random.default_rng(0)), spec)


def test_a_memory_is_watched_over_one_held_out_trial(tmp_path: Path) -> None:
    spec = trial_from_name("tabular-mdp", {}, 2)
    agent = _recurrent(MemoryConfig(slots=3, width=4, hidden=5), spec)
    inspection = inspect_agent(agent, spec)
    trial = inspection.described["trial"]
    assert trial["episode_starts"] == [0, 10]
    for shares in (trial["read"], trial["written"]):
        np.testing.assert_allclose(np.sum(shares, axis=1), np.ones(20), atol=1e-5)
    # What is left of a slot is what no step has erased.
    np.testing.assert_allclose(trial["kept"], np.cumprod(1 - np.array(trial["erased"]), axis=0), atol=1e-5)
    returns = evaluate(agent, spec, episodes=1).returns
    assert sum(trial["reward"]) == pytest.approx(returns[0], abs=1e-4)
    assert [file.name for file in inspection.write(tmp_path)] == ["memory.json", "memory.png"]


def test_a_modulated_circuit_shows_how_it_answers_bodies(tmp_path: Path) -> None:
    spec = trial_from_name("swimmer-bodies", {"links": [3, 14], "held_out_links": [7], "steps": 2}, 2)
    agent = _recurrent(ModulatedNCAPConfig(), spec)
    agent.weights["modulation"] = np.array([[-1.0, -0.5]])
    inspection = inspect_agent(agent, spec)
    answers = {(row["links"], row["mean_reward"]): row["period"] for row in inspection.described["answers"]}
    assert [links for links, reward in answers if reward is None] == [3, 7, 14]
    assert answers[7, None] == pytest.approx(60)
    assert answers[14, None] == pytest.approx(30)
    assert answers[3, 0.2] == pytest.approx(60 * 7 / 3 * 2**0.5)  # (0.2 + 0.05) / 0.5 is a half
    assert _names(inspection.summary)[:3] == ["links", "3", "3"]
    assert [file.name for file in inspection.write(tmp_path)] == ["modulated.json", "modulated.png"]


def test_a_modulated_circuit_without_cues_is_one_row() -> None:
    spec = trial_from_name("swimmer-bodies", {"steps": 2}, 2)
    described = inspect_agent(_recurrent(ModulatedNCAPConfig(cues=()), spec), spec).described
    assert [row["links"] for row in described["answers"]] == [7]


def test_a_gated_recurrent_unit_is_counted() -> None:
    spec = trial_from_name("bandit", {"arms": 2}, 3)
    inspection = inspect_agent(_recurrent(GRUConfig(units=4), spec), spec)
    # Inputs: an empty observation, 2 arms, reward and flag. 12 columns of gates, and a head of 2 arms.
    inputs = spec.layout.size
    assert inspection.described["parameters"] == 12 * (inputs + 4 + 2) + 4 * 2 + 2
    assert inspection.summary.startswith("gated recurrent unit: ")
