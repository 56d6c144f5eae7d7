"""The training benchmark reports what it says. No speed is tested."""

import json
from collections.abc import Iterator

import pytest
import ray

from wormwood.errors import BadInput
from wormwood.launch.bench.training import bench_training
from wormwood.launch.cli import main as command_line


def test_there_is_an_environment_for_each_thread() -> None:
    with pytest.raises(BadInput, match="threads in bench train: expected at least 1 thread, and an environment for"):
        bench_training(environments=2, threads=3)


def test_a_python_without_rllib_is_bad_input_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["bench", "train", "--seconds", "0.01", "--peers", "/none/python"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("wormwood: no peers in --peers /none/python: expected a Python that has RLlib or SBX")


@pytest.fixture
def _ray_ends() -> Iterator[None]:
    # A distributed model stays connected as long as its process, which here has other tests to run.
    yield
    ray.shutdown()


@pytest.mark.slow
@pytest.mark.usefixtures("_ray_ends")
def test_every_way_is_measured_beside_sb3s_own_and_the_bound() -> None:
    result = bench_training(seconds=0.0, environments=2, threads=2)
    assert json.loads(json.dumps(result)) == result
    for size in (512, 64):
        assert result[f"rounds_{size}"] >= 3
        assert result[f"sb3_{size}_best"] in ("sb3_dummy", "sb3_subproc")
        for way in ("vec_env", "in_process", "distribute", "lag"):
            assert result[f"{way}_{size}_ratio_low"] <= result[f"{way}_{size}_ratio_median"]
            assert result[f"{way}_{size}_bound_share"] > 0
        for way in ("accelerate", "accelerate_lag", "train_in_process", "train_workers", "train"):
            assert 0 < result[f"{way}_{size}_ratio_low"] <= result[f"{way}_{size}_ratio_median"]
        assert result[f"train_{size}_best"] in ("train_in_process", "train_workers")
        assert 0 < result[f"ceiling_{size}_ratio_median"] < result[f"bound_{size}_ratio_median"]
    assert result["ratio_median"] == result[f"{result['ratio_median_way']}_512_ratio_median"]
    assert result["bound_share"] == result[f"{result['bound_share_way']}_64_bound_share"]
