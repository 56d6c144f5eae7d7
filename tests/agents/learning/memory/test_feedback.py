"""The feedback module: symmetric in the slots, and shared by name among memories of the same widths."""

import pytest
import torch

from wormwood.agents.learning.memory.feedback import Feedback, FeedbackPool, RunningSize, Widths
from wormwood.agents.learning.memory.paths import context_at, feedback_loss
from wormwood.agents.learning.memory.settings import FeedbackConfig
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.errors import BadInput

WIDTHS = Widths(vectors={"read": 5, "write": 5}, slots={"memory": 4}, context=4)
SHARED = FeedbackConfig(hidden=8, name="shared")


def _state(slots: int = 3, width: int = 4, hidden: int = 5, batch: int = 2) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"read": (batch, hidden), "write": (batch, hidden), "memory": (batch, slots, width)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def test_it_starts_at_zero() -> None:
    predictions = Feedback(FeedbackConfig(), WIDTHS)(_state(), torch.ones(2, 4))
    assert {name: values.shape for name, values in predictions.items()} == {n: v.shape for n, v in _state().items()}
    assert not any(values.any() for values in predictions.values())


def test_slots_that_change_places_change_predictions_likewise(randomise) -> None:
    module, state, order = Feedback(FeedbackConfig(), WIDTHS), _state(slots=5), torch.tensor([3, 0, 4, 1, 2])
    randomise(module)
    before = module(state, torch.ones(2, 4))
    after = module({**state, "memory": state["memory"][:, order]}, torch.ones(2, 4))
    torch.testing.assert_close(after["memory"], before["memory"][:, order])
    torch.testing.assert_close(after["read"], before["read"])
    assert not torch.allclose(before["memory"][:, 0], before["memory"][:, 1])


def test_one_module_serves_any_number_of_slots(randomise) -> None:
    module = Feedback(FeedbackConfig(), WIDTHS)
    randomise(module)
    assert module(_state(slots=9), torch.ones(2, 4))["memory"].shape == (2, 9, 4)


def test_memories_of_other_widths_cannot_share(make_learner) -> None:
    pool = FeedbackPool()
    make_learner(pool=pool, feedback=SHARED)
    with pytest.raises(BadInput) as problem:
        make_learner(pool=pool, feedback=SHARED, memory=MemoryConfig(slots=3, width=6, hidden=5))
    error = str(problem.value)
    assert error.startswith("memory in shared feedback module 'shared': expected Widths(") and "\n" not in error
    assert "slots={'memory': 4}" in error and "slots={'memory': 6}" in error
    with pytest.raises(BadInput, match="shared feedback module"):
        pool.join(SHARED, Widths(vectors={"h": 5, "c": 5}, slots={}, context=4))


def test_without_a_name_each_memory_has_its_own(make_learner) -> None:
    pool = FeedbackPool()
    assert make_learner(pool=pool).feedback is not make_learner(pool=pool).feedback


def test_the_running_size_is_an_unbiased_average_of_updates() -> None:
    size = RunningSize(["s"], decay=0.5)
    size.observe({"s": torch.tensor([3.0, 3.0])})
    assert size.sizes()["s"] == 3.0  # before the first update, of what was seen so far
    size.observe({"s": torch.tensor([1.0, 1.0])})
    size.advance()  # (9 + 1) / 2 = 5
    assert size.sizes()["s"] == pytest.approx(5**0.5)
    size.observe({"s": torch.tensor([2.0, 2.0])})
    size.advance()  # (0.25 * 5 + 0.5 * 4) / 0.75 = 13 / 3
    assert size.sizes()["s"] == pytest.approx((13 / 3) ** 0.5)
    size.observe({"s": torch.tensor([float("nan")] * 2)})
    size.discard()
    size.advance()
    assert size.sizes()["s"] == pytest.approx((13 / 3) ** 0.5)


def test_targets_are_normalised_and_clipped() -> None:
    targets, sizes = {"s": torch.tensor([4.0, -100.0])}, {"s": torch.tensor(2.0)}
    # Targets 2 and -5: (0 - 2)² and (0 + 5)², in the mean 14.5.
    assert feedback_loss({"s": torch.zeros(2)}, targets, sizes, clip=5.0) == 14.5
    # Nothing but zeros so far: the target is 0, not NaN.
    nothing = {"s": torch.tensor(0.0)}
    assert feedback_loss({"s": torch.ones(2)}, {"s": torch.zeros(2)}, nothing, clip=5.0) == 1.0


def test_the_context_is_the_clock_and_what_was_shown(make_trial) -> None:
    trial = make_trial(6)
    context = context_at(trial, 2, 8)
    assert context[0, :2].tolist() == [0.25, 0.5]
    assert torch.equal(context[:, 2:], trial.context[2])
