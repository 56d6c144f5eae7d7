"""Closed forms against torch's distributions and their automatic derivatives."""

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Normal

from wormwood.agents.learning.boosted.likelihoods import categorical_likelihood, gaussian_likelihood

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("choices", [(2,), (5,), (2, 3, 4)])
def test_choices_are_those_of_torch(choices: tuple[int, ...]) -> None:
    logits = RNG.standard_normal((7, sum(choices))) * 3
    action = np.stack([RNG.integers(0, count, size=7) for count in choices], axis=1)
    ours = categorical_likelihood(logits, action, choices)
    leaf = torch.tensor(logits, requires_grad=True)
    parts = [Categorical(logits=part) for part in leaf.split(list(choices), dim=1)]
    log_prob = sum(part.log_prob(torch.tensor(action[:, index])) for index, part in enumerate(parts))
    entropy = sum(part.entropy() for part in parts)
    for value, gradient, theirs in (
        (ours.log_prob, ours.gradient, log_prob),
        (ours.entropy, ours.entropy_gradient, entropy),
    ):
        assert isinstance(theirs, torch.Tensor)
        np.testing.assert_allclose(value, theirs.detach(), rtol=1e-12, atol=1e-12)
        (expected,) = torch.autograd.grad(theirs.sum(), leaf, retain_graph=True)
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    assert ours.noise_gradient is None


@pytest.mark.parametrize("shape", [(3,), ()])
def test_numbers_are_those_of_torch(shape: tuple[int, ...]) -> None:
    mean, action, log_std = RNG.standard_normal((7, 3)), RNG.standard_normal((7, 3)), RNG.standard_normal(shape)
    ours = gaussian_likelihood(mean, action, log_std)
    leaf, noise = torch.tensor(mean, requires_grad=True), torch.tensor(np.broadcast_to(log_std, 3).copy())
    noise.requires_grad_()
    normal = Normal(leaf, noise.exp())
    log_prob = normal.log_prob(torch.tensor(action)).sum(1)
    np.testing.assert_allclose(ours.log_prob, log_prob.detach(), rtol=1e-12)
    np.testing.assert_allclose(ours.entropy, normal.entropy().sum(1).detach(), rtol=1e-12)
    by_mean, by_noise = torch.autograd.grad(log_prob.sum(), (leaf, noise))
    np.testing.assert_allclose(ours.gradient, by_mean, rtol=1e-9)
    assert ours.noise_gradient is not None
    np.testing.assert_allclose(ours.noise_gradient.sum(axis=0), by_noise, rtol=1e-9)
    assert not ours.entropy_gradient.any()


def test_logits_of_any_size_do_not_overflow() -> None:
    ours = categorical_likelihood(np.array([[1e4, -1e4]]), np.array([[1]]), (2,))
    assert ours.log_prob.tolist() == [-2e4]
    assert ours.gradient.tolist() == [[-1.0, 1.0]]
    assert np.isfinite(ours.entropy_gradient).all()
