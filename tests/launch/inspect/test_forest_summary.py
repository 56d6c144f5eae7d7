"""What is said of a boosted policy: the right names, numbers worked out by hand, and rules that are the tree."""

import json
import re

import numpy as np
import pytest

from wormwood.agents.policies.features import make_feature_map
from wormwood.agents.policies.forest import forest_weights
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.envs.bodies import swimmer
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.envs.specs import ActionSpace, SwimmerSpec
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import Navigate, Swim, SwimAtSpeed
from wormwood.errors import BadInput
from wormwood.launch.inspect.forest_summary import (
    describe,
    feature_names,
    output_names,
    summarise,
    tree_rules,
    write_text,
)
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.growing import grow_tree
from wormwood.trees.tree import Tree

CART_POLE = GymnasiumSpec("CartPole-v1")
CONFIG = ForestConfig(tree=TreeConfig(max_depth=1))


def _stump(feature: int, threshold: float, leaves: list[list[float]], *, categorical: bool = False) -> Tree:
    return Tree(
        features=np.array([feature], np.int32),
        thresholds=np.array([threshold]),
        categorical=np.array([categorical]),
        leaves=np.array(leaves),
        covers=np.array([4, 1, 3], np.int32),
    )


def _cart_pole_forest() -> Forest:
    """Action 0 falls with the pole's angle, action 1 rises with it, and the value falls with the cart's position."""
    forest = Forest([0.0, 0.0, 10.0], features=4, depth=1)
    forest.append(_stump(2, 0.0, [[-1.0, 1.0, 0.0], [1.0, -1.0, 0.0]]), np.ones(3))
    forest.append(_stump(0, 1.0, [[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]), np.ones(3))
    return forest


OBSERVATION = np.array([[0.0, 0.0, -1.0, 0.0], [2.0, 0.0, -1.0, 0.0], [0.0, 0.0, 1.0, 0.0], [2.0, 0.0, 1.0, 0.0]])


# --- names ---


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        (Swim(), ["joint_0", "joint_1"]),
        (SwimAtSpeed(), ["joint_0", "joint_1", "command"]),
        (Navigate(), ["joint_0", "joint_1", "command_0", "command_1"]),
    ],
)
def test_features_of_a_swimmer_are_joints_command_and_velocities_of_links(task: Swim, expected: list[str]) -> None:
    velocities = [f"link_{link}_{part}" for link in range(3) for part in ("velocity_x", "velocity_y", "turn")]
    spec = SwimmerSpec(swimmer(3), task)
    assert feature_names(ForestConfig(), spec) == (*expected, *velocities)
    assert make_feature_map(ForestConfig(), spec).columns == len(expected) + len(velocities)


def test_features_of_gymnasiums_swimmer_are_heading_joints_and_velocities_of_the_coordinates() -> None:
    spec = SwimmerSpec(swimmer(3), task_from_name("gymnasium-forward"))
    expected = ["heading", "joint_0", "joint_1", "velocity_x", "velocity_y", "turn", "joint_turn_0", "joint_turn_1"]
    assert feature_names(ForestConfig(), spec) == tuple(expected)


def test_features_of_each_joint_and_of_any_environment() -> None:
    config = ForestConfig(features="joint")
    expected = ("angle", "angle_before", "angle_behind", "phase", "place")
    assert feature_names(config, SwimmerSpec(swimmer(4), Swim())) == expected
    assert feature_names(config, SwimmerSpec(swimmer(4), Navigate())) == (*expected, "command_0", "command_1")
    assert feature_names(ForestConfig(), CART_POLE) == tuple(f"observation_{column}" for column in range(4))


@pytest.mark.parametrize(
    ("actions", "expected"),
    [
        (ActionSpace(choices=(2,)), ("action_0", "action_1")),
        (ActionSpace((-1.0,), (1.0,)), ("action_0",)),
        (ActionSpace(choices=(2, 1)), ("choice_0_is_0", "choice_0_is_1", "choice_1_is_0")),
    ],
)
def test_outputs_are_actions_and_the_value_where_it_shares_trees(
    actions: ActionSpace, expected: tuple[str, ...]
) -> None:
    assert output_names(ForestConfig(), actions) == (*expected, "value")
    assert output_names(ForestConfig(shares_trees=False), actions) == expected
    assert output_names(ForestConfig(features="joint"), actions) == ("action", "value")


# --- numbers ---


def test_contributions_and_directions_are_those_of_the_stumps() -> None:
    summary = summarise(CONFIG, forest_weights(_cart_pole_forest()), spec=CART_POLE, observation=OBSERVATION)
    # Covers of 1 and 3: of the first stump -1 is expected a quarter of the time, 1 else: 0.5 less for action 0.
    np.testing.assert_allclose(summary.base, [-0.5, 0.5, 9.5])
    np.testing.assert_allclose(summary.contributions[:, 2, 0], [1.5, 1.5, -0.5, -0.5])
    expected = [[0, 0, 1], [0, 0, 0], [1, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(summary.importance, expected)
    np.testing.assert_allclose(summary.shares, expected)
    np.testing.assert_allclose(summary.directions, [[0, 0, -1], [0, 0, 0], [-1, 1, 0], [0, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(summary.asked, [0.5, 0, 0.5, 0])
    described = json.loads(json.dumps(describe(summary)))
    assert described["mean_absolute_contributions"]["value"]["observation_0"] == pytest.approx(1.0)
    assert described["values"]["value"] == pytest.approx({"lowest": 9, "mean": 10, "highest": 11, "expected": 9.5})
    assert (described["trees"], described["depth"], described["splits"]) == (2, 1, 2)
    assert len(described["first_trees"]) == 2


def test_the_text_says_what_drives_each_output() -> None:
    summary = summarise(CONFIG, forest_weights(_cart_pole_forest()), spec=CART_POLE, observation=OBSERVATION)
    lines = write_text(summary).splitlines()
    assert lines[0] == "boosted forest: 2 trees of depth 1, 4 features, 3 outputs"
    assert "4 of 4 rows that it visits in CartPole-v1" in lines[1]
    assert lines[2].split() == ["action_0", "-1.000", "to", "+1.000", "observation_2", "↓", "100%"]
    assert lines[4].split() == ["value", "+9.000", "to", "+11.000", "observation_0", "↓", "100%"]
    assert lines[5] == "its splits ask for: observation_0 50%, observation_2 50%"
    assert lines[7] == "  if observation_2 > 0: action_0 -1, action_1 +1, value +0"


def test_many_rows_are_sampled_and_many_outputs_stay_under_25_lines() -> None:
    spec, config = SwimmerSpec(swimmer(12), Swim()), ForestConfig(tree=TreeConfig(max_depth=4))
    generator = np.random.default_rng(0)
    observation = generator.normal(size=(900, spec.layout.size))
    features = make_feature_map(config, spec).features(observation)
    grid = fit_grid(features, max_bins=16, method="quantile")
    forest = Forest(np.zeros(12), features=features.shape[1], depth=4)
    for _ in range(3):
        forest.append(
            grow_tree(grid.encode(features), grid, generator.normal(size=(900, 12)), config=config.tree), [1.0] * 12
        )
    summary = summarise(config, forest_weights(forest), spec=spec, observation=observation)
    assert summary.rows.shape == (256, features.shape[1]) and summary.visited == 900
    np.testing.assert_allclose(
        summary.base + summary.contributions.sum(axis=1), forest.predict(summary.rows), atol=1e-12
    )
    text = write_text(summary)
    assert len(text.splitlines()) + 4 < 25  # the names of four files follow
    assert "… and 4 more outputs" in text and "… and 12 more rules" in text


def test_a_forest_without_trees_says_so_and_no_observation_is_refused() -> None:
    weights = forest_weights(Forest(np.zeros(3), features=4, depth=1))
    summary = summarise(CONFIG, weights, spec=CART_POLE, observation=OBSERVATION)
    assert (summary.shares == 0).all() and (summary.asked == 0).all()
    assert "nothing" in write_text(summary) and describe(summary)["first_trees"] == []
    with pytest.raises(BadInput, match="expected at least one, got 0"):
        summarise(CONFIG, weights, spec=CART_POLE, observation=OBSERVATION[:0])


# --- rules ---


def test_rules_are_the_tree_and_the_one_of_most_rows_comes_first() -> None:
    forest = Forest([0.0], features=2, depth=2)
    forest.append(
        Tree(
            features=np.array([0, 0, -1], np.int32),
            thresholds=np.array([1.0, -1.0, np.inf]),
            categorical=np.zeros(3, np.bool_),
            leaves=np.array([[1.0], [2.0], [3.0], [3.0]]),
            covers=np.array([10, 7, 3, 2, 5, 3, 0], np.int32),
        ),
        [0.5],
    )
    forest.append(_stump(1, 2.0, [[-1.0], [0.0]], categorical=True), [1.0])
    names = {"features": ("x", "y"), "outputs": ("out",)}
    assert tree_rules(forest, 0, **names) == ["if -1 < x <= 1: out -1", "if x > 1: out -1.5", "if x <= -1: out -0.5"]
    assert tree_rules(forest, 1, **names) == ["if y == 2: out +0", "if y != 2: out +1"]


def test_of_several_bounds_only_the_tightest_is_written_and_exactly_one_rule_holds_for_a_row() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(300, 2))
    grid = fit_grid(rows, max_bins=64, method="quantile")
    forest = Forest([0.0], features=2, depth=5)
    config = TreeConfig(max_depth=5)
    forest.append(grow_tree(grid.encode(rows), grid, np.sin(5 * rows[:, :1]) + rows[:, 1:], config=config), [1.0])
    rules = tree_rules(forest, 0, features=("x", "y"), outputs=("out",))
    edges = np.unique(forest.arrays()["thresholds"])
    checked = 0
    for row, output in zip(rows, forest.predict(rows)[:, 0], strict=True):
        if np.abs(row[:, None] - edges[np.isfinite(edges)]).min() < 0.01:
            continue  # the text rounds thresholds
        holding = [rule for rule in rules if _holds(rule, *row)]
        assert len(holding) == 1
        checked += 1
        assert float(holding[0].split()[-1]) == pytest.approx(output, rel=1e-2)
    assert checked > 50


def _holds(rule: str, x: float, y: float) -> bool:
    values = {"x": x, "y": y}
    for condition in rule.removeprefix("if ").split(":")[0].split(" and "):
        if both := re.fullmatch(r"(\S+) < (\w) <= (\S+)", condition):
            held = float(both[1]) < values[both[2]] <= float(both[3])
        else:
            name, sign, threshold = condition.split()
            held = values[name] > float(threshold) if sign == ">" else values[name] <= float(threshold)
        if not held:
            return False
    return True
