"""What must hold exactly between the fast path, truncated and full backpropagation, and the feedback module."""

import pytest
import torch
from torch import Tensor, nn

from wormwood.agents.learning.memory.feedback import FeedbackPool
from wormwood.agents.learning.memory.learner import MemoryLearner, update_together
from wormwood.agents.learning.memory.network import State
from wormwood.agents.learning.memory.paths import fast_path
from wormwood.agents.learning.memory.settings import FeedbackConfig, ScheduleConfig
from wormwood.agents.learning.memory.windows import TrainingTrials, window_gradients
from wormwood.agents.policies.memory_settings import MemoryConfig


def _sum_of_gradients(learner: MemoryLearner, trial: TrainingTrials, every: int, *, feedback: bool) -> list[Tensor]:
    totals = [torch.zeros_like(parameter) for parameter in learner.parameters]
    expectation = learner.expectation if feedback else None
    windows = fast_path(learner.network, trial, every=every, parameters=learner.parameters, expectation=expectation)
    for window in windows:
        for total, gradient in zip(totals, window.gradients, strict=True):
            if gradient is not None:
                total += gradient
    return totals


def _reference(learner: MemoryLearner, trial: TrainingTrials, cut_every: int | None) -> list[Tensor]:
    """Plain backpropagation through the trial, cut before every so many steps."""
    state, total = learner.network.initial_state(trial.inputs.shape[1]), torch.zeros(())
    for step, x in enumerate(trial.inputs):
        if cut_every is not None and step > 0 and step % cut_every == 0:
            state = {name: values.detach() for name, values in state.items()}
        features, state = learner.network(x, state)
        loss = trial.loss(features, step)
        total = total if loss is None else total + loss
    gradients = torch.autograd.grad(total, learner.parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(learner.parameters, gradients, strict=True)]


class _LinearCore(nn.Module):
    """``s_{t+1} = A s_t + x_t``; features are the state before the step."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = nn.Parameter(matrix)

    def initial_state(self, batch: int) -> State:
        return {"s": torch.zeros(batch, len(self.matrix))}

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        following = state["s"] @ self.matrix.T + x
        return following, {"s": following}


def test_a_feedback_converges_to_the_analytic_gradient_of_a_linear_network() -> None:
    """Four steps, ``L = |s_4|² / 2``: ``∂L/∂s_t = (A^{4-t})ᵀ A^{4-t} s_t`` where later inputs are 0."""
    torch.manual_seed(0)
    core = _LinearCore(0.9 * torch.tensor([[0.8, -0.6], [0.6, 0.8]]))
    learner = MemoryLearner(
        core,
        {"read": [core.matrix]},
        schedule=ScheduleConfig(fast_every=1, horizon=4, read_rate=1e-12),
        feedback=FeedbackConfig(rate=1e-2),
        context=0,
    )
    for update in range(200):
        learner.feedback.optimizer.param_groups[0]["lr"] = 1e-2 * (1 - update / 200)
        inputs = torch.zeros(4, 64, 2)
        inputs[0] = 2 * torch.rand(64, 2) - 1

        def loss(features: Tensor, step: int) -> Tensor | None:
            return features.square().sum(dim=1).mean() / 2 if step == 3 else None

        trial = TrainingTrials(inputs, loss, torch.zeros(5, 64, 0))
        learner.update(trial)
    state, expectation = {"s": inputs[0]}, learner.expectation
    assert expectation is not None
    for step in (1, 2, 3):
        power = torch.matrix_power(core.matrix.detach(), 4 - step)
        analytic = state["s"] @ power.T @ power
        predicted = expectation.expected(trial, state, step)["s"]
        assert torch.cosine_similarity(predicted.flatten(), analytic.flatten(), dim=0) > 0.99
        state = {"s": state["s"] @ core.matrix.detach().T}


@pytest.mark.parametrize("trained", [False, True])
def test_b_a_window_of_the_whole_trial_is_full_backpropagation(make_learner, make_trial, randomise, trained) -> None:
    learner, trial = make_learner(), make_trial(6)
    if trained:
        randomise(learner.feedback.module)
    ours = _sum_of_gradients(learner, trial, 6, feedback=True)
    for found, true in zip(ours, _reference(learner, trial, None), strict=True):
        torch.testing.assert_close(found, true, atol=1e-6, rtol=0)


@pytest.mark.parametrize("every", [1, 2, 4])
def test_c_feedback_that_is_zero_is_truncated_backpropagation(make_learner, make_trial, every: int) -> None:
    learner, trial = make_learner(), make_trial(6)
    reference = _reference(learner, trial, every)
    for feedback in (False, True):
        ours = _sum_of_gradients(learner, trial, every, feedback=feedback)
        for found, true in zip(ours, reference, strict=True):
            torch.testing.assert_close(found, true, atol=1e-7, rtol=1e-6)


def test_d_only_feedback_tells_the_write_controller_of_later_losses(make_learner, make_trial, randomise) -> None:
    learner, trial = make_learner(), make_trial(6, asked=(5,))
    randomise(learner.feedback.module)
    learner.expectation.learn(trial, _whole(learner, trial), 0)  # so that targets have a size
    writing = {id(parameter) for parameter in learner.network.controllers()["write"]}

    def of_write(*, feedback: bool) -> list[Tensor]:
        gradients = _sum_of_gradients(learner, trial, 1, feedback=feedback)
        return [g for p, g in zip(learner.parameters, gradients, strict=True) if id(p) in writing]

    assert all(bool((gradient == 0).all()) for gradient in of_write(feedback=False))
    assert all(bool((gradient != 0).any()) for gradient in of_write(feedback=True))


def _whole(learner: MemoryLearner, trial: TrainingTrials):
    start = learner.network.initial_state(trial.inputs.shape[1])
    return window_gradients(learner.network, trial, start, begin=0, end=len(trial), parameters=learner.parameters)


def _most_held(run) -> int:
    """Return the most bytes that the graph of one backward pass holds at once."""
    held, most = 0, 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal held, most
        held += tensor.numel() * tensor.element_size()
        most = max(most, held)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        for _ in run():
            held = 0
    return most


def test_e_what_a_window_holds_does_not_grow_with_the_trial(make_learner, make_trial) -> None:
    learner = make_learner(horizon=512)

    def of(steps: int, every: int) -> int:
        trial = make_trial(steps)
        return _most_held(
            lambda: fast_path(
                learner.network, trial, every=every, parameters=learner.parameters, expectation=learner.expectation
            )
        )

    assert of(64, 4) == of(16, 4) == of(128, 4)
    assert of(64, 64) > 3 * of(16, 16)


def test_f_a_shared_module_is_one_object_and_takes_the_gradients_of_all(make_learner, make_trial) -> None:
    pool, config = FeedbackPool(), FeedbackConfig(hidden=8, name="shared")
    first = make_learner(pool=pool, feedback=config)
    second = make_learner(pool=pool, feedback=config, memory=MemoryConfig(slots=7, width=4, hidden=5))
    assert first.feedback is second.feedback
    assert first.expectation.predictor is second.expectation.predictor
    module, trials = first.feedback.module, (make_trial(seed=1), make_trial(seed=2))

    def left() -> list[Tensor]:
        gradients = [p.grad.clone() for p in module.parameters() if p.grad is not None]
        first.feedback.discard()
        return gradients

    sizes = [learner.expectation.size for learner in (first, second)]
    alone = []
    for learner, trial in zip((first, second), trials, strict=True):
        learner.accumulate(trial)
        alone.append(left())
        for size in sizes:
            size.discard()
    first.accumulate(trials[0])
    second.accumulate(trials[1])
    for together, one, other in zip(left(), *alone, strict=True):
        torch.testing.assert_close(together, one + other)


def test_memories_that_learn_at_once_step_their_shared_module_once(make_learner, make_trial) -> None:
    pool, config = FeedbackPool(), FeedbackConfig(hidden=8, name="shared")
    learners = [make_learner(pool=pool, feedback=config) for _ in range(2)]
    update_together(learners, [make_trial(seed=1), make_trial(seed=2)])
    optimizer = learners[0].feedback.optimizer
    assert {int(values["step"]) for values in optimizer.state.values()} == {1}
