"""Few-shot tasks: what trials hold, that they never tell the future, and that what is held out stays apart."""

from dataclasses import replace

import numpy as np
import pytest

from wormwood.envs.few_shot.classification import Classification, ImageClasses, PrototypeClasses
from wormwood.envs.few_shot.regression import Sinusoids
from wormwood.envs.few_shot.sequences import Copy, Recall
from wormwood.errors import BadInput

TASKS = [
    Classification(PrototypeClasses()),
    Classification(PrototypeClasses(size=3), ways=3, shots=2, queries=4),
    Classification(PrototypeClasses(), gap=3),
    Sinusoids(shots=4, queries=2),
    Recall(delay=5),
    Copy(length=3, delay=2, symbols=5),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_trials_have_the_shapes_that_tasks_say(task) -> None:
    batch = task.sample(0, 0, 6)
    assert batch.inputs.shape == (task.steps, 6, task.inputs)
    assert batch.targets.shape[:2] == batch.weights.shape == (task.steps, 6)
    assert batch.context.shape == (task.steps + 1, 6, task.context_size)
    assert {batch.inputs.dtype, batch.weights.dtype, batch.context.dtype} == {np.dtype(np.float32)}
    if task.loss == "classification":
        assert set(np.unique(batch.targets)) <= set(range(task.outputs))
    else:
        assert batch.targets.shape[2] == task.outputs


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_a_batch_depends_on_seed_index_and_side_alone(task) -> None:
    first = task.sample(3, 7, 4)
    np.testing.assert_array_equal(task.sample(3, 7, 4).inputs, first.inputs)
    for other in (task.sample(4, 7, 4), task.sample(3, 8, 4), task.sample(3, 7, 4, held_out=True)):
        assert not np.array_equal(other.inputs, first.inputs)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_nothing_is_shown_before_the_first_step_and_nothing_by_questions(task) -> None:
    batch = task.sample(0, 0, 5)
    assert not batch.context[0].any()
    first_question = int(batch.weights.any(axis=1).argmax())
    for step in range(first_question, task.steps):
        np.testing.assert_array_equal(batch.context[step], batch.context[step + 1])


def test_labels_come_one_step_after_their_example() -> None:
    task = Classification(PrototypeClasses(size=2), ways=2, shots=2, queries=2)
    batch = task.sample(0, 0, 50)
    codes = batch.inputs[:, :, 2:4]
    assert not codes[0].any()
    for step in range(1, 5):
        np.testing.assert_array_equal(codes[step].argmax(axis=1), batch.targets[step - 1])
    assert not codes[5].any()  # the answer to the first question is not told
    assert batch.weights.tolist() == [[0.0] * 50] * 4 + [[1.0] * 50] * 2
    assert (np.bincount(batch.targets[:4].ravel()) == 100).all()  # as many examples of each


def test_a_gap_is_empty_but_for_the_label_of_the_last_example() -> None:
    near, far = Classification(PrototypeClasses(size=2)), Classification(PrototypeClasses(size=2), gap=3)
    batch, far_batch = near.sample(0, 0, 4), far.sample(0, 0, 4)
    np.testing.assert_array_equal(far_batch.inputs[:2], batch.inputs[:2])
    np.testing.assert_array_equal(far_batch.inputs[2, :, 2:4], batch.inputs[2, :, 2:4])  # the label
    assert not far_batch.inputs[2, :, :2].any()
    assert not far_batch.inputs[3:5].any()
    np.testing.assert_array_equal(far_batch.inputs[5, :, :2], batch.inputs[2, :, :2])
    assert not far_batch.inputs[5, :, 2:4].any()
    assert far_batch.weights[:, 0].tolist() == [0.0] * 5 + [1.0]


def test_a_question_is_like_the_examples_of_its_class() -> None:
    task = Classification(PrototypeClasses(size=16, noise=0.1))
    batch = task.sample(0, 0, 200)
    examples, labels = batch.inputs[:, :, :16], batch.targets
    distances = ((examples[:2] - examples[2]) ** 2).sum(axis=2)
    nearest = labels[:2][distances.argmin(axis=0), np.arange(200)]
    assert (nearest == labels[2]).all()


def test_prototypes_are_spread_around_their_centre() -> None:
    usual, rng = PrototypeClasses(size=4, noise=0.0), np.random.default_rng
    drawn = usual.draw(rng(0), batch=500, ways=2, examples=1, held_out=False)
    other = replace(usual, spread=0.5, centre=2.0).draw(rng(0), batch=500, ways=2, examples=1, held_out=False)
    np.testing.assert_allclose(other, 2 + 0.5 * drawn, rtol=1e-5)
    assert abs(drawn.mean()) < 0.1
    assert abs(drawn.std() - 1) < 0.05


def test_the_summary_holds_the_mean_of_each_labels_examples() -> None:
    task = Classification(PrototypeClasses(size=2), ways=2, shots=2)
    batch = task.sample(0, 0, 1)
    examples, labels = batch.inputs[:4, 0, :2], batch.targets[:4, 0]
    for way in range(2):
        summary = batch.context[4, 0].reshape(2, 3)[way]
        np.testing.assert_allclose(summary, [*examples[labels == way].mean(axis=0), 1.0], rtol=1e-6)
    after_one = batch.context[1, 0].reshape(2, 3)
    np.testing.assert_allclose(after_one[labels[0]], [*examples[0], 1.0])
    assert not after_one[1 - labels[0]].any()


def test_held_out_classes_are_never_trained_on() -> None:
    source = ImageClasses([np.full((4, 1), value, np.float32) for value in range(6)], held_out=2)
    task = Classification(source, ways=2)
    seen = {side: set(task.sample(0, 0, 200, held_out=side).inputs[:, :, 0].ravel()) for side in (False, True)}
    assert seen == {False: {0.0, 1.0, 2.0, 3.0}, True: {4.0, 5.0}}


def test_an_image_is_not_drawn_twice_in_a_trial() -> None:
    source = ImageClasses([np.arange(10 * c, 10 * c + 5, dtype=np.float32)[:, None] for c in range(4)], held_out=1)
    batch = Classification(source, ways=3, shots=2, queries=1).sample(0, 0, 100)
    assert all(len(set(batch.inputs[:, trial, 0])) == 7 for trial in range(100))


def test_copies_ask_for_what_was_shown_in_order() -> None:
    batch = Copy(length=2, delay=1, symbols=3).sample(0, 0, 1)
    first, second = batch.targets[3:, 0]
    codes = np.eye(3)[[first, second]]
    blank = [0.0, 0.0, 0.0]
    assert batch.inputs[:, 0].tolist() == [[*codes[0], 0.0], [*codes[1], 0.0], [*blank, 0.0], *[[*blank, 1.0]] * 2]
    assert batch.weights[:, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0]
    assert batch.context[:, 0].tolist() == [[*blank, *blank], [*codes[0], *blank], *[[*codes[0], *codes[1]]] * 4]


def test_recall_asks_after_its_delay() -> None:
    batch = Recall(delay=10).sample(0, 0, 8)
    np.testing.assert_array_equal(batch.inputs[0].argmax(axis=1), batch.targets[10])
    assert batch.weights[:, 0].tolist() == [0.0] * 10 + [1.0]


def test_sinusoids_are_sines_in_units_of_five() -> None:
    batch = Sinusoids(shots=40).sample(0, 0, 3)
    x, y = 5 * batch.inputs[:40, :, 0], 5 * batch.inputs[1:41, :, 1]
    np.testing.assert_array_equal(batch.targets[:40, :, 0], batch.inputs[1:41, :, 1])
    for trial in range(3):
        basis = np.stack([np.sin(x[:, trial]), np.cos(x[:, trial])], axis=1)
        residual = np.linalg.lstsq(basis, y[:, trial])[1]
        assert residual < 1e-8
    many = Sinusoids().sample(1, 0, 20_000).targets
    assert np.mean(many**2) == pytest.approx(0.17, abs=0.005)  # E a² / 2 / 25 = 8.5 / 2 / 25


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: Recall(delay=0), "delay in few-shot copy: expected at least 0, got -1"),
        (lambda: Copy(symbols=1), "symbols in few-shot copy: expected at least 2, got 1"),
        (lambda: Sinusoids(shots=0), "shots in few-shot sinusoids: expected at least 1, got 0"),
        (lambda: Classification(PrototypeClasses(), ways=1), "ways in few-shot classification: expected at least 2"),
        (lambda: ImageClasses([np.zeros((1, 1), np.float32)], 1), "held-out classes in few-shot images: expected at"),
    ],
)
def test_empty_tasks_are_bad_input_in_one_line(make, line: str) -> None:
    with pytest.raises(BadInput) as problem:
        make()
    assert str(problem.value).startswith(line)


def test_more_ways_or_examples_than_there_are_is_bad_input() -> None:
    source = ImageClasses([np.zeros((3, 1), np.float32)] * 4, held_out=2)
    with pytest.raises(BadInput, match=r"^ways in few-shot images: expected at most 2, got 3$"):
        Classification(source, ways=3).sample(0, 0, 1)
    with pytest.raises(BadInput, match=r"^shots and queries in few-shot images: expected at most 3, got 4$"):
        Classification(source, shots=3).sample(0, 0, 1)
