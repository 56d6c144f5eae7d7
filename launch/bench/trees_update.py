"""The update of PPO on CartPole, ours and gbrl's, with forests of several sizes."""

from __future__ import annotations

import time

import gymnasium
import numpy as np
from numpy.typing import NDArray

from wormwood.agents.learning.boosted.actor_critic import BoostedActorCritic, Experience
from wormwood.agents.learning.boosted.boosting import Boosting
from wormwood.agents.learning.boosted.settings import BoostedLearnerConfig, BoostingConfig
from wormwood.agents.policies.features import FlatFeatures
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Floats
from wormwood.envs.randomness import stream
from wormwood.envs.specs import ActionSpace
from wormwood.launch.bench.rounds import Contestant
from wormwood.launch.bench.trees_peer_script import (
    CLIP_RANGE,
    CLIPS,
    DEPTH,
    MINIBATCH,
    RATES,
    SLICE,
    VALUE_COEFFICIENT,
)
from wormwood.trees.config import TreeConfig
from wormwood.trees.forest import Forest

__all__ = ["cart_pole_rollout", "own_update"]

SEED = 0
ENVIRONMENTS, STEPS, GAMMA, GAE_LAMBDA = 8, 128, 0.98, 0.8
LOGITS = 2


def cart_pole_rollout() -> dict[str, NDArray[np.float64]]:
    """Play CartPole at random.

    Returns:
        ``observation [1024, 4]``, ``action [1024]``, and of a critic that knows nothing yet the ``advantage [1024]``
        (generalised advantage estimation, Schulman et al. 2015) and the ``target [1024]`` to learn, which is the same.
    """
    rollouts = [_play(index) for index in range(ENVIRONMENTS)]
    observation, action, advantage = (np.concatenate(parts) for parts in zip(*rollouts, strict=True))
    return {"observation": observation, "action": action, "advantage": advantage, "target": advantage}


def _play(index: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    environment, actions = gymnasium.make("CartPole-v1"), stream(SEED, "action", index)
    observation, action, done = np.empty((STEPS, 4)), np.empty(STEPS), np.empty(STEPS, bool)
    latest, _ = environment.reset(seed=index)
    for step in range(STEPS):
        observation[step], action[step] = latest, actions.integers(LOGITS)
        latest, _, done[step], _, _ = environment.step(int(action[step]))
        if done[step]:
            latest, _ = environment.reset()
    environment.close()
    advantage, following = np.empty(STEPS), 0.0
    for step in reversed(range(STEPS)):  # each step is rewarded by 1
        following = 1.0 + (0.0 if done[step] else GAMMA * GAE_LAMBDA * following)
        advantage[step] = following
    return observation, action, advantage


def own_update(trees: int, rollout: dict[str, NDArray[np.float64]]) -> Contestant:
    """Return what updates an actor-critic that has grown so many trees on noise, always from the same forest.

    It is the whole update from a rollout with advantages: bins, the outputs of all trees, and a tree per minibatch.
    """
    tree = TreeConfig(max_depth=DEPTH)
    boosting = BoostingConfig(
        policy_rate=RATES[0], value_rate=RATES[1], policy_max_grad_norm=CLIPS[0], value_grad_clip=CLIPS[1]
    )
    settings = BoostedLearnerConfig(
        boosting=boosting,
        epochs=1,
        batch_size=MINIBATCH,
        clip_range=CLIP_RANGE,
        value_coefficient=VALUE_COEFFICIENT,
    )
    observation = rollout["observation"]
    feature_map, actions = FlatFeatures(tuple(range(observation.shape[1]))), ActionSpace(choices=(LOGITS,))
    model = BoostedActorCritic(
        ForestConfig(tree=tree), boosting, feature_map=feature_map, actions=actions, noise_std=1.0
    )
    grown = _grown_on_noise(model.forests["policy"], tree, trees, feature_map.features(observation))
    model.forests["policy"] = grown[:]
    action = rollout["action"].astype(np.int64)[:, None]
    outputs, _ = model.outputs(observation)
    experience = Experience(
        observation=observation,
        action=action,
        log_prob=model.likelihood(outputs, action).log_prob,
        advantage=rollout["advantage"],
        target=rollout["target"],
    )

    def play() -> float:
        calls, passed = 0, 0.0
        while passed < SLICE:
            model.forests["policy"] = _copy_with_room(grown)
            permutation = stream(SEED, "update", trees).permutation
            began = time.process_time()
            model.improve(experience, settings, permutation=permutation)
            passed += time.process_time() - began
            calls += 1
        return calls / passed

    return play


def _copy_with_room(forest: Forest) -> Forest:
    """Copy, so that the next trees need no more memory: a forest that grows rarely takes more."""
    copy = forest[:-1]
    copy.extend(forest.arrays(start=len(copy)))
    return copy


def _grown_on_noise(forest: Forest, config: TreeConfig, trees: int, features: Floats) -> Forest:
    generator, boosting = np.random.default_rng(trees), Boosting(forest, config)
    boosting.begin(features)
    for _ in range(trees):
        rows = generator.choice(len(features), MINIBATCH, replace=False)
        boosting.step(rows, generator.normal(size=(MINIBATCH, LOGITS + 1)), np.array([RATES[0], RATES[0], RATES[1]]))
    return forest
