"""Does a circuit that adapts swim better than a fixed one on bodies that neither has seen? A table by body.

    for s in 0 1 2 3 4; do
      wormwood train swimmer-bodies-3-fixed --seed $s --out runs/fixed-$s
      wormwood train swimmer-bodies-3-modulated --seed $s --out runs/modulated-$s
    done
    python benchmarks/bodies.py --fixed runs/fixed-* --adapting runs/modulated-*

Runs are paired in the order given. Every one plays the same held-out trials; a row gives the mean return of a trial's
episodes, and the gain with Student's 95 % interval over the pairs.
"""

import argparse

import numpy as np

from wormwood.agents.references.playing import held_out_returns
from wormwood.envs.meta.families import held_out_tasks
from wormwood.launch.agent_files import load_agent
from wormwood.launch.benchmarks.memory_plasticity import mean_interval
from wormwood.launch.console import print_table, progress_bar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fixed", nargs="+", required=True, metavar="RUN")
    parser.add_argument("--adapting", nargs="+", required=True, metavar="RUN")
    parser.add_argument("--trials", type=int, default=120, help="held-out trials of each run; default 120")
    options = parser.parse_args()
    if len(options.fixed) != len(options.adapting):
        parser.error(f"expected as many adapting runs as fixed ones, got {len(options.adapting)}, {len(options.fixed)}")
    runs, returns = [*options.fixed, *options.adapting], []
    with progress_bar("playing", len(runs)) as show:
        for done, run in enumerate(runs, start=1):
            agent = load_agent(run)
            returns.append(held_out_returns(agent.policy(agent.spec), agent.spec, options.trials))
            show(done)
    fixed, adapting = np.split(np.array(returns), 2)  # [pairs, trials, episodes]
    tasks = [task.values for task in held_out_tasks(agent.spec.family, options.trials, seed=0)]

    rows = []
    for body in [*sorted(set(tasks)), None]:
        chosen = np.array([body in (task, None) for task in tasks])
        one, two = fixed[:, chosen], adapting[:, chosen]
        gain = mean_interval((two - one).mean(axis=(1, 2)).tolist())
        spread = f"{gain['mean']:+.1f}" + (f" ({gain['low']:+.1f} to {gain['high']:+.1f})" if "low" in gain else "")
        name = "all" if body is None else f"{body[0]:g} links, {body[1]:g} Pa·s"
        episodes = [" / ".join(f"{value:.1f}" for value in each.mean(axis=(0, 1))) for each in (one, two)]
        rows.append((name, int(chosen.sum()), *episodes, spread))
    columns = ["body", "trials", "fixed, by episode", "adapting", "gain of an episode"]
    print_table("return of an episode on held-out bodies", columns, rows)


if __name__ == "__main__":
    main()
