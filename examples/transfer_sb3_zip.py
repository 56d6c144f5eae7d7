"""A policy from a plain Stable-Baselines3 script, judged on bodies that it never saw.

python examples/transfer_sb3_zip.py [--steps 100000] [--out sb3]
"""

import argparse
from pathlib import Path

import gymnasium
from stable_baselines3 import PPO

import wormwood

SUITE = """
task_options: {horizon: 400}
axes: {links: 3}
bodies:
- {label: home, body: gymnasium-swimmer}
- {label: extrapolation, axis: links, value: 3, body: swimmer-3}
- {label: extrapolation, axis: links, value: 4, body: swimmer-4}
- {label: extrapolation, axis: links, value: 6, body: swimmer-6}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Train with Stable-Baselines3 on Swimmer-v5, and judge elsewhere.")
    parser.add_argument("--steps", type=int, default=100_000, help="of training")
    parser.add_argument("--out", type=Path, default=Path("sb3"), help="folder for the zip and the report")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    # A swimmer moves slowly at first: with the usual discount of 0.99 it learns to stay where it is.
    model = PPO("MlpPolicy", gymnasium.make("Swimmer-v5"), gamma=0.9999, seed=0, device="cpu")
    model.learn(options.steps).save(options.out / "swimmer.zip")

    suite = options.out / "suite.yaml"
    suite.write_text(SUITE)
    # Three links fit. With more, it acts as if the first three were the whole body.
    agent = f"ppo:{options.out}/swimmer.zip"
    report = wormwood.transfer(agent, suite=suite, adapt="pad", out=options.out / "report")
    for row in report.results.rows:
        print(f"{row['agent']} {row['body']:<18} {row['label']:<14} return {row['return_iqm']:.0f}")
    print(f"report: {report.page}")


if __name__ == "__main__":
    main()
