"""The benchmark of updates reports what it says. No speed is tested."""

import json

import pytest

from wormwood.launch.bench.learner import _model, bench_learner, update_operations


def test_operations_of_an_update_by_hand():
    # Of 20,480 rows; the actor's layers take 8 x 64, 64 x 64 and 64 x 2 products forwards, the critic's last 64 x 1.
    actor, critic = 512 + 4096 + 128, 512 + 4096 + 64
    assert update_operations(_model(64)) == 2 * 20_480 * (3 * (actor + critic) - 2 * 512)


def test_updates_are_measured_beside_sb3s_own():
    result = bench_learner(seconds=0.0)
    assert json.loads(json.dumps(result)) == result
    for size in (64, 512):
        assert result[f"sb3_{size}_ratio_low"] <= result[f"sb3_{size}_ratio_median"] <= result[f"sb3_{size}_ratio_high"]
        assert result[f"update_{size}_ms"] > 0 and result[f"sb3_update_{size}_ms"] > 0
        share = result[f"update_{size}_gflops"] / result["machine_gflops"]
        assert result[f"update_{size}_machine_share"] == pytest.approx(share)
