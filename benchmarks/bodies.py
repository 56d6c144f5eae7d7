"""Does a circuit that adapts swim better than a fixed one on bodies that neither has seen? A table by body.

    for s in 0 1 2 3 4; do
      wormwood train swimmer-bodies-3-fixed --seed $s --out runs/fixed-$s
      wormwood train swimmer-bodies-3-modulated --seed $s --out runs/modulated-$s
    done
    python benchmarks/bodies.py --fixed runs/fixed-* --adapting runs/modulated-*

Runs are paired in the order given. Every one plays the same held-out trials, and as many on bodies of training, with
other starts; a row gives the mean return of a trial's episodes, and the gain with Student's 95 % interval over the
pairs.
"""

import argparse

import numpy as np

from wormwood.agents.references.playing import held_out_returns, trial_returns
from wormwood.envs.families.table import held_out_tasks
from wormwood.envs.randomness import training_streams
from wormwood.launch.bench.memory_plasticity import mean_interval
from wormwood.launch.cli.console import print_table, progress_bar
from wormwood.launch.run.agent_files import load_agent

OTHER_STARTS = 99
"""Seed of trials on bodies of training: not that of a training run."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixed", nargs="+", required=True, metavar="RUN")
    parser.add_argument("--adapting", nargs="+", required=True, metavar="RUN")
    parser.add_argument("--trials", type=int, default=120, help="held-out trials of each run; default 120")
    options = parser.parse_args()
    if len(options.fixed) != len(options.adapting):
        parser.error(f"expected as many adapting runs as fixed ones, got {len(options.adapting)}, {len(options.fixed)}")
    runs, returns, known = [*options.fixed, *options.adapting], [], []
    with progress_bar("playing", len(runs)) as show:
        for done, run in enumerate(runs, start=1):
            agent = load_agent(run)
            policy, spec = agent.policy(agent.spec), agent.spec
            returns.append(held_out_returns(policy, spec, options.trials))
            known.append(trial_returns(policy, spec.simulate(options.trials, streams=training_streams(OTHER_STARTS))))
            show(done)
    tasks = [task.values for task in held_out_tasks(spec.family, options.trials, seed=0)]
    held_out, rows = np.array(returns), []
    for body in sorted(set(tasks)):
        rows.append(row(f"{body[0]:g} links, {body[1]:g} Pa·s", held_out[:, [task == body for task in tasks]]))
    rows += [row("all of these", held_out), row("bodies of training", np.array(known))]
    columns = ["body", "trials", "fixed, by episode", "adapting", "gain of an episode"]
    print_table("return of an episode on held-out bodies", columns, rows)


def row(name: str, returns: np.ndarray) -> tuple[str, int, str, str, str]:
    """Return the row of returns ``[2 pairs, trials, episodes]``: those of the fixed circuits come first."""
    fixed, adapting = np.split(returns, 2)
    gain = mean_interval((adapting - fixed).mean(axis=(1, 2)).tolist())
    spread = f" ({gain['low']:+.1f} to {gain['high']:+.1f})" if "low" in gain else ""
    one, two = (" / ".join(f"{value:.1f}" for value in each.mean(axis=(0, 1))) for each in (fixed, adapting))
    return name, returns.shape[1], one, two, f"{gain['mean']:+.1f}{spread}"


if __name__ == "__main__":
    main()
