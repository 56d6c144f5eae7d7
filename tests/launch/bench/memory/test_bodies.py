"""Circuits on bodies: the benchmark trains pairs, and says by body what each of them earns."""

import numpy as np
import pytest

from wormwood.launch.bench.memory import bodies
from wormwood.launch.bench.memory.bodies import bench_bodies

SMALL = [
    "family_options={links: [3, 4], held_out_links: [5], viscosities: [0.0], held_out_viscosities: [0.1], steps: 10}",
    "learner.population=4",
    "learner.starts=2",
]


def test_pairs_are_trained_and_compared_by_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "TRIALS", 4)
    told: list[str] = []
    result = bench_bodies([0, 1], 1, lambda stage, share: told.append(stage), overrides=SMALL)
    assert told == ["fixed, seed 0", "tuned, seed 0", "fixed, seed 1", "tuned, seed 1"]
    assert set(result) == {"5 links, 0.1 Pa·s", "all held-out bodies", "bodies of training"}
    assert result["5 links, 0.1 Pa·s"] == pytest.approx(result["all held-out bodies"])
    episodes = {f"{arm} {episode}" for arm in ("fixed", "tuned") for episode in (1, 2, 3)}
    assert all(set(row) == {*episodes, "mean", "low", "high"} for row in result.values() if isinstance(row, dict))


def test_the_gain_is_of_pairs() -> None:
    # Two seeds, one trial of one episode: 1 -> 2 and 3 -> 6 gain 1 and 3. The mean has an error of 1, and t is 12.706.
    returns = np.array([[1.0, 3.0], [2.0, 6.0]]).reshape(2, 2, 1, 1)
    found = bodies._compared(returns)
    assert (found["fixed 1"], found["tuned 1"], found["mean"]) == (2.0, 4.0, 2.0)
    assert found["high"] - 2.0 == pytest.approx(12.706, abs=1e-3)
