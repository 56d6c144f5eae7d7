"""Trains the swimmers of the documentation on seeds, and plays them on starts, on which no setting was chosen.

    python benchmarks/held_out.py --out runs/held-out            # all of them: hours on one core
    python benchmarks/held_out.py --out runs/held-out published  # one group

Each agent is trained with seeds 1000 to 1004 and plays 60 starts of seed 60,000, or 10,000 trials. A return is
the median over training seeds of the mean over starts. In brackets stands the percentile bootstrap's 95 %
interval of that median, which with five seeds is the smallest to the largest. Runs that are finished in
``--out`` are taken as they are, so the script can be stopped and started again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import wormwood
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.envs.bodies import Body, body_from_mapping

SEEDS, STARTS, TRIALS, START_SEED = range(1000, 1005), 60, 10_000, 60_000
COMMAND = Path(sys.executable).with_name("wormwood")
HOME = ("swimmer-6",)
TABLE = (
    "swimmer-6",
    "swimmer-3",
    "swimmer-4",
    "swimmer-8",
    "swimmer-12",
    "swimmer-20",
    "head-lesion",
    "tapered",
    "long-links",
    "viscous",
)
OTHER_BODIES: dict[str, Body] = {
    "links x 2": body_from_mapping({"links": 6, "link_length": 0.2}, name="links x 2", where="links x 2"),
}
LINKS = tuple(f"swimmer-{links}" for links in (6, 3, 4, 8, 10, 12, 15, 20))
BOTH = "swim-ncap-distributed-cma"

# group -> rows: label, preset or untrained agent, --set, bodies, settings that are changed after training
Row = tuple[str, str, tuple[str, ...], tuple[str, ...], dict[str, Any]]
GROUPS: dict[str, tuple[Row, ...]] = {
    "published": (
        ("NCAP untrained", "ncap", (), (*TABLE, "links x 2"), {}),
        ("swim-ncap-es", "swim-ncap-es", (), HOME, {}),
        ("swim-ncap-ppo", "swim-ncap-ppo", (), HOME, {}),
        ("swim-ncap-cma", "swim-ncap-cma", (), TABLE, {}),
        ("swim-ncap-ddpg", "swim-ncap-ddpg", (), HOME, {}),
        ("swim-mlp-ppo", "swim-mlp-ppo", (), HOME, {}),
    ),
    "beyond": (
        ("own_feedback", "swim-ncap-feedback-cma", (), (*TABLE, "swimmer-10", "swimmer-15", "links x 2"), {}),
        (
            "own_feedback, patience added",
            "swim-ncap-feedback-cma",
            (),
            (*HOME, "links x 2"),
            {"patience": 2.0, "reach": 0.4},
        ),
        ("and local_oscillators", BOTH, (), (*TABLE, "links x 2"), {}),
        ("and local_oscillators, patience added", BOTH, (), (*HOME, "links x 2"), {"patience": 2.0, "reach": 0.5}),
        ("trained on both", "swim-ncap-lame-cma", (), ("swimmer-6", "head-lesion"), {}),
    ),
    "tuned": (
        ("published, 3 links", "swim-ncap-cma", ("body=swimmer-3",), ("swimmer-3",), {}),
        ("published, 4 links", "swim-ncap-cma", ("body=swimmer-4",), ("swimmer-4",), {}),
        ("published, 12 links", "swim-ncap-cma", ("body=swimmer-12",), ("swimmer-12",), {}),
        ("both additions, 3 links", BOTH, ("body=swimmer-3", "iterations=37"), ("swimmer-3",), {}),
        ("both additions, 4 links", BOTH, ("body=swimmer-4", "iterations=37"), ("swimmer-4",), {}),
        ("both additions, head lesion", BOTH, ("body=head-lesion", "iterations=37"), ("head-lesion", "swimmer-6"), {}),
    ),
    "trials": (
        ("bandit-5-10-rl2", "bandit-5-10-rl2", (), ("",), {}),
        ("tabular-mdp-10-transformer", "tabular-mdp-10-transformer", (), ("",), {}),
    ),
    "long": (
        (
            "swim-boosted-joint-ppo",
            "swim-boosted-joint-ppo",
            (),
            ("swimmer-6", "swimmer-3", "swimmer-4", "swimmer-8", "swimmer-12"),
            {},
        ),
        ("swim-mlp-es", "swim-mlp-es", (), HOME, {}),
    ),
}


def train(folder: Path, preset: str, changes: tuple[str, ...], seed: int) -> Path:
    """Return the folder of a run, trained to its end there."""
    run = folder / "-".join([preset, *(change.replace("=", "-") for change in changes), str(seed)])
    if not (run / "summary.json").exists():
        going_on = (
            ["--resume"] if run.exists() else [preset, "--seed", str(seed), *(w for c in changes for w in ("--set", c))]
        )
        subprocess.run([COMMAND, "train", "--out", run, *going_on], check=True, stdout=subprocess.DEVNULL)
    return run


def play(agent: wormwood.Agent, body: str, changed: dict[str, Any]) -> tuple[float, float]:
    """Return the mean return over starts and the speed in m/s; over trials if there is no body."""
    if changed:
        assert isinstance(agent.config, NCAPConfig)
        agent = dataclasses.replace(agent, config=dataclasses.replace(agent.config, **changed))
    if body:
        outcome = wormwood.evaluate(agent, body=OTHER_BODIES.get(body, body), episodes=STARTS, seed=START_SEED)
    else:
        outcome = wormwood.evaluate(agent, episodes=TRIALS, seed=START_SEED)
    return float(outcome.returns.mean()), float(outcome.speeds.mean())


def describe(returns: list[float], digits: int) -> str:
    """Return the median over training seeds, its bootstrap interval, and the smallest and largest."""
    if len(returns) == 1:
        return f"{returns[0]:.{digits}f}"
    draws = np.random.default_rng(0).choice(returns, (10_000, len(returns)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return f"{np.median(returns):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="default: all")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    options = parser.parse_args()
    for group in options.groups or GROUPS:
        print(f"\n{group}: {STARTS} starts, {len(SEEDS)} training seeds")
        print("\n| agent | body | return | speed, cm/s |\n|---|---|---|---|")
        for label, preset, changes, bodies, changed in GROUPS[group]:
            places = ["ncap"] if preset == "ncap" else [train(options.out, preset, changes, seed) for seed in SEEDS]
            for body in bodies:
                played = [play(wormwood.load_agent(str(place)), body, changed) for place in places]
                returns, speeds = (list(column) for column in zip(*played, strict=True))
                shown = describe(returns, digits=0 if body else 2)
                print(f"| {label} | {body} | {shown} | {100 * np.median(speeds):.1f} |", flush=True)
                with (options.out / "results.jsonl").open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"agent": label, "body": body, "returns": returns, "speeds": speeds}) + "\n")


if __name__ == "__main__":
    main()
