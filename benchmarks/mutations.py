"""Damage files at random, by seeds, and count what their readers make of it: `python benchmarks/mutations.py`.

Each kind is a folder of good files, and a reader that returns what it found as text. A mutation changes one file.
Counted are refusals (one line), the same result, other results and tracebacks. Where a checksum covers the file,
another result is a fault, too. Add a kind with ``Kind``, and put it into ``KINDS``.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from wormwood.configs.yaml_files import read_preset_or_file
from wormwood.envs.bodies import body_fields, load_body
from wormwood.envs.physics import Physics
from wormwood.errors import BadInput
from wormwood.launch.api import train
from wormwood.launch.clusters.control import plan_nodes
from wormwood.launch.clusters.files import LocalCluster, load_cluster
from wormwood.launch.clusters.host_agent import cluster_mark
from wormwood.launch.clusters.jobs import read_record
from wormwood.launch.clusters.processes import marked_processes
from wormwood.launch.clusters.state import ClusterState, read_state
from wormwood.launch.run.agent_files import load_agent
from wormwood.launch.run.run_folder import RunFolder, read_metrics
from wormwood.launch.run.settings import load_config
from wormwood.launch.run.status import run_status
from wormwood.launch.run.threads import environment
from wormwood.launch.storage.checkpoint_files import CheckpointError
from wormwood.launch.storage.checkpoints import load_newest
from wormwood.launch.storage.states import state_sha256
from wormwood.launch.transfer.suites import load_suite

PRESET: dict[str, Any] = {
    "agent": {"kind": "mlp", "hidden": [4]},
    "learner": {"kind": "openai-es", "population": 4, "starts": 1},
    "iterations": 2,
    "environment": "CartPole-v1",
    "environment_options": {"max_episode_steps": 9},
    "evaluation_episodes": 1,
}
EXTREME = [b"1e999", b"-1", b"0", b"NaN", b"null", b"9" * 400, b"[]", b"{}", b'""', b"true", b"[" * 5000, b"\xff\xfe"]


VALUES: list[Any] = [None, -1, 1e308, 2**70, "", "x" * 300, [], {}, True, [[[]]], {"a": {}}]


@dataclass(frozen=True)
class Kind:
    """Files that are read together."""

    make: Callable[[Path], object]
    """Writes good ones into a folder."""
    files: tuple[str, ...]
    """Patterns of those that are changed."""
    read: Callable[[Path], str]
    """Says what a reader finds, such as a hash."""
    checked: bool = False
    """Whether a checksum covers every byte: then no other result may be found."""


def _make_run(folder: Path) -> None:
    train(PRESET, out=folder / "run")


def _make_suite(folder: Path) -> None:
    text, _ = read_preset_or_file("transfer", "quick", what="suite", where="mutations")
    (folder / "suite.yaml").write_text(text, encoding="utf-8")


def _make_bodies(folder: Path) -> None:
    gymnasiums = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets" / "swimmer.xml"
    shutil.copy(gymnasiums, folder / "swimmer.xml")
    (folder / "user.yaml").write_text("{name: user, mjcf: swimmer.xml, control_timestep: 0.04, lesioned: [1]}")
    (folder / "chain.yaml").write_text(
        "links: 4\ngear: [5e-4, 4e-4, -3e-4]\nlink_mass: 0.02\nlocked: [0]\nsensor_delay: 2\n"
    )


def _read_bodies(folder: Path) -> str:
    """Read them, and take a step with each: what is read must be possible to simulate."""
    bodies = [load_body(folder / name) for name in ("swimmer.xml", "user.yaml", "chain.yaml")]
    for body in bodies:
        Physics(body, 1).step(np.ones((1, body.joints)))
    return str([body_fields(body) for body in bodies])


def _make_zip(folder: Path) -> None:
    # Slow to load: only this kind waits for it.
    from stable_baselines3 import PPO

    PPO("MlpPolicy", gymnasium.make("Swimmer-v5"), policy_kwargs={"net_arch": [4]}, device="cpu").save(folder / "m.zip")
    np.savez(folder / "v.npz", mean=np.zeros(8), var=np.ones(8), clip=10.0, epsilon=1e-8)


def _read_zip(folder: Path) -> str:
    policy = load_agent(f"ppo:{folder}/m.zip?normalize={folder}/v.npz").zipped
    assert policy is not None
    return f"{policy.settings} {policy.spec} {state_sha256(policy.arrays)}"


def _read_agent(folder: Path) -> str:
    agent = load_agent(str(folder / "run/agent"))
    return f"{agent.name} {agent.config} {agent.spec} {state_sha256(agent.weights or {})}"


def _read_checkpoint(folder: Path) -> str:
    skipped: list[str] = []
    found = load_newest(folder / "run/checkpoints", on_skip=lambda path, reason: skipped.append(path.name))
    if skipped:
        raise BadInput(f"skipped {skipped}")
    return found.state_sha256 if found else "none"


def _read_config(folder: Path) -> str:
    return str(load_config(str(folder / "run/config.yaml")).to_mapping())


def _read_status(folder: Path) -> str:
    run = RunFolder(folder / "run")
    status = {key: value for key, value in run_status(run).items() if key != "checkpoint_age"}
    return str((status, read_metrics(run.metrics), read_metrics(run.ledger), run.read_summary()))


def _read_suite(folder: Path) -> str:
    return str(load_suite(str(folder / "suite.yaml")))


def _make_cluster(folder: Path) -> None:
    (folder / "own.yaml").write_text("{kind: local, name: own, head: {cpus: 0}, workers: {cpu: {count: 2, cpus: 1}}}")
    cluster = load_cluster(str(folder / "own.yaml"))
    assert isinstance(cluster, LocalCluster)
    ports = {"gcs": 21_000, "dashboard": 21_001, "client": 21_002}
    with environment(WORMWOOD_STATE=str(folder)):
        mapping, nodes = dataclasses.asdict(cluster), plan_nodes(cluster)
        state = ClusterState("own", cluster_mark("own"), mapping, ports, temp="/tmp/wormwood-own", nodes=nodes)
        (state.folder / "jobs").mkdir(parents=True)
        state.write()
    request = {"entrypoint": "python", "submission_id": "train-1", "runtime_env": {"env_vars": {}}}
    record = {"request": {**request, "metadata": {"verb": "train", "run": "/runs/a"}}, "ended": False}
    text = json.dumps({**record, "package": False, "code": []})
    (folder / "clusters/own/jobs/train-1.json").write_text(text, encoding="utf-8")


def _read_cluster(folder: Path) -> str:
    """Read what there is of a cluster that does not run: no process of this machine is one of its own."""
    with environment(WORMWOOD_STATE=str(folder)):
        cluster, state = load_cluster(str(folder / "own.yaml")), read_state("own")
        assert state is not None
        assert not marked_processes(state.mark), "processes of others"
        assert not any(marked_processes(f"{state.mark}/{node}") for node in state.nodes), "processes of others"
        return str((cluster, state, read_record(state.folder / "jobs/train-1.json")))


KINDS: Mapping[str, Kind] = {
    "agent": Kind(_make_run, ("run/agent/*",), _read_agent, checked=True),
    "bodies": Kind(_make_bodies, ("*.xml", "*.yaml"), _read_bodies),
    "checkpoint": Kind(_make_run, ("run/checkpoints/step-2/*",), _read_checkpoint, checked=True),
    "cluster": Kind(_make_cluster, ("own.yaml", "clusters/own/*.json", "clusters/own/jobs/*.json"), _read_cluster),
    "config": Kind(_make_run, ("run/config.yaml",), _read_config),
    "run folder": Kind(_make_run, ("run/*.jsonl", "run/workers.json", "run/summary.json"), _read_status),
    "suite": Kind(_make_suite, ("suite.yaml",), _read_suite),
    "zip": Kind(_make_zip, ("m.zip", "v.npz"), _read_zip, checked=True),
}


def mutate(content: bytes, random_numbers: random.Random) -> bytes:
    """Return the content with one bit, byte, stretch or value changed."""
    if not content:
        return b"\x00"
    place, length = random_numbers.randrange(len(content)), random_numbers.randrange(1, 40)
    before, inside, after = content[:place], content[place : place + length], content[place + length :]
    other = random_numbers.randrange(len(content))
    changed = [
        content[:place] + bytes([content[place] ^ 1 << random_numbers.randrange(8)]) + content[place + 1 :],
        before,
        before + after,
        before + inside + inside + after,
        before + bytes(reversed(inside)) + after,
        before + content[other : other + length] + after,
        before + random_numbers.choice(EXTREME) + after,
        before + random_numbers.choice(EXTREME) + inside + after,
        _change_value(content, random_numbers),
    ]
    return random_numbers.choice(changed)


def _change_value(content: bytes, random_numbers: random.Random) -> bytes:
    """Change a value of JSON, where it is that, and keep it JSON."""
    try:
        value = json.loads(content)
    except ValueError:
        lines = content.splitlines(keepends=True)
        random_numbers.shuffle(lines)
        return b"".join(lines)
    inside = value
    while isinstance(inside, dict | list) and inside:
        key = random_numbers.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        if not isinstance(inside[key], dict | list) or not inside[key] or random_numbers.random() < 0.2:
            inside[key] = random_numbers.choice(VALUES)
            break
        inside = inside[key]
    return json.dumps(value).encode()


def count_outcomes(kind: Kind, seeds: range) -> collections.Counter[str]:
    """Return how many mutations were refused, made no difference, gave another result, or ended in a traceback.

    What must not be is under names that begin with FAULT.
    """
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as place:
        good, bad = Path(place, "good"), Path(place, "bad")
        good.mkdir()
        kind.make(good)
        shutil.copytree(good, bad)
        expected = kind.read(bad)
        names = sorted(
            path.relative_to(good) for pattern in kind.files for path in good.glob(pattern) if path.is_file()
        )
        for seed in seeds:
            random_numbers = random.Random(seed)
            name = random_numbers.choice(names)
            content = mutate((good / name).read_bytes(), random_numbers)
            (bad / name).write_bytes(content)
            counts[_outcome(kind, bad, expected, f"seed {seed}, {name}")] += 1
            if (bad / name).exists():
                (bad / name).write_bytes((good / name).read_bytes())
            else:  # set aside
                shutil.rmtree(bad)
                shutil.copytree(good, bad)
    return counts


def _outcome(kind: Kind, folder: Path, expected: str, where: str) -> str:
    try:
        found = kind.read(folder)
    except (BadInput, CheckpointError) as error:
        return f"FAULT {where}: more than one line" if "\n" in str(error) else "refused"
    except Exception as error:  # that is what is looked for
        return f"FAULT {where}: {type(error).__name__}: {' '.join(str(error).split())[:150]}"
    if found == expected:
        return "the same"
    return f"FAULT {where}: another result" if kind.checked else "another result"


def main() -> int:
    """Print the counts of each kind, and return 1 where there is a fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=10_000, help="mutations in all")
    seeds = parser.parse_args().seeds
    faults = 0
    for number, (name, kind) in enumerate(KINDS.items()):
        share = seeds // len(KINDS)
        counts = count_outcomes(kind, range(number * share, (number + 1) * share))
        good = ", ".join(f"{counts[key]} {key}" for key in ("refused", "the same", "another result"))
        print(f"{name}: {good}", flush=True)
        for fault in (key for key in counts if key.startswith("FAULT")):
            faults += 1
            print(f"  {fault}")
    print(f"{faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
