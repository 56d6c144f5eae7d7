"""A task of your own in one file: swim backwards, in a Stable-Baselines3 script.

python examples/own_task.py [--steps 50000]
"""

import argparse
from dataclasses import dataclass

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy

from wormwood.envs.bodies import load_body
from wormwood.envs.faces.stable_baselines3 import make_swimmers
from wormwood.envs.tasks import Swim, forward_speed


@dataclass(frozen=True)
class SwimBackwards(Swim):
    """Swim, but for its reward: ``clip(-v / 0.1, 0, 1)`` for a forward speed of the head of ``v`` m/s."""

    name: str = "swim-backwards"

    def reward(self, readings, goal, action, timestep):
        return np.clip(-forward_speed(readings) / 0.1, 0.0, 1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=50_000, help="environment steps; default 50,000")
    options = parser.parse_args()

    # All faces take a task in place of a name; methods of a task are functions of arrays over all swimmers.
    body, task = load_body("swimmer-6"), SwimBackwards(horizon=500)
    model = PPO("MlpPolicy", make_swimmers(body, 16, task=task), n_steps=128, batch_size=512, seed=0)
    held_out = make_swimmers(body, 10, task=task, seed=10_000)
    for label in ("untrained", "trained"):
        if label == "trained":
            model.learn(options.steps)
        mean, deviation = evaluate_policy(model, held_out, n_eval_episodes=10)
        print(f"{label:<10} {mean:.0f} ± {deviation:.0f}")


if __name__ == "__main__":
    main()
