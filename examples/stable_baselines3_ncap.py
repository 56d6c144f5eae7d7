"""The C. elegans circuit in a plain Stable-Baselines3 script.

python examples/stable_baselines3_ncap.py [--steps 50000]
"""

import argparse

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from wormwood import NCAPPolicy, make_swimmers


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the circuit with Stable-Baselines3's PPO.")
    parser.add_argument("--steps", type=int, default=50_000, help="environment steps")
    parser.add_argument("--body", default="swimmer-6", help="a name of `wormwood list bodies`, or a YAML file")
    options = parser.parse_args()

    model = PPO(
        NCAPPolicy,
        make_swimmers(options.body, 16, seed=0),
        policy_kwargs={"body": options.body},
        n_steps=128,
        batch_size=512,
        learning_rate=1e-3,
        seed=0,
    )
    held_out = make_swimmers(options.body, 10, seed=10_000)
    for label in ("untrained", "trained"):
        if label == "trained":
            model.learn(options.steps)
        returns, _ = evaluate_policy(model, held_out, n_eval_episodes=10, return_episode_rewards=True)
        print(f"{label:<10} {np.mean(returns):.0f} ± {np.std(returns):.0f}")
    for name, weight in model.policy.policy_weights().items():
        if weight.ndim == 0:
            print(f"{name:<10} {float(weight):+.2f}")


if __name__ == "__main__":
    main()
