import pytest
from pydantic import TypeAdapter, ValidationError

from wormwood.errors import BadInput
from wormwood.trees.schedules import RateSchedule


def test_rates_are_constant_or_linear_in_the_index_of_the_tree():
    assert [RateSchedule(0.5).rate(tree) for tree in (0, 10**6)] == [0.5, 0.5]
    falling = RateSchedule(first=1.0, last=0.5, trees=4)
    assert [falling.rate(tree) for tree in (0, 1, 2, 4, 5)] == [1.0, 0.875, 0.75, 0.5, 0.5]


def test_an_end_needs_a_number_of_trees():
    with pytest.raises(BadInput, match="both last and trees, or neither"):
        RateSchedule(first=1.0, last=0.5)


@pytest.mark.parametrize("fields", [{"first": -1.0}, {"first": float("inf")}, {"first": 1.0, "last": 0.5, "trees": 0}])
def test_rates_below_zero_or_without_end_are_refused(fields):
    with pytest.raises(ValidationError):
        TypeAdapter(RateSchedule).validate_python(fields)
