import numpy as np
import torch

from wormwood.agents.learning.normalization import RunningNormalizer
from wormwood.agents.learning.on_policy.moments import RunningMoments
from wormwood.envs.layouts import ObservationLayout

LAYOUT = ObservationLayout(5, joints=slice(0, 1), velocities=slice(1, 4), clock=4)


def test_moments_are_those_of_all_observations_so_far():
    moments, rng = RunningMoments(LAYOUT, {}), np.random.default_rng(0)
    batches = [rng.normal(3.0, 2.0, size=(size, 2, 5)) for size in (1, 4, 10)]
    for batch in batches:
        moments.update(batch)
    every = np.concatenate(batches).reshape(-1, 5)
    np.testing.assert_allclose(moments.mean[1:4], every.mean(axis=0)[1:4])
    np.testing.assert_allclose(moments.deviation[1:4], every.std(axis=0)[1:4])
    assert moments.mean[[0, 4]].tolist() == [0, 0] and moments.deviation[[0, 4]].tolist() == [1, 1]
    assert moments.count == 30


def test_observations_are_standardised_as_by_the_module_in_torch():
    rng = np.random.default_rng(1)
    moments, module = RunningMoments(LAYOUT, {}), RunningNormalizer(LAYOUT)
    seen = rng.normal(5.0, 0.1, size=(40, 5))
    seen[:, 2] = 7.0  # never changes
    moments.update(seen)
    module.update(torch.tensor(seen))
    new = np.array([[0.5, 5.0, 7.5, 100.0, 12.0]])
    standard = moments.standardize(new)
    np.testing.assert_allclose(standard, module(torch.tensor(new)).numpy(), rtol=1e-5)
    assert standard.dtype == np.float32 and standard[0].tolist()[2:] == [0.5, 10.0, 12.0]
    again = RunningMoments(LAYOUT, moments.weights())
    np.testing.assert_allclose(again.variance[[1, 3]], moments.variance[[1, 3]])
    assert again.count == 40
