"""Boosted PPO on CartPole in a Stable-Baselines3 script, and which features its forest acts on.

python examples/stable_baselines3_boosted.py [--steps 100000]
"""

import argparse

import numpy as np
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from wormwood import BoostedPPO, BoostingConfig, explain

FEATURES = ("position", "velocity", "angle", "angular velocity")


def main() -> None:
    """Train, evaluate, explain."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100_000, help="environment steps; default 100,000")
    options = parser.parse_args()

    model = BoostedPPO(
        make_vec_env("CartPole-v1", 8, seed=0),
        seed=0,
        batch_size=64,
        epochs=4,
        gamma=0.98,
        gae_lambda=0.8,
        boosting=BoostingConfig(policy_rate=0.029, value_rate=0.015, merge=16),
    )
    model.learn(options.steps)
    held_out = make_vec_env("CartPole-v1", 1, seed=10_000)
    mean, deviation = evaluate_policy(model, held_out, n_eval_episodes=20)
    forest = model.policy.actor_critic.forests["policy"]
    print(f"{len(forest)} trees balance for {mean:.0f} ± {deviation:.0f} steps")

    # Shapley values of what the policy sees while it acts: the outputs are two logits and the value.
    observation, seen = held_out.reset(), []
    for _ in range(200):
        seen.append(observation[0])
        observation, _, _, _ = held_out.step(model.predict(observation, deterministic=True)[0])
    contributions = explain(forest, np.array(seen, dtype=np.float64)).contributions
    to_the_right = contributions[:, :, 1] - contributions[:, :, 0]
    for name, size in zip(FEATURES, np.abs(to_the_right).mean(axis=0), strict=True):
        print(f"  {name:<17} moves the preference for right by {size:.3f} on average")


if __name__ == "__main__":
    main()
