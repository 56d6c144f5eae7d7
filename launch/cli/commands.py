"""What each verb of the command `wormwood` does, given its parsed arguments."""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wormwood.agents.references.anchors import anchors_of
from wormwood.configs.yaml_files import preset_names
from wormwood.envs.bodies import load_body
from wormwood.envs.families.trials import TrialSpec
from wormwood.envs.pictures.files import write_picture, write_video
from wormwood.envs.pictures.rendering import draw_strip, draw_video
from wormwood.envs.specs import SwimmerSpec, require_swimmer
from wormwood.envs.tasks import task_from_name
from wormwood.errors import BadInput, bad_input
from wormwood.launch.cli.console import note, print_json, print_table, print_text, progress_bar, training_watcher
from wormwood.launch.run.agent_files import Agent, load_agent
from wormwood.launch.run.environment_settings import Spec
from wormwood.launch.run.evaluation import evaluate, record_poses
from wormwood.launch.run.files import to_json
from wormwood.launch.run.run_folder import Run, RunFolder, read_metrics
from wormwood.launch.run.settings import LOOSE_KEYS, RunConfig, load_config, parse_config
from wormwood.launch.run.status import run_status
from wormwood.launch.run.storage import Mirror, check_out, is_url, local_copy
from wormwood.launch.run.tensorboard import tensorboard_watcher
from wormwood.launch.run.training import Interrupted, train

__all__ = [
    "BENCHMARKS",
    "bench_command",
    "evaluate_command",
    "inspect_command",
    "status_command",
    "train_command",
    "video_command",
]

RUNS = Path("runs")
STRIP_POSES = 5
LONGEST_TABLE = 20  # episodes of a trial

TRAIN_KEYS = (
    "run", "seed", "workers", "steps", "episodes", "seconds", "return_mean", "return_std", "speed_mean", "state_sha256"
)  # fmt: skip


def train_command(options: argparse.Namespace) -> None:
    """Train an agent, or go on with a run.

    Raises:
        BadInput: the preset, an override or the output folder is wrong.
        Interrupted: the user stopped the run; the message says how to go on.
    """
    with _open_run(options) as (run, config):
        if not options.json:
            what = f"{config.agent.kind} on {config.spec.name}, by {config.learner.kind}"
            note(f"{what}: {run.place}")
        try:
            with contextlib.ExitStack() as stack:
                watcher = stack.enter_context(training_watcher(config.iterations, quiet=options.json))
                if options.tensorboard:
                    watcher = stack.enter_context(tensorboard_watcher(run, watcher))
                summary = train(run, config, workers=options.workers, address=options.address, watcher=watcher)
        except KeyboardInterrupt:
            raise Interrupted(f"stopped; go on with: wormwood train --out {run.place} --resume") from None
        # matplotlib is slow to load: only who draws waits for it.
        from wormwood.launch.inspect.learning_curve import plot_learning_curve

        curve = run.path / "curve.png"
        plot_learning_curve(read_metrics(run.metrics), curve, title=run.path.name, final=summary["return_mean"])
        run.send()
    if options.json:
        print_json({key: summary[key] for key in TRAIN_KEYS})
        return
    print_table("", ["result", "value"], [(key, _text(summary[key])) for key in TRAIN_KEYS if summary[key] is not None])
    bodies = "--body swimmer-6 swimmer-12" if isinstance(config.spec, SwimmerSpec) else "--episodes 100"
    if options.tensorboard:
        print_text(f"events: tensorboard --logdir {run.place}")
    agent, picture = f"{run.place}/{run.agent.name}", f"{run.place}/{curve.name}"
    print_text(f"agent: {agent}\ncurve: {picture}\nnext:  wormwood evaluate {run.place} {bodies}")


@contextlib.contextmanager
def _open_run(options: argparse.Namespace) -> Any:
    """Give the run, held for writing, and its configuration."""
    given = None
    if options.preset:
        given = load_config(options.preset, overrides=options.overrides, seed=options.seed)
    if options.resume:
        with _folder(_run_to_resume(options)) as (out, mirror), Run.resume(out, mirror=mirror) as run:
            config = parse_config(run.config_yaml, where=str(run.config))
            if given is None:
                given = parse_config(
                    run.config_yaml, where=str(run.config), overrides=options.overrides, seed=options.seed
                )
            _require_continuation(config, given, run)
            run.replace_config(given.to_yaml())
            yield run, given
        return
    if given is None:
        names = ", ".join(preset_names("train"))
        raise bad_input("missing preset", where="train", expected=f"one of {names}, or a .yaml file", got=None)
    place = options.out or str(_free_folder(options.preset, given))
    with _folder(place, new=True) as (out, mirror), Run.create(out, given.to_yaml(), mirror=mirror) as run:
        try:
            yield run, given
        except BadInput:
            run.discard()  # so that the corrected command can be given at once
            raise


@contextlib.contextmanager
def _folder(place: str, *, new: bool = False) -> Iterator[tuple[Path, Mirror | None]]:
    """Give the folder of a run; where the place is a URL, a local copy of what is there, without the checkpoints.

    Raises:
        BadInput: the URL cannot be reached, or has a run where a new one is to be.
    """
    check_out(place)
    if not is_url(place):
        yield Path(place), None
        return
    with contextlib.closing(Mirror(place)) as mirror:
        is_run = mirror.has("config.yaml")
        if new and is_run:
            raise BadInput(f"--out {place} already has a run: add --resume or choose another --out")
        if not new and not is_run:
            raise BadInput(f"{place} is not a run folder: expected config.yaml in it")
        if is_run:
            mirror.fetch(leave_out="checkpoints")
        yield mirror.folder, mirror


def _free_folder(preset: str, config: RunConfig) -> Path:
    """Return a folder in ``runs/`` that does not exist yet."""
    first = RUNS / f"{Path(preset).stem}-seed-{config.seed}"
    numbered = (first.with_name(f"{first.name}-{number}") for number in range(2, 10**6))
    return first if not first.exists() else next(folder for folder in numbered if not folder.exists())


def _run_to_resume(options: argparse.Namespace) -> str:
    if not options.out:
        raise bad_input("missing option", where="train --resume", expected="--out with the folder of a run", got=None)
    return str(options.out)


def _require_continuation(config: RunConfig, given: RunConfig, run: Run) -> None:
    """Refuse to go on with a run under settings that change what it was, or that end before where it stands.

    Raises:
        BadInput: naming the first setting that differs.
    """
    done = max((line["iteration"] for line in read_metrics(run.metrics)), default=0)
    if given.iterations < done:
        expected = f"at least the {done} that are done"
        raise bad_input("iterations", where=f"train --resume {run.place}", expected=expected, got=given.iterations)
    if config.hash == given.hash:
        return
    was, now = _flat(config.to_mapping()), _flat(given.to_mapping())
    different = (name for name in was | now if repr(was.get(name)) != repr(now.get(name)))
    key = next(name for name in different if name not in LOOSE_KEYS)
    expected = f"the run's own {was.get(key)!r}; start a new run to change it"
    raise bad_input(key, where=f"train --resume {run.place}", expected=expected, got=now.get(key))


def _flat(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by their path, such as ``learner.sigma``."""
    flat: dict[str, Any] = {}
    for name, value in mapping.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def status_command(options: argparse.Namespace) -> None:
    """Show how a run is."""
    with local_copy(options.run_folder) as folder:
        status = run_status(RunFolder(folder)) | {"run": options.run_folder}
    if options.json:
        print_json(status)
        return
    workers = status.pop("workers")
    del status["return_mean"]  # the old name of training_return_mean
    print_table("", ["what", "value"], [(name, _text(value)) for name, value in status.items() if value is not None])
    if workers:
        columns = ["name", "state", "node", "rollouts", "steps", "steps_per_second", "idle_share", "restarts"]
        print_table("workers", columns, [[worker.get(name, "") for name in columns] for worker in workers])


def evaluate_command(options: argparse.Namespace) -> None:
    """Play held-out episodes of an agent on bodies."""
    agent = load_agent(options.agent)
    specs = [_spec(agent, body, options.task) for body in options.body or [None]]
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
    where = "body" if isinstance(specs[0], SwimmerSpec) else "environment"
    columns = ["agent", where, "episodes", "return", "± over episodes", "speed (m/s)"]
    print_table(f"{_activity(specs[0])}, {specs[0].horizon} steps", columns, [_result_row(row) for row in results])
    for row in results:
        if 1 < len(row.get("episode_means", [])) <= LONGEST_TABLE:
            print_table("by episode of the trial", ["episode", "return", "95 % interval"], list(_episode_rows(row)))
        if "score" in row:
            print_text(
                f"score {row['score']:.3f} ({row['score_low']:.3f} to {row['score_high']:.3f}), where 0 is random,"
                f" {row['random_return']:.2f}, and 1 is {row['optimum']}, {row['optimal_return']:.2f}"
            )
    if options.plot:
        print_text(f"wrote {options.plot}")


def _episode_rows(row: dict[str, Any]) -> Iterator[tuple[object, ...]]:
    columns = (row["episode_means"], row["episode_lows"], row["episode_highs"])
    for number, (mean, low, high) in enumerate(zip(*columns, strict=True), start=1):
        yield number, f"{mean:.2f}", f"{low:.2f} to {high:.2f}"


def _result_row(row: dict[str, Any]) -> tuple[object, ...]:
    returns = f"{row['return_mean']:.1f}", f"{row['return_std']:.1f}"
    speed = "" if row["speed_mean"] is None else f"{row['speed_mean']:.3f}"
    return row["agent"], row["body"], row["episodes"], *returns, speed


def inspect_command(options: argparse.Namespace) -> None:
    """Show what an agent is made of, as JSON and picture, and a forest as source as well."""
    from wormwood.launch.inspect.inspection import inspect_agent

    agent = load_agent(options.agent)
    inspection = inspect_agent(agent, _spec(agent, options.body, None))
    files = inspection.write(Path(options.out)) if options.out else []
    if options.json:
        print_json(inspection.described)
        return
    print_text(inspection.summary)
    for file in files:
        print_text(f"wrote {file}")
    if not files:
        print_text(f"for JSON and picture: wormwood inspect {options.agent} --out DIR")


def video_command(options: argparse.Namespace) -> None:
    """Draw an agent on a held-out start."""
    agent, out = load_agent(options.agent), Path(options.out)
    if out.suffix.lower() not in (".mp4", ".gif", ".png"):
        raise bad_input("file name", where="--out", expected="one that ends in .mp4, .gif or .png", got=options.out)
    spec = require_swimmer(_spec(agent, options.body, options.task), where="video")
    body = spec.body
    steps = max(1, round(options.seconds / body.control_timestep))
    poses, goal = record_poses(agent, spec, steps=steps, seed=options.seed)
    target = goal if len(goal) == 2 else None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise bad_input(
            "folder", where="--out", expected="a writable one", got=f"{out.parent}: {error.strerror}"
        ) from None
    if out.suffix.lower() == ".png":
        chosen = np.linspace(0, len(poses) - 1, min(len(poses), STRIP_POSES)).round().astype(int)
        labels = [f"{step * body.control_timestep:.1f} s" for step in chosen]
        place = None if target is None else (float(target[0]), float(target[1]))
        write_picture(out, draw_strip(body, poses[chosen], target=place, labels=labels))
    else:
        shown = poses[::2]
        fps = 1 / (2 * body.control_timestep)
        frames = draw_video(body, shown, targets=target, trail=round(2 * fps))
        with contextlib.nullcontext(lambda done: None) if options.json else progress_bar("drawing", len(shown)) as show:
            write_video(out, _counted(frames, show), fps=fps)
    described = {"agent": agent.name, "body": body.name, "out": str(out), "seconds": len(poses) * body.control_timestep}
    if options.json:
        print_json(described)
    else:
        print_text(f"wrote {out}")


def _counted(frames: Any, show: Any) -> Any:
    for done, frame in enumerate(frames):
        show(done)
        yield frame


def bench_command(options: argparse.Namespace) -> None:
    """Measure speed: of rollouts against the physics engine's own limit, or of forests; and both against peers."""
    shown: Any = contextlib.nullcontext() if options.json else progress_bar("measuring", 1.0)
    with shown as show:
        progress = None if show is None else (lambda stage, share: show(share, f"measuring: {stage}"))
        result = BENCHMARKS[options.what](options, progress)
    if options.json:
        print_json(result)
        return
    print_table("", ["figure", "value"], list(_figures(result)))


def _bench_rollout(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.rollout import bench_rollout

    if options.peers is not None:
        raise bad_input("option", where="--peers", expected="none for rollout, whose peers are here", got=options.peers)
    return bench_rollout(seconds=options.seconds, progress=progress)


def _bench_trees(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.trees import bench_trees
    from wormwood.launch.bench.trees_peers import HOW_TO_GET_PEERS

    peers = (os.environ.get("WORMWOOD_PEERS") or None) if options.peers is None else options.peers
    if peers is None:
        note(f"without peers; to compare, `{HOW_TO_GET_PEERS}`, and add --peers peers/bin/python")
    return bench_trees(seconds=options.seconds, peers=peers, progress=progress)


def _bench_train(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.training import bench_training

    return bench_training(seconds=options.seconds, peers=options.peers, progress=progress)


def _bench_memory(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.memory import bench_memory

    return bench_memory(options.experiment, seeds=options.seeds, progress=progress)


def _bench_scale(options: argparse.Namespace, progress: Any) -> Mapping[str, object]:
    from wormwood.launch.bench.scale import bench_scale

    return bench_scale(seconds=options.seconds, progress=progress)


BENCHMARKS = {
    "rollout": _bench_rollout,
    "train": _bench_train,
    "trees": _bench_trees,
    "memory": _bench_memory,
    "scale": _bench_scale,
}
"""What each benchmark does, by name."""


def _figures(result: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Give each figure a row; one of several sizes has a row for each."""
    for name, value in result.items():
        if isinstance(value, dict):
            yield from ((f"{name}, {size}", _text(own)) for size, own in value.items())
        else:
            yield name, _text(value)


def _spec(agent: Agent, body: str | None, task: str | None) -> Spec:
    """Return what the agent was trained in, but for a body or task that is named; swimmer-6 that swims by default."""
    own = agent.spec or SwimmerSpec(load_body("swimmer-6"), task_from_name("swim"))
    if isinstance(own, SwimmerSpec):
        return SwimmerSpec(load_body(body) if body else own.body, task_from_name(task) if task else own.task)
    if body or task:
        where, expected = "--body" if body else "--task", f"none: the agent was trained in {own.name}"
        raise bad_input("option", where=where, expected=expected, got=body or task)
    return own


def _activity(spec: Spec) -> str:
    return f"task {spec.task.name}" if isinstance(spec, SwimmerSpec) else spec.name


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else value if isinstance(value, str) else to_json(value)
