"""The learner: what steps when, and what it refuses before anything steps."""

import pytest
import torch

from wormwood.agents.learning.memory.learner import is_slow, update_together
from wormwood.agents.learning.memory.settings import FeedbackConfig, ScheduleConfig
from wormwood.agents.learning.memory.windows import TrainingTrials, window_gradients
from wormwood.errors import BadInput


def _numbers(learner) -> list[torch.Tensor]:
    modules = [learner.network, learner.feedback.module, learner.expectation.size]
    return [values.clone() for module in modules for values in module.state_dict().values()]


def _spoiled(trial: TrainingTrials, step: int) -> TrainingTrials:
    def loss(features, at):
        value = trial.loss(features, at)
        return value * float("nan") if at == step else value

    return TrainingTrials(trial.inputs, loss, trial.context)


def test_every_kth_trial_is_slow() -> None:
    assert [k for k in range(9) if is_slow(ScheduleConfig(slow_every=3), k)] == [2, 5, 8]
    assert not any(is_slow(ScheduleConfig(), k) for k in range(9))
    assert all(is_slow(ScheduleConfig(slow_every=1), k) for k in range(9))


@pytest.mark.parametrize("slow_every", [0, 1])
def test_both_paths_learn(make_learner, make_trial, slow_every: int) -> None:
    learner, trial = make_learner(slow_every=slow_every, read_rate=1e-2, output_rate=1e-2), make_trial()
    losses = [learner.update(trial) for _ in range(60)]
    assert losses[-1] < 0.8 * losses[0]


def test_the_slow_path_teaches_the_feedback_module(make_learner, make_trial) -> None:
    learner = make_learner(slow_every=1)
    learner.update(make_trial())
    assert any(parameter.any() for parameter in learner.feedback.module.of_vectors.parameters())
    assert learner.expectation.size.weight > 0


def test_windows_may_step_before_the_trial_ends(make_learner, make_trial) -> None:
    for windows, steps in ((0, 1), (2, 2), (1, 3)):
        learner = make_learner(fast_every=2, windows=windows)
        learner.update(make_trial(6))
        assert {int(moments["step"]) for moments in learner.optimizer.state.values()} >= {steps}


def test_controllers_learn_at_their_own_rates(make_learner, make_trial) -> None:
    learner = make_learner(read_rate=1e-12, output_rate=1e-12, write_rate=1e-2)
    before = {name: values.detach().clone() for name, values in learner.network.named_parameters()}
    for seed in range(3):
        learner.update(make_trial(seed=seed))
    moved = {
        name.split(".")[0]
        for name, values in learner.network.named_parameters()
        if (values - before[name]).abs().max() > 1e-6
    }
    assert moved == {"write", "write_query", "write_sharpness", "erase", "content", "initial_memory"}


@pytest.mark.parametrize("slow_every", [0, 1])
@pytest.mark.parametrize("step", [0, 5])
def test_a_loss_that_is_not_finite_stops_before_anything_learns(make_learner, make_trial, step, slow_every) -> None:
    learner, trial = make_learner(slow_every=slow_every), make_trial()
    learner.update(trial)
    before = _numbers(learner)
    with pytest.raises(BadInput, match=r"^loss in memory update: expected a finite number; nothing was learned, got"):
        learner.update(_spoiled(trial, step))
    assert all(torch.equal(one, other) for one, other in zip(_numbers(learner), before, strict=True))
    learner.update(trial)
    assert all(bool(values.isfinite().all()) for values in _numbers(learner))


def test_a_trial_beyond_the_horizon_is_bad_input_in_one_line(make_learner, make_trial) -> None:
    learner = make_learner(horizon=5)
    with pytest.raises(BadInput) as problem:
        learner.update(make_trial(6))
    assert str(problem.value) == "trial in memory: expected at most 5 steps, the horizon of its schedule, got '6 steps'"


def test_of_memories_that_learn_at_once_none_steps_if_one_has_no_finite_loss(make_learner, make_trial) -> None:
    config, trial = FeedbackConfig(hidden=8), make_trial()
    learners = [make_learner(feedback=config) for _ in range(2)]
    before = [_numbers(learner) for learner in learners]
    with pytest.raises(BadInput, match="loss"):
        update_together(learners, [trial, _spoiled(trial, 3)])
    for learner, numbers in zip(learners, before, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(_numbers(learner), numbers, strict=True))


def test_losses_without_any_step_that_asks_change_nothing_but_do_not_fail(make_learner, make_trial) -> None:
    learner = make_learner()
    assert learner.update(make_trial(asked=())) == 0.0
    assert all(bool(values.isfinite().all()) for values in _numbers(learner))


@pytest.mark.parametrize("trace", [0.0, 0.5])
def test_within_a_window_predictions_are_mixed_in_by_lambda(make_learner, make_trial, randomise, trace) -> None:
    """A window of 2 steps with λ: the gradient at the middle state is what ``lambda_targets`` says."""

    learner, trial = make_learner(), make_trial(2, batch=1)
    start = {name: values.detach() for name, values in learner.network.initial_state(1).items()}

    def predict(state, step):
        return {name: torch.full_like(values, 0.1 * step) for name, values in state.items()}

    def targets(mix: float) -> dict[str, torch.Tensor]:
        window = window_gradients(
            learner.network, trial, dict(start), begin=0, end=2, parameters=[], predict=predict, trace=mix
        )
        return window.targets[0]

    mixed, far, near = targets(trace), targets(1.0), targets(0.0)
    for name, values in mixed.items():
        torch.testing.assert_close(values, trace * far[name] + (1 - trace) * near[name])
        assert not torch.equal(far[name], near[name])
