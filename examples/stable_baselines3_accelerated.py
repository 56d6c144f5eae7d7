"""An unmodified PPO of Stable-Baselines3 beside the same one with a compiled update.

python examples/stable_baselines3_accelerated.py [--steps 40000]
"""

import argparse
import time

import gymnasium
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from wormwood import accelerate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=40_000, help="environment steps of each; default 40,000")
    steps = parser.parse_args().steps

    torch.set_num_threads(1)  # for networks this small, more are slower
    seconds = {}
    for name, change in (("Stable-Baselines3", lambda model: model), ("accelerate", accelerate)):
        environments = DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")] * 16)
        model = change(PPO("MlpPolicy", environments, n_steps=128, seed=0, device="cpu"))
        model.learn(2048)  # what is compiled, is compiled here
        began = time.perf_counter()
        model.learn(steps, reset_num_timesteps=False)
        seconds[name] = time.perf_counter() - began
        print(f"{name}: {model.num_timesteps} steps, {seconds[name]:.1f} s of training")
    print(f"{seconds['Stable-Baselines3'] / seconds['accelerate']:.1f} times as fast")

    model.save("pendulum")
    print(f"PPO.load('pendulum') is {type(PPO.load('pendulum')).__name__} again, without this package")


if __name__ == "__main__":
    main()
