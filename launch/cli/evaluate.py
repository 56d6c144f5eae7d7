"""The verb `wormwood evaluate`."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wormwood.agents.references.anchors import anchors_of
from wormwood.envs.bodies import told_from_swimmer
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.specs import SwimmerSpec
from wormwood.errors import bad_input
from wormwood.launch.api import spec_for
from wormwood.launch.cli.arguments import AGENT_HELP, add_trust, add_verb, episodes, local_path, seed
from wormwood.launch.cli.console import note, print_json, print_table, print_text, progress_bar
from wormwood.launch.run.agent_files import load_agent
from wormwood.launch.run.environment_settings import Spec
from wormwood.launch.run.evaluation import evaluate, timestep_notes

__all__ = ["add_evaluate", "evaluate_command"]

LONGEST_TABLE = 20  # episodes of a trial


def add_evaluate(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    example = "wormwood evaluate ncap --body swimmer-6 swimmer-12"
    summary = "play held-out episodes on one or more bodies"
    parser = add_verb(verbs, "evaluate", evaluate_command, summary, example)
    parser.add_argument("agent", help=AGENT_HELP)
    parser.add_argument("--body", nargs="+", default=[], help="names, YAML or MJCF files; default: the agent's own")
    parser.add_argument("--task", help="a name of `wormwood list tasks`; default: the agent's own")
    parser.add_argument("--episodes", type=episodes, default=10, help="held-out starts; default 10")
    parser.add_argument("--seed", type=seed, default=0, help="of the held-out starts; default 0")
    parser.add_argument(
        "--plot", type=local_path, metavar="FILE", help="trials: a .png of the return of each episode of the trial"
    )
    add_trust(parser)


def evaluate_command(options: argparse.Namespace) -> None:
    """Play held-out episodes of an agent on bodies."""
    agent = load_agent(options.agent, trust=options.trust)
    specs = [spec_for(agent, body, options.task) for body in options.body or [None]]
    if options.plot and not isinstance(specs[0], TrialSpec):
        expected = "an agent that was trained on trials of a task family"
        raise bad_input("option", where="--plot", expected=expected, got=f"{agent.name} on {specs[0].name}")
    results = []
    with contextlib.ExitStack() as stack:
        show = (lambda done: None) if options.json else stack.enter_context(progress_bar("evaluating", len(specs)))
        for done, spec in enumerate(specs):
            show(done)
            evaluation = evaluate(agent, spec, episodes=options.episodes, seed=options.seed)
            anchors = anchors_of(spec, options.episodes, seed=options.seed)
            results.append({**evaluation.to_row(), **(anchors.to_row(evaluation.returns) if anchors else {})})
    if options.plot:
        # matplotlib is slow to load: only who draws waits for it.
        from wormwood.launch.inspect.trial_plots import plot_adaptation

        plot_adaptation(results[0], Path(options.plot), title=specs[0].name, anchors=anchors)
    if options.json:
        print_json({"results": results})
        return
    _print(results, specs)
    if options.plot:
        print_text(f"wrote {options.plot}")


def _print(results: list[dict[str, Any]], specs: list[Spec]) -> None:
    spec = specs[0]
    swims = isinstance(spec, SwimmerSpec)
    columns = ["agent", "body" if swims else "environment", "episodes", "return", "95 % interval", "± over episodes"]
    activity = f"task {spec.task.name}" if isinstance(spec, SwimmerSpec) else spec.name
    rows = [_result_row(row) for row in results]
    if swims:
        columns = [*columns, "speed (m/s)"]
        rows = [(*cells, f"{row['speed_mean']:z.3f}") for cells, row in zip(rows, results, strict=True)]
    print_table(f"{activity}, {spec.horizon} steps", columns, rows)
    for text in [*_told_from_swimmers(specs), *timestep_notes(results)]:
        note(text)
    for row in results:
        if row["unstable_episodes"]:
            share = f"{row['unstable_episodes']} of {row['episodes']} episodes"
            note(f"{row['body']}: unstable in {share}, from step {row['unstable_step']} on: they count as they ended")
        if 1 < len(row.get("episode_means", [])) <= LONGEST_TABLE:
            print_table("by episode of the trial", ["episode", "return", "95 % interval"], list(_episode_rows(row)))
        if "score" in row:
            print_text(
                f"score {row['score']:.3f} ({row['score_low']:.3f} to {row['score_high']:.3f}), where 0 is random,"
                f" {row['random_return']:.2f}, and 1 is {row['optimum']}, {row['optimal_return']:.2f}"
            )


def _told_from_swimmers(specs: list[Spec]) -> list[str]:
    told = [told_from_swimmer(spec.body) for spec in specs if isinstance(spec, SwimmerSpec)]
    return [text for text in told if text]


def _episode_rows(row: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    columns = (row["episode_means"], row["episode_lows"], row["episode_highs"])
    for number, (mean, low, high) in enumerate(zip(*columns, strict=True), start=1):
        yield number, f"{mean:.2f}", f"{low:.2f} to {high:.2f}"


def _result_row(row: dict[str, Any]) -> tuple[object, ...]:
    mean, deviation, episodes = row["return_mean"], row["return_std"], row["episodes"]
    error = deviation / math.sqrt(episodes - 1) if episodes > 1 else 0.0
    # Two digits of the error of the mean.
    digits = min(max(1, 1 - math.floor(math.log10(error))), 6) if error > 0 else 1
    half = error * _quantile_of_t(episodes - 1) if error > 0 else 0.0
    interval = f"{mean - half:z.{digits}f} to {mean + half:z.{digits}f}" if episodes > 1 else ""
    returns = f"{mean:z.{digits}f}", interval, f"{deviation:z.{digits}f}"
    return row["agent"], row["body"], episodes, *returns


def _quantile_of_t(freedom: int) -> float:
    from scipy import stats  # slow to load

    return float(stats.t.ppf(0.975, freedom))
