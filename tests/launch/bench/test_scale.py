"""The arithmetic of scaling, with numbers worked out by hand."""

import pytest

from wormwood.launch.bench.scale import Costs, call_costs, growing_batch, iteration_seconds

COSTS = Costs(rollout=0.1, update=0.2, call=0.01, iteration=0.05, driver=0.002)


@pytest.mark.parametrize(
    ("workers", "cores", "seconds"),
    [
        (1, 8, 8 * 0.11 + 0.25),
        (2, 8, 4 * 0.11 + 0.25),
        (3, 8, 3 * 0.11 + 0.25),  # the last round has two of three
        (8, 8, 0.11 + 0.25),
        (16, 16, 0.11 + 0.25),  # no more workers than shards are of use
        (4, 2, 8 * 0.1 / 2 + 0.25),  # two cores do not become four
    ],
)
def test_an_iteration_takes_its_rounds_its_update_and_what_each_call_costs(
    workers: int, cores: int, seconds: float
) -> None:
    assert iteration_seconds(COSTS, workers, shards=8, cores=cores) == pytest.approx(seconds)


def test_the_driver_is_the_limit_of_many_short_calls() -> None:
    assert iteration_seconds(COSTS, 200, shards=200) == pytest.approx(200 * 0.002 + 0.25)


def test_a_batch_that_grows_with_the_workers_ends_at_the_learner() -> None:
    one = growing_batch(COSTS, 1, shards=8, steps=256)
    # 0.11 of rollouts, 0.2 / 8 of learning, 0.05 of the iteration
    assert one == {"steps_per_second": pytest.approx(256 / 0.185), "limited_by": "rollouts"}
    many = growing_batch(COSTS, 1000, shards=8, steps=256)
    # 1000 calls of 2 ms, 1000 shards of 25 ms
    assert many == {"steps_per_second": pytest.approx(256_000 / (2 + 25.05)), "limited_by": "learner"}
    assert many["steps_per_second"] < 8 * 256 / 0.2, "the learner's ceiling"


def test_two_runs_tell_the_cost_of_a_call_from_that_of_an_iteration() -> None:
    assert call_costs({4: 0.05, 16: 0.11}) == pytest.approx((0.005, 0.03))
    assert call_costs({4: 0.05, 16: 0.04}) == pytest.approx((0.0, 0.05))
