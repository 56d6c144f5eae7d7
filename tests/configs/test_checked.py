"""Settings that a script makes are checked as those of a file."""

from typing import Any

import numpy as np
import pytest

from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig, BoostingConfig
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.stable_baselines3.boosted import BoostedA2C, BoostedAWR, BoostedPPO
from wormwood.errors import BadInput
from wormwood.trees.binning import fit_grid
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest
from wormwood.trees.schedules import RateSchedule

WRONG: list[dict[str, Any]] = [
    {"gamma": 5.0},
    {"batch_size": 1},
    {"n_steps": 0},
    {"n_epochs": 2.5},
    {"n_epochs": 0},
    {"target_kl": -1},
    {"clip_range": "lin_0.2"},
    {"clip_range": lambda _: 0.2},
    {"gae_lambda": -3},
    {"noise_std": -1},
    {"critic": "nn"},
]


@pytest.mark.parametrize("algorithm", [BoostedPPO, BoostedA2C, BoostedAWR])
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: "-".join(map(str, wrong)))
def test_an_algorithm_refuses_a_wrong_setting_at_once(algorithm: Any, wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(BadInput, match=rf"value in {algorithm.__name__}\.{name}: expected") as caught:
        algorithm("CartPole-v1", **wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (TreeConfig, {"grower": "greddy"}),
        (TreeConfig, {"score": "L2"}),
        (TreeConfig, {"max_depth": 99}),
        (RateSchedule, {"first": -1.0}),
        (BoostingConfig, {"merge": 0}),
        (NCAPConfig, {"constraint": "soft"}),
    ],
)
def test_settings_refuse_a_wrong_value(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=f"value in {kind.__name__}"):
        kind(**wrong)


def test_a_wrong_choice_is_answered_by_the_nearest() -> None:
    with pytest.raises(BadInput, match="nearest: 'greedy'"):
        TreeConfig(grower="greddy")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="nearest: 'quantile'"):
        fit_grid(np.zeros((2, 1)), max_bins=4, method="qantile")  # type: ignore[arg-type]


def test_a_mapping_becomes_settings_as_in_a_file() -> None:
    assert BoostedLearnerConfig(boosting={}).boosting == BoostingConfig()  # type: ignore[arg-type]


def test_a_forest_is_sliced_not_indexed() -> None:
    forest = Forest([0.0], features=1, depth=2)
    with pytest.raises(TypeError, match="sliced"):
        forest[0]  # type: ignore[index]
    with pytest.raises(TypeError, match="sliced"):
        list(forest)  # type: ignore[call-overload]
