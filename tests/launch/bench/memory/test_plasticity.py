"""Plasticity at test time: what is learned, from what, and what must not change."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from wormwood.agents.learning.memory.learner import MemoryLearner
from wormwood.agents.learning.memory.network import MemoryNetwork
from wormwood.agents.learning.memory.settings import FeedbackConfig, ScheduleConfig
from wormwood.agents.policies.memory_settings import MemoryConfig
from wormwood.envs.few_shot.classification import Classification, PrototypeClasses
from wormwood.envs.few_shot.regression import Sinusoids
from wormwood.envs.few_shot.trials import TrialBatch
from wormwood.errors import BadInput
from wormwood.launch.bench.memory.experiments import PROTOTYPES
from wormwood.launch.bench.memory.few_shot import answer_scores, as_trial, frozen_answers
from wormwood.launch.bench.memory.plastic_scores import SHIFTS
from wormwood.launch.bench.memory.plasticity import PlasticityConfig, plastic_answers
from wormwood.launch.bench.memory.runs import Pupil
from wormwood.launch.storage.states import state_sha256

TASK = Classification(PrototypeClasses(size=3), queries=3)
"""Two examples and three questions."""


class Trained:
    """A small memory that has learned a little, and whose feedback module predicts something."""

    def __init__(self, task=TASK, randomise=None) -> None:
        torch.manual_seed(0)
        self.task = task
        self.network = MemoryNetwork(MemoryConfig(slots=3, width=4, hidden=5), task.inputs)
        self.head = nn.Linear(5, task.outputs)
        controllers = self.network.controllers()
        controllers["output"] += self.head.parameters()
        self.learner = MemoryLearner(
            self.network,
            controllers,
            schedule=ScheduleConfig(horizon=task.steps),
            feedback=FeedbackConfig(hidden=8),
            context=task.context_size,
        )
        for number in range(3):
            self.learner.update(as_trial(task.sample(0, number, 8), task, self.head))
        if randomise is not None:
            randomise(self.learner.feedback.module)

    def stream(self, length: int, copies: int) -> list[TrialBatch]:
        return [self.task.sample(1, number, copies, held_out=True) for number in range(length)]

    def answers(self, stream: list[TrialBatch], *, feedback: bool = True, rate: float = 0.5, **settings):
        rates = {"read_rate": rate, "output_rate": rate, "write_rate": rate} | settings
        expectation = self.learner.expectation if feedback else None
        config = PlasticityConfig(**rates)
        return plastic_answers(self.network, self.head, stream, task=self.task, config=config, expectation=expectation)

    def sha256(self) -> str:
        modules = {
            "network": self.network,
            "head": self.head,
            "feedback": self.learner.feedback.module,
            "size": self.learner.expectation.size,
        }
        state = {f"{name}/{key}": v.numpy() for name, part in modules.items() for key, v in part.state_dict().items()}
        for number, part in self.learner.optimizer.state_dict()["state"].items():
            state |= {f"optimizer/{number}/{key}": values.numpy() for key, values in part.items()}
        return state_sha256(state)


def _randomise(module: nn.Module) -> None:
    """Give a module weights, as if it had learned something."""
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3


@pytest.fixture
def trained() -> Trained:
    return Trained(randomise=_randomise)


def _relabelled(batch: TrialBatch, step: int) -> TrialBatch:
    """The batch with the other label in one step, of which the network is shown nothing."""
    targets = batch.targets.copy()
    targets[step] = 1 - targets[step]
    return replace(batch, targets=targets)


@pytest.mark.parametrize("feedback", [True, False])
@pytest.mark.parametrize("every", [1, 2, 5])
def test_at_rate_0_every_score_is_that_of_the_frozen_memory(trained, every: int, feedback: bool) -> None:
    stream = trained.stream(3, 100)
    answers = trained.answers(stream, feedback=feedback, rate=0.0, fast_every=every)
    frozen = torch.stack([frozen_answers(trained.network, trained.head, batch) for batch in stream])
    torch.testing.assert_close(answers, frozen, rtol=0, atol=1e-6)
    for answer, other, batch in zip(answers, frozen, stream, strict=True):
        assert torch.equal(answer_scores(answer, batch, TASK), answer_scores(other, batch, TASK))
    assert torch.equal(answers, trained.answers(stream, rate=0.0))


@pytest.mark.parametrize("windows", [0, 1, 2])
@pytest.mark.parametrize("every", [1, 2, 5])
def test_an_answer_is_given_before_its_label_is_used(trained, every: int, windows: int) -> None:
    stream = trained.stream(3, 4)
    changed = [stream[0], _relabelled(stream[1], TASK.steps - 1), stream[2]]
    before, after = (trained.answers(trials, fast_every=every, windows=windows) for trials in (stream, changed))
    assert torch.equal(after[:2], before[:2])
    assert not torch.equal(after[2], before[2])


def test_within_a_trial_a_label_tells_on_the_questions_after_it_alone(trained) -> None:
    stream = trained.stream(1, 4)
    before, after = trained.answers(stream), trained.answers([_relabelled(stream[0], 2)])
    assert torch.equal(after[:, 0], before[:, 0])
    assert not torch.equal(after[:, 1], before[:, 1])
    later = trained.answers([_relabelled(stream[0], 2)], windows=0)
    assert torch.equal(later, trained.answers(stream, windows=0))


def test_what_was_trained_is_the_same_after_and_each_evaluation_starts_from_it(trained) -> None:
    stream, before = trained.stream(3, 4), trained.sha256()
    first = trained.answers(stream)
    assert trained.sha256() == before
    assert all(parameter.grad is None for parameter in trained.learner.feedback.module.parameters())
    assert torch.equal(trained.answers(stream), first)
    trained.answers(trained.stream(2, 4))
    assert torch.equal(trained.answers(stream), first)


def test_predictions_alone_move_a_memory_before_any_question(trained) -> None:
    """The only loss is at the end: without predictions nothing is learned before it, with them something is."""
    stream = [
        replace(batch, weights=np.eye(5, 4, k=-4, dtype=np.float32)[:, [0] * 4]) for batch in trained.stream(1, 4)
    ]
    frozen = trained.answers(stream, rate=0.0)
    assert frozen.shape == (1, 1, 4, 2)
    assert torch.equal(trained.answers(stream, feedback=False), frozen)
    assert not torch.allclose(trained.answers(stream), frozen, atol=1e-4)


def test_a_feedback_that_is_zero_is_truncated_backpropagation(trained) -> None:
    for parameter in trained.learner.feedback.module.parameters():
        parameter.data.zero_()
    stream = trained.stream(3, 4)
    torch.testing.assert_close(trained.answers(stream), trained.answers(stream, feedback=False))


def test_no_copy_sees_what_another_does(trained) -> None:
    together = trained.stream(3, 4)
    alone = [
        TrialBatch(batch.inputs[:, 2:3], batch.targets[:, 2:3], batch.weights[:, 2:3], batch.context[:, 2:3])
        for batch in together
    ]
    torch.testing.assert_close(trained.answers(together)[:, :, 2:3], trained.answers(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("moving", ["read", "output", "write"])
def test_a_step_is_plain_descent_at_the_rate_of_each_controller(trained, moving: str) -> None:
    """A window of a whole trial, against plain backpropagation, a clipped gradient and torch's own descent."""
    stream, rates = trained.stream(2, 1), {f"{name}_rate": 0.0 for name in ("read", "output", "write")}
    rates[f"{moving}_rate"] = 0.7
    answers = trained.answers(stream, feedback=False, fast_every=5, max_grad_norm=0.05, **rates)
    network, head = copy.deepcopy(trained.network), copy.deepcopy(trained.head)
    groups = network.controllers()
    groups["output"] += head.parameters()
    trial, state = as_trial(stream[0], TASK, head), network.initial_state(1)
    losses = []
    for step, x in enumerate(trial.inputs):
        features, state = network(x, state)
        losses.append(trial.loss(features, step))
    sum(loss for loss in losses if loss is not None).backward()
    parameters = [parameter for group in groups.values() for parameter in group]
    assert torch.nn.utils.clip_grad_norm_(parameters, 0.05) > 0.05
    torch.optim.SGD(groups[moving], lr=0.7).step()
    expected = frozen_answers(network, head, stream[1])
    torch.testing.assert_close(answers[1], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected, frozen_answers(trained.network, trained.head, stream[1]), atol=1e-4)


@pytest.mark.parametrize("feedback", [True, False])
def test_a_copy_gets_better_at_trials_that_come_again(feedback: bool) -> None:
    trained = Trained(Sinusoids(shots=2, queries=2))
    stream = trained.stream(1, 6) * 30
    answers = trained.answers(stream, feedback=feedback, rate=0.2)
    errors = [float(answer_scores(answer, stream[0], trained.task).mean()) for answer in answers]
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.parametrize(("step", "what"), [(1, "gradient"), (3, "loss")])
def test_what_is_not_finite_stops_it_and_names_the_step(trained, step: int, what: str) -> None:
    stream, before = trained.stream(3, 4), trained.sha256()
    stream[1].inputs[step, 2] = np.nan
    with pytest.raises(BadInput) as problem:
        trained.answers(stream)
    assert str(problem.value) == (
        f"{what} in memory plasticity, trial 1, step {step}: expected a finite number, got nan"
    )
    assert trained.sha256() == before


def test_trials_that_cannot_be_are_bad_input_in_one_line(trained) -> None:
    with pytest.raises(BadInput, match=r"^stream in memory plasticity: expected at least one batch of trials, got"):
        trained.answers([])
    with pytest.raises(BadInput, match=r"^batch 1 in memory plasticity: expected 2 trials, one for each copy, got 3$"):
        trained.answers([TASK.sample(0, 0, 2), TASK.sample(0, 1, 3)])
    longer = replace(TASK, queries=4)
    with pytest.raises(BadInput, match=r"^batch 0 in memory plasticity: expected at most 5 steps, the horizon of its"):
        trained.answers([longer.sample(0, 0, 2)])


@pytest.mark.slow
def test_a_trained_memory_adapts_to_classes_that_have_moved() -> None:
    pupil, task = Pupil(PROTOTYPES, 2), SHIFTS["moved"]
    for _ in range(PROTOTYPES.updates):
        pupil.learn()
    stream = [task.sample(2, number, 32, held_out=True) for number in range(256)]

    def score(answers: torch.Tensor) -> float:
        return float(np.mean([answer_scores(*pair, task).mean() for pair in zip(answers, stream, strict=True)]))

    frozen = score(torch.stack([frozen_answers(pupil.network, pupil.head, batch) for batch in stream]))
    for expectation in (pupil.learner.expectation, None):
        answers = plastic_answers(
            pupil.network, pupil.head, stream, task=task, config=PlasticityConfig(), expectation=expectation
        )
        assert score(answers) > frozen + 0.03
