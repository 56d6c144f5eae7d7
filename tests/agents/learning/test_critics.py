"""Standardisation, and critics by hand."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import nn

from wormwood.agents.learning.critics import MLPCritic, PooledCritic
from wormwood.agents.learning.normalization import RunningNormalizer
from wormwood.agents.stable_baselines3.critics import make_critic
from wormwood.envs.bodies import swimmer
from wormwood.envs.layouts import ObservationLayout
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim, Task
from wormwood.errors import BadInput

LAYOUT = Navigate().layout(swimmer(3))  # 2 joints, 2 numbers of command, 9 velocities, the clock


def _batches(sizes: Sequence[int], columns: int = LAYOUT.size) -> list[torch.Tensor]:
    rng = np.random.default_rng(0)
    return [torch.tensor(rng.standard_normal((n, columns)) * 3 + rng.uniform(-5, 5, columns)) for n in sizes]


def _pooled(links: int, hidden: Sequence[int] = (), task: Task | None = None) -> PooledCritic:
    torch.manual_seed(0)
    body = swimmer(links)
    critic = make_critic("pooled", hidden, SwimmerSpec(body, task or Swim()))
    assert isinstance(critic, PooledCritic)
    return critic


# --- standardisation ---


@pytest.mark.parametrize("sizes", [[50], [1, 1, 1], [3, 40, 1, 7, 100]])
def test_mean_and_variance_are_those_of_all_data(sizes: list[int]) -> None:
    normalizer, batches = RunningNormalizer(LAYOUT), _batches(sizes)
    for batch in batches:
        normalizer.update(batch)
    data = torch.cat(batches).numpy()[:, 2:13]
    np.testing.assert_allclose(normalizer.mean[2:13], data.mean(axis=0), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(normalizer.variance[2:13], data.var(axis=0), rtol=1e-12)
    assert normalizer.count == sum(sizes)


def test_joints_and_clock_pass_as_they_are() -> None:
    normalizer = RunningNormalizer(LAYOUT)
    for batch in _batches([20, 30]):
        normalizer.update(batch)
    observation = torch.full((1, LAYOUT.size), 50.0)
    standard = normalizer(observation)
    skipped = [0, 1, 13]
    assert standard[0, skipped].tolist() == [50.0] * 3
    assert (standard[0, 2:13] < 50).all()
    assert normalizer.mean[skipped].tolist() == [0.0] * 3
    assert normalizer.deviation[skipped].tolist() == [1.0] * 3


def test_standard_values_by_hand_are_clipped_at_ten_deviations() -> None:
    layout = ObservationLayout(size=3, joints=slice(0, 1), velocities=slice(1, 3))
    normalizer = RunningNormalizer(layout)
    normalizer.update(torch.tensor([[0.0, 1.0, 5.0], [9.0, 3.0, 5.0]]))  # means 2 and 5, deviations 1 and 0
    observation = torch.tensor([[4.0, 5.0, 5.25], [4.0, 99.0, -99.0]])
    # What never changed is centred only.
    assert normalizer(observation).tolist() == [[4.0, 3.0, 0.25], [4.0, 10.0, -10.0]]
    assert normalizer(observation).dtype == torch.float32


def test_before_any_data_nothing_is_changed_but_clipped() -> None:
    observation = torch.tensor([[1.0] * 13 + [500.0], [-11.0] * 13 + [500.0]])
    standard = RunningNormalizer(LAYOUT)(observation)
    assert torch.equal(standard[0], observation[0])
    assert standard[1].tolist() == [-11.0] * 2 + [-10.0] * 11 + [500.0]


def test_far_from_zero_the_variance_is_still_exact() -> None:
    normalizer = RunningNormalizer(LAYOUT)
    batches = [1e6 + batch / 100 for batch in _batches([100, 200])]
    for batch in batches:
        normalizer.update(batch)
    np.testing.assert_allclose(normalizer.variance[2:13], torch.cat(batches).numpy()[:, 2:13].var(axis=0), rtol=1e-5)


def test_it_starts_from_what_was_learned_and_goes_on() -> None:
    first, second = _batches([30, 20])
    one, two = RunningNormalizer(LAYOUT), RunningNormalizer(LAYOUT)
    one.update(first)
    two.start_from({**one.weights(), "layer0_bias": np.zeros(3)})
    one.update(second)
    two.update(second)
    for name, values in one.state_dict().items():
        np.testing.assert_allclose(two.state_dict()[name], values, rtol=1e-12, err_msg=name)
    two.start_from({"layer0_bias": np.zeros(3)})
    assert two.count == 50


@pytest.mark.parametrize("kind", ["mlp", "pooled"])
def test_everything_moves_to_another_device(kind: str) -> None:
    critic = make_critic(kind, (4,), SwimmerSpec(swimmer(3), Swim())).to("meta")
    normalizer = RunningNormalizer(LAYOUT).to("meta")
    observation = torch.zeros(5, LAYOUT.size, device="meta")
    normalizer.update(observation)
    assert critic(normalizer(observation)).shape == (5, 1)


# --- critics ---


def test_a_flat_critic_by_hand_without_the_clock() -> None:
    layout = ObservationLayout(size=3, joints=slice(0, 1), velocities=slice(1, 2), clock=2)
    critic = MLPCritic((1,), layout=layout)
    hidden = critic.hidden[0]
    assert isinstance(hidden, nn.Linear)
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor([[0.5, -0.25]]))
        critic.value.weight.fill_(3.0)
        critic.value.bias.fill_(1.0)
    value = critic(torch.tensor([[1.0, 4.0, 99.0], [2.0, 0.0, -5.0]]))
    np.testing.assert_allclose(value.detach(), [[3 * np.tanh(-0.5) + 1], [3 * np.tanh(1.0) + 1]], rtol=1e-6)


def test_a_pooled_critic_by_hand() -> None:
    critic, limit = _pooled(2), swimmer(2).joint_limit[0]
    with torch.no_grad():
        critic.value.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]))
        critic.value.bias.fill_(0.5)
    # The joint stands at half its limit; links have velocities (1, 2, 3) and (4, 5, 6).
    observation = torch.tensor([[limit / 2, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 77.0]])
    # Of the two links: velocities 2.5, 3.5, 4.5, the joint before 0.25, behind 0.25, the place 0.5.
    expected = 2.5 + 2 * 3.5 + 3 * 4.5 + 4 * 0.25 + 5 * 0.25 + 6 * 0.5 + 0.5
    np.testing.assert_allclose(critic(observation).detach(), [[expected]], rtol=1e-6)


def test_a_pooled_critic_takes_the_mean_behind_its_hidden_layers() -> None:
    critic = _pooled(3, hidden=(1,), task=Navigate())
    hidden = critic.hidden[0]
    assert isinstance(hidden, nn.Linear)
    with torch.no_grad():
        hidden.weight.copy_(torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5, -1.0]]))
        critic.value.weight.fill_(2.0)
    observation = torch.zeros(1, 14)
    observation[0, 2:4] = torch.tensor([0.2, 0.3])  # the command, which every link sees
    observation[0, [4, 7, 10]] = torch.tensor([1.0, -2.0, 0.5])
    expected = 2 * np.tanh(np.array([1.0, -2.0, 0.5]) - 0.2).mean()
    np.testing.assert_allclose(critic(observation).detach(), [[expected]], rtol=1e-6)


def test_a_pooled_critic_sees_links_alike_but_for_their_place() -> None:
    critic, observation = _pooled(5, hidden=(8, 8)), torch.randn(6, 20)
    observation[:, :4] = 0.0  # straight
    swapped = observation.clone()
    swapped[:, 4:7], swapped[:, 10:13] = observation[:, 10:13], observation[:, 4:7]
    assert not torch.allclose(critic(swapped), critic(observation))
    hidden = critic.hidden[0]
    assert isinstance(hidden, nn.Linear)
    with torch.no_grad():
        hidden.weight[:, 5] = 0.0
    torch.testing.assert_close(critic(swapped), critic(observation))


def test_the_weights_of_a_pooled_critic_fit_bodies_of_other_lengths() -> None:
    short, long = _pooled(4, hidden=(8, 8)), _pooled(9, hidden=(8, 8))
    hidden = short.hidden[0]
    assert isinstance(hidden, nn.Linear)
    with torch.no_grad():
        hidden.weight[:, 5] = 0.0  # the place in the chain, the only thing by which links differ below
        hidden.bias.fill_(0.3)
        short.value.bias.fill_(3.0)
    long.load_state_dict(short.state_dict(), strict=True)
    at_rest = [critic(torch.zeros(1, critic.layout.size)) for critic in (short, long)]
    torch.testing.assert_close(*at_rest)
    assert at_rest[0] != 3.0
    assert long(torch.randn(7, 36)).shape == (7, 1)


def test_values_start_near_the_scale_of_their_inputs() -> None:
    torch.manual_seed(0)
    critic = MLPCritic((64, 64), layout=LAYOUT)
    assert not critic.value.bias.any()
    weight = critic.value.weight.detach()
    torch.testing.assert_close(weight @ weight.T, torch.eye(1))  # orthogonal, gain 1
    first = critic.hidden[0]
    assert isinstance(first, nn.Linear)
    torch.testing.assert_close(first.weight.T @ first.weight, 2 * torch.eye(13), atol=1e-5, rtol=0)  # gain √2


def test_wrong_critics_are_refused() -> None:
    with pytest.raises(BadInput, match=r"expected one of mlp, pooled, forest, got 'poold' \(nearest: 'pooled'\)"):
        make_critic("poold", (4,), SwimmerSpec(swimmer(3), Swim()))
    with pytest.raises(BadInput, match="does not observe each link"):
        make_critic("pooled", (4,), SwimmerSpec(swimmer(3), GymnasiumForward()))
