"""Plays a policy on trials, all side by side."""

from __future__ import annotations

import itertools

import numpy as np

from wormwood.agents.policies.acting import act_steps
from wormwood.agents.policies.interfaces import Floats, Policy
from wormwood.envs.families.trials import TrialEnvironments, TrialSpec
from wormwood.envs.randomness import evaluation_streams

__all__ = ["held_out_returns", "trial_returns"]


def held_out_returns(policy: Policy, spec: TrialSpec, tasks: int, *, first: int = 0, seed: int = 0) -> Floats:
    """Return the return of each inner episode ``[tasks, episodes]``, on a seed's held-out tasks from ``first`` on."""
    return trial_returns(policy, spec.held_out.simulate(tasks, streams=evaluation_streams(seed), first=first))


def trial_returns(policy: Policy, environments: TrialEnvironments) -> Floats:
    """Return the return of each inner episode ``[N, episodes]`` of the first trial of each environment."""
    spec, rows = environments.spec, np.arange(environments.count)
    returns = np.zeros((environments.count, spec.episodes))
    environments.reset()
    episode = environments.inner_episode
    for taken in itertools.islice(act_steps(policy, environments, spec.actions), spec.horizon):
        returns[rows, episode] += taken.step.reward
        episode = environments.inner_episode
    return returns
