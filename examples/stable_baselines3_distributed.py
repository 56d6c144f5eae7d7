"""A Stable-Baselines3 PPO whose experience Ray workers collect: one line more than without.

python examples/stable_baselines3_distributed.py [--steps 100000] [--workers 2]
"""

import argparse

from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy

from wormwood import distribute, make_swimmers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=100_000, help="environment steps; default 100,000")
    parser.add_argument("--workers", type=int, default=2, help="Ray actors; 0 uses none; default 2")
    parser.add_argument("--address", default="local", help="of a running Ray cluster; default: one of its own")
    options = parser.parse_args()

    model = PPO("MlpPolicy", make_swimmers("swimmer-6", 16), n_steps=128, batch_size=512, learning_rate=6e-4, seed=0)
    model = distribute(model, workers=options.workers, address=options.address)

    # Everything from here on is as before.
    held_out = make_swimmers("swimmer-6", 10, seed=10_000)
    model.learn(options.steps, callback=EvalCallback(held_out, n_eval_episodes=10, eval_freq=2048))
    mean, deviation = evaluate_policy(model, held_out, n_eval_episodes=10)
    print(f"return {mean:.1f} ± {deviation:.1f} after {model.num_timesteps} steps with {options.workers} workers")
    model.save("swimmer")
    print(f"PPO.load('swimmer') is {type(PPO.load('swimmer')).__name__} again")


if __name__ == "__main__":
    main()
