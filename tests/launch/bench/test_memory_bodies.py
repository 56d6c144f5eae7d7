"""Circuits on bodies: what a repertoire earns follows from its circuits alone, and the benchmark says what it does."""

import numpy as np
import pytest

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.repertoire import Repertoire
from wormwood.agents.policies.repertoire_settings import RepertoireConfig
from wormwood.agents.references.playing import held_out_returns
from wormwood.envs.families.trials import TrialSpec, trial_from_name
from wormwood.launch.bench import memory_bodies
from wormwood.launch.bench.memory_bodies import bench_bodies, played_in_turn


def _spec() -> TrialSpec:
    options = {"links": [3, 4], "held_out_links": [5], "viscosities": [0.0], "held_out_viscosities": [0.1], "steps": 20}
    return trial_from_name("swimmer-bodies", options, 3)


def test_the_third_episode_is_that_of_the_circuit_that_earned_more() -> None:
    alone = np.array([[[5.0, 0.0, 7.0], [1.0, 9.0, 7.0]], [[0.0, 4.0, 3.0], [0.0, 4.0, 3.0]]])
    # The first earns 5 against 4 in its turn, then 1 against 4.
    np.testing.assert_array_equal(played_in_turn(alone), [[5, 4, 7], [1, 4, 3]])


def test_it_is_what_the_repertoire_itself_earns() -> None:
    spec, circuit = _spec(), NCAPConfig()
    weights = {name: np.array([value, value]) for name, value in {"prop": 1.0, "ipsi": 1.0, "contra": -1.0}.items()}
    weights |= {"osc": np.array([0.5, 0.5]), "period": np.array([12.0, 6.0])}
    alone = [
        held_out_returns(
            Repertoire(
                RepertoireConfig(circuits=1, circuit=circuit), {n: v[s : s + 1] for n, v in weights.items()}, spec
            ),
            spec,
            6,
        )
        for s in (0, 1)
    ]
    both = held_out_returns(Repertoire(RepertoireConfig(circuits=2, circuit=circuit), weights, spec), spec, 6)
    np.testing.assert_allclose(both, played_in_turn(np.stack(alone)))
    assert (alone[0] != alone[1]).any()


def test_the_benchmark_reports_every_episode_and_the_interval_of_the_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_bodies, "CANDIDATES", ((6.0, 1.0), (12.0, 1.0)))
    result = bench_bodies([0, 1], lambda stage, share: None, spec=_spec(), trials=3)
    assert set(result) == {"fixed", "repertoire", "in_hindsight", "gain", "chosen"}
    fixed, both, gain = (result[name] for name in ("fixed", "repertoire", "gain"))
    assert isinstance(fixed, dict) and isinstance(both, dict) and isinstance(gain, dict)
    assert set(fixed) == {"episode 1", "episode 2", "episode 3", "trial"}
    assert gain["trial"] == pytest.approx(both["trial"] - fixed["trial"])
    assert gain["low"] <= gain["trial"] <= gain["high"]
    assert isinstance(result["chosen"], dict) and set(result["chosen"]) == {"0", "1"}
