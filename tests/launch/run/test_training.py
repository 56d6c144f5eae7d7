"""Whole runs: the same bits with any number of workers, interrupted or not."""

import dataclasses
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from wormwood.errors import BadInput
from wormwood.launch.run.agent_files import load_agent
from wormwood.launch.run.evaluation import evaluate
from wormwood.launch.run.run_folder import RunFolder, read_metrics
from wormwood.launch.run.status import audit_run
from wormwood.launch.run.training import Interrupted, Watcher
from wormwood.launch.storage.checkpoints import list_checkpoints

KINDS = [
    "cma-es",
    "ppo",
    "mlp-ppo",
    "mlp-es",
    "cart-pole",
    "pendulum",
    "td3",
    "sac",
    "modulated",
    "boosted",
    "rl2",
    "kickstart",
    "fast-slow",
    "two-memories",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_leaves_everything_it_promises(kind, tmp_path, make_config, train_in) -> None:
    config = make_config(kind, "evaluate_every=2")
    summary = train_in(tmp_path / "run", config)
    assert json.loads((tmp_path / "run/summary.json").read_text()) == json.loads(json.dumps(summary))
    metrics = read_metrics(tmp_path / "run/metrics.jsonl")
    assert [line["iteration"] for line in metrics] == [1, 2, 3]
    plan = config.plan
    assert summary["steps"] == metrics[-1]["steps"] == 3 * plan.steps_per_iteration
    assert ["held_out_return_mean" in line for line in metrics] == [False, True, False]
    assert [path.name for path in list_checkpoints(tmp_path / "run/checkpoints")] == ["step-1", "step-2", "step-3"]
    # The exported agent is the policy that the summary judges.
    agent = load_agent(str(tmp_path / "run"))
    returns = evaluate(agent, config.spec, episodes=10).returns
    assert returns.mean() == summary["return_mean"]


@pytest.mark.parametrize("kind", KINDS)
def test_interrupted_at_any_iteration_and_resumed_gives_the_same_bits(kind, tmp_path, make_config, train_in) -> None:
    config = make_config(kind)
    whole = train_in(tmp_path / "whole", config)

    def stop(metrics) -> None:
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(Interrupted):
            train_in(tmp_path / "parts", config, watcher=Watcher(advanced=stop))
    parts = train_in(tmp_path / "parts", config)
    for key in ("state_sha256", "return_mean", "steps", "episodes"):
        assert parts[key] == whole[key], key
    lines = [read_metrics(tmp_path / folder / "metrics.jsonl") for folder in ("whole", "parts")]
    for line in (*lines[0], *lines[1]):
        del line["seconds"]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("kind", ["cma-es", "ppo"])
def test_a_longer_run_goes_on_where_a_shorter_one_ended(kind, tmp_path, make_config, train_in) -> None:
    config = make_config(kind)
    whole = train_in(tmp_path / "whole", config)
    train_in(tmp_path / "parts", dataclasses.replace(config, iterations=2))
    assert train_in(tmp_path / "parts", config)["state_sha256"] == whole["state_sha256"]


@pytest.mark.parametrize("kind", ["cma-es", "ppo"])
def test_seeds_and_shards_matter_and_checkpoints_do_not(kind, tmp_path, make_config, train_in) -> None:
    hashes = [
        train_in(tmp_path / str(index), make_config(kind, *overrides))["state_sha256"]
        for index, overrides in enumerate([[], ["seed=1"], ["shards=2"], ["checkpoint_every=3"]])
    ]
    assert hashes[0] == hashes[3]
    assert len(set(hashes)) == 3


def test_a_damaged_checkpoint_is_set_aside_and_the_run_goes_on_from_an_older_one(
    tmp_path: Path, make_config, train_in
) -> None:
    config = make_config("cma-es")
    whole = train_in(tmp_path / "run", config)
    file = tmp_path / "run/checkpoints/step-3/state.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    (tmp_path / "run/checkpoints/step-2/state.safetensors").write_bytes(b"")
    told = []
    again = train_in(tmp_path / "run", config, watcher=Watcher(started=told.append))
    assert told[0].iteration == 1
    assert len(told[0].notes) == 2
    assert "set aside as corrupt-step-3" in told[0].notes[0]
    assert again["state_sha256"] == whole["state_sha256"]
    assert [line["iteration"] for line in read_metrics(tmp_path / "run/metrics.jsonl")] == [1, 2, 3]


@pytest.mark.parametrize("kind", ["cma-es", "ppo"])
def test_a_nan_stops_the_run_before_anything_is_learned(kind, tmp_path, make_config, train_in, monkeypatch) -> None:
    from wormwood.envs.tasks import Swim
    from wormwood.launch.run.rollouts import NonFiniteError

    config = make_config(kind)
    reward = Swim.reward

    def poisoned(self, readings, goal, action, timestep):
        values = reward(self, readings, goal, action, timestep)
        values[np.abs(readings.joint_angles[:, 0]) > 0.2] = np.nan
        return values

    monkeypatch.setattr(Swim, "reward", poisoned)
    with pytest.raises(NonFiniteError, match=r"reward is nan in environment \d+ of body swimmer-4, task swim"):
        train_in(tmp_path / "run", config)
    assert not (tmp_path / "run/checkpoints").exists()
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_a_lag_of_one_collects_with_the_policy_before_the_last_and_resumes_to_the_bit(
    tmp_path: Path, make_config, train_in
) -> None:
    config = make_config("ppo", "learner.lag=1", "iterations=5")
    whole = train_in(tmp_path / "whole", config)
    ledger = read_metrics(tmp_path / "whole/ledger.jsonl")
    assert [line["policy_version"] for line in ledger[::4]] == [0, 0, 1, 2, 3]
    assert whole["state_sha256"] != train_in(tmp_path / "none", make_config("ppo", "iterations=5"))["state_sha256"]

    def stop(metrics) -> None:
        raise KeyboardInterrupt

    for _ in range(5):
        with pytest.raises(Interrupted):
            train_in(tmp_path / "parts", config, watcher=Watcher(advanced=stop))
    assert train_in(tmp_path / "parts", config)["state_sha256"] == whole["state_sha256"]


@pytest.mark.parametrize("kind", ["cma-es", "ppo"])
def test_the_ledger_proves_that_every_step_was_used_once(kind, tmp_path: Path, make_config, train_in) -> None:
    config = make_config(kind)
    summary = train_in(tmp_path / "run", config)
    proof = audit_run(RunFolder(tmp_path / "run"))
    assert (proof.iterations, proof.fragments, proof.steps) == (3, 12, summary["steps"])
    lines = (tmp_path / "run/ledger.jsonl").read_text().splitlines(keepends=True)
    for wrong, message in (
        (lines[:-1], "expected 12 lines for 3 iterations, got 11"),
        ([*lines[:5], *lines[6:]], "ledger line 6: expected iteration 2, shard 1, got iteration 2, shard 2"),
        ([*lines[:5], lines[4], *lines[5:]], "ledger line 6: expected iteration 2, shard 1, got iteration 2, shard 0"),
        (
            [lines[0].replace('"steps": ', '"steps": 1'), *lines[1:]],
            "environment steps, which the learner has consumed",
        ),
        ([lines[0].replace('sha256": "', 'sha256": "0'), *lines[1:]], "one of them was changed"),
    ):
        (tmp_path / "run/ledger.jsonl").write_text("".join(wrong))
        with pytest.raises(BadInput, match=message):
            audit_run(RunFolder(tmp_path / "run"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_middle_of_an_update_waits_for_its_end(
    number: int, tmp_path: Path, make_config, train_in, monkeypatch
) -> None:
    from wormwood.agents.learning.on_policy.ppo import CompiledPPOLearner

    config = make_config("mlp-ppo", "checkpoint_every=100")
    whole = train_in(tmp_path / "whole", config)
    update, calls = CompiledPPOLearner.update, iter(range(10**6))

    def update_and_be_interrupted(self, fragments, iteration):
        if next(calls) == 1:
            os.kill(os.getpid(), number)
        return update(self, fragments, iteration)

    # As the command does, and where the tests run in the background, which ignores Ctrl-C.
    before = {each: signal.signal(each, signal.default_int_handler) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with monkeypatch.context() as patched:
            patched.setattr(CompiledPPOLearner, "update", update_and_be_interrupted)
            with pytest.raises(Interrupted):
                train_in(tmp_path / "parts", config)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    assert [line["iteration"] for line in read_metrics(tmp_path / "parts/metrics.jsonl")] == [1, 2]
    assert [path.name for path in (tmp_path / "parts/checkpoints").iterdir()] == ["step-2"]
    assert train_in(tmp_path / "parts", config)["state_sha256"] == whole["state_sha256"]


def test_a_learner_that_diverges_stops_before_anything_is_saved(
    tmp_path: Path, make_config, train_in, monkeypatch
) -> None:
    from wormwood.agents.learning.evolution.cma_es import CMAES
    from wormwood.launch.run.rollouts import NonFiniteError

    good = CMAES.policy_weights
    monkeypatch.setattr(CMAES, "policy_weights", lambda self: {**good(self), "prop": np.array(np.nan)})
    with pytest.raises(NonFiniteError, match="weight prop of the policy is not finite after the update of iteration 0"):
        train_in(tmp_path / "run", make_config("cma-es"))
    assert not (tmp_path / "run/checkpoints").exists()
