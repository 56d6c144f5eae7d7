import math

import numpy as np
import pytest
import torch
from numba import njit
from torch.distributions import Categorical, Normal

from wormwood.agents.learning.compiled.heads import build_head, head_errors, log_prob_entropy, prepare


@njit
def _evaluate(head, parameters, gradient, outputs, action, errors, by_log_prob, by_entropy):
    prepare(head, parameters)
    log_prob, entropy = log_prob_entropy(head, parameters, outputs, action)
    head_errors(head, gradient, outputs, action, errors, by_log_prob, by_entropy)
    return log_prob, entropy


def _ours(head, log_std, outputs, action, by_log_prob, by_entropy):
    parameters = np.array([*log_std, 0.0], dtype="f4")
    gradient, errors = np.zeros_like(parameters), np.zeros(len(outputs), dtype="f4")
    numbers = [np.array(each, dtype="f4") for each in (outputs, action)]
    both = _evaluate(head, parameters, gradient, *numbers, errors, by_log_prob, by_entropy)
    return *both, errors, gradient[: len(log_std)]


def test_a_gaussian_by_hand():
    # One number with mean 1 and deviation 2, drawn at 4: z = 1.5, log p = -1.125 - log 2 - log √2π.
    head = build_head((), 1, log_std=0, learned=True)
    log_prob, entropy, errors, by_log_std = _ours(head, [math.log(2.0)], [1.0], [4.0], 1.0, 0.0)
    assert log_prob == pytest.approx(-1.125 - math.log(2.0) - 0.5 * math.log(2.0 * math.pi), abs=1e-6)
    assert entropy == pytest.approx(0.5 + 0.5 * math.log(2.0 * math.pi) + math.log(2.0), abs=1e-6)
    assert errors.tolist() == pytest.approx([1.5 / 2.0]) and by_log_std.tolist() == pytest.approx([1.5**2 - 1.0])


def test_a_choice_by_hand():
    # Logits log 1, log 3: probabilities 1/4 and 3/4; d log p(1) / d logits = (-1/4, 1/4).
    head = build_head((2,), 2, log_std=0, learned=False)
    log_prob, entropy, errors, _ = _ours(head, [], [0.0, math.log(3.0)], [1.0], 1.0, 0.0)
    assert log_prob == pytest.approx(math.log(0.75)) and errors.tolist() == pytest.approx([-0.25, 0.25])
    assert entropy == pytest.approx(-0.25 * math.log(0.25) - 0.75 * math.log(0.75))


@pytest.mark.parametrize("choices", [(), (4,), (2, 5, 3)])
def test_derivatives_are_those_of_autograd(choices):
    rng = np.random.default_rng(len(choices))
    size = sum(choices) or 3
    outputs = torch.tensor(rng.normal(size=size) * 3, requires_grad=True)
    log_std = torch.tensor(rng.normal(size=0 if choices else 3), requires_grad=True)
    if choices:
        action = torch.tensor([int(rng.integers(count)) for count in choices])
        parts = [Categorical(logits=logits) for logits in outputs.split(choices)]
        log_prob = sum(part.log_prob(chosen) for part, chosen in zip(parts, action, strict=True))
        entropy = sum(part.entropy() for part in parts)
    else:
        action = torch.tensor(rng.normal(size=3))
        normal = Normal(outputs, log_std.exp())
        log_prob, entropy = normal.log_prob(action).sum(), normal.entropy().sum()
    (0.7 * log_prob - 0.3 * entropy).backward()
    head = build_head(choices, size, log_std=0, learned=True)
    ours = _ours(head, log_std.tolist(), outputs.tolist(), action.tolist(), 0.7, -0.3)
    assert ours[:2] == pytest.approx((log_prob.item(), entropy.item()), abs=1e-4)
    np.testing.assert_allclose(ours[2], outputs.grad.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(ours[3], [] if choices else log_std.grad.numpy(), rtol=1e-4, atol=1e-5)
