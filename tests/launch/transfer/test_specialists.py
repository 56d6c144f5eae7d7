"""Specialists and fine-tuning: ordinary runs that are found again, and what is told of them."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from wormwood.agents.policies.table import initial_weights
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, load_body, swimmer
from wormwood.envs.randomness import stream
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.launch.cli.main import main
from wormwood.launch.run.agent_files import Agent
from wormwood.launch.run.run_folder import read_metrics
from wormwood.launch.run.service import LearnerService
from wormwood.launch.run.settings import RunConfig, parse_config
from wormwood.launch.storage.states import state_sha256
from wormwood.launch.transfer.specialists import Training, config_of, on_body, steps_to
from wormwood.launch.transfer.tuning import Request, Tuning, tune

EVOLUTION = """
agent: {kind: ncap, learn_period: true}
learner: {kind: cma-es, population: 4, sigma: 0.1}
iterations: 10
body: swimmer-4
task_options: {horizon: 40}
"""
PPO = """
agent: {kind: ncap, constraint: straight_through}
learner: {kind: ppo, environments: 8, steps: 16, batch_size: 64, epochs: 2}
iterations: 10
body: swimmer-4
task_options: {horizon: 40}
"""
MLP = PPO.replace("{kind: ncap, constraint: straight_through}", "{kind: mlp, hidden: [8]}")
TASK = Swim(horizon=40)


def _config(text: str = EVOLUTION) -> RunConfig:
    return parse_config(text, where="test")


def _other_weights(config: RunConfig) -> dict[str, np.ndarray]:
    weights = initial_weights(config.agent, config.spec, stream(1, "update"))
    return {name: values * 1.25 if values.dtype.kind == "f" else values for name, values in weights.items()}


@pytest.mark.parametrize("body", [swimmer(6), load_body("head-lesion"), GYMNASIUM_SWIMMER])
def test_the_same_training_on_another_body(body) -> None:
    config, spec = _config(), SwimmerSpec(body, Swim(horizon=55))
    there = on_body(config, spec)
    assert there.spec == spec
    assert (there.agent, there.learner, there.seed, there.iterations) == (
        config.agent,
        config.learner,
        config.seed,
        config.iterations,
    )
    assert there.evaluate_every == 1
    assert parse_config(there.to_yaml(), where="test").spec == spec


@pytest.mark.parametrize("text", [EVOLUTION, PPO, MLP])
def test_fine_tuning_starts_from_the_given_weights(text: str, tmp_path: Path) -> None:
    config = _config(text)
    start = _other_weights(config)
    training = Training(config, tmp_path, start=start)
    with training._open(config) as run:
        service = LearnerService()
        progress = service.create("run", config, run.checkpoints)
        assert (progress.iteration, progress.steps) == (0, 0)
        weights = service.policy_weights("run")
    for name in start:
        np.testing.assert_allclose(weights[name], start[name], rtol=1e-5, err_msg=name)
    scratch = Training(config, tmp_path)
    assert scratch.folder.path != training.folder.path


def test_stages_are_those_of_one_run_and_are_kept(tmp_path: Path) -> None:
    training = Training(_config(), tmp_path / "a", start=_other_weights(_config()))
    assert [training.iterations(share) for share in (0.01, 0.25, 1.0)] == [1, 2, 10]
    told: list[int] = []
    first, last = (training.run(share, progress=told.append) for share in (0.2, 1.0))
    assert told == list(range(1, 11))
    assert len(read_metrics(training.folder.metrics)) == 10
    again = [training.run(share, progress=told.append) for share in (0.2, 1.0)]
    assert len(told) == 10, "nothing is trained again"
    assert [state_sha256(agent.weights) for agent in again] == [state_sha256(a.weights) for a in (first, last)]
    # In one go it is the same.
    whole = Training(_config(), tmp_path / "b", start=_other_weights(_config())).run(1.0)
    assert state_sha256(whole.weights) == state_sha256(last.weights) != state_sha256(first.weights)


def test_steps_to_a_threshold() -> None:
    curve = [(100, 3.0), (200, 7.0), (300, 5.0), (400, 8.0)]
    assert [steps_to(value, curve) for value in (1, 5, 7, 7.5, 9)] == [100, 200, 200, 400, None]


def test_retention_and_jumpstart_are_worked_out_by_hand() -> None:
    tuning = Tuning("a", "b", 600.0, 800.0, 450.0)
    assert (tuning.retention, tuning.jumpstart) == (0.75, 150.0)
    nothing = Tuning("a", "b", None, 800.0, 450.0)
    assert (nothing.retention, nothing.jumpstart) == (None, None)
    assert Tuning("a", "b", 1.0, 0.0, 0.0).retention is None


def test_an_agent_beside_a_specialist(tmp_path: Path) -> None:
    config, spec = _config(), SwimmerSpec(swimmer(5), TASK)
    agent = Agent("worm", config.agent, _other_weights(config), config.spec)
    request = Request(tmp_path / "outcomes", tmp_path / "cache", (0.1, 1.0), starts=3)
    told: list[tuple[str, float]] = []
    tuning = tune(agent, config, spec, request, progress=lambda *what: told.append(what))
    assert {doing for doing, _ in told} == {"specialist on swimmer-5", "fine-tuning on swimmer-5"}
    assert told[-1][1] == 1.0
    assert [share for share, _ in tuning.tuned] == [0.1, 1.0]
    assert tuning.threshold is not None
    assert tuning.zero_shot is not None
    told.clear()
    assert tune(agent, config, spec, request) == tuning
    assert len(list((tmp_path / "cache").iterdir())) == 2
    # Without fine-tuning the same specialist is found.
    alone = tune(agent, config, spec, dataclasses.replace(request, shares=()))
    assert (alone.retention, alone.tuned, alone.threshold) == (tuning.retention, (), None)


def test_who_does_not_fit_has_a_specialist_but_is_not_fine_tuned(tmp_path: Path) -> None:
    config = _config(MLP)
    agent = Agent("net", config.agent, _other_weights(config), config.spec)
    spec = SwimmerSpec(swimmer(3), TASK)
    request = Request(tmp_path / "outcomes", tmp_path / "cache", (1.0,), starts=1)
    tuning = tune(agent, config, spec, request)
    assert (tuning.zero_shot, tuning.retention, tuning.tuned) == (None, None, ())
    padded = tune(agent, config, spec, dataclasses.replace(request, pad=True))
    assert padded.zero_shot is not None
    assert padded.tuned == (), "it is padded, and so has no weights for this body"


def test_only_runs_on_swimmers_have_a_training_to_compare_with(tmp_path: Path) -> None:
    assert config_of("ncap") is None
    (tmp_path / "cart").mkdir()
    (tmp_path / "cart/config.yaml").write_text("agent: {kind: mlp}\nlearner: {kind: ppo}\niterations: 1\n")
    assert config_of(str(tmp_path / "cart")) == _config("agent: {kind: mlp}\nlearner: {kind: ppo}\niterations: 1\n")
    (tmp_path / "cart/config.yaml").write_text("agent: {kind: forgotten}")
    assert config_of(str(tmp_path / "cart")) is None


def test_the_command_tells_retention_and_why_there_is_none(capsys) -> None:
    Path("c.yaml").write_text(EVOLUTION)
    Path("s.yaml").write_text(
        "task_options: {horizon: 40}\n"
        "bodies: [{body: swimmer-4, label: home}, {body: swimmer-5, label: interpolation}]\n"
        "retention: [swimmer-5]\n"
    )
    assert main(["train", "c.yaml", "--set", "iterations=2", "--out", "worm"]) == 0
    capsys.readouterr()
    command = ["transfer", "worm", "ncap", "--suite", "s.yaml", "--seeds", "2", "--out", "r"]
    tuned = ["--retention", "--fine-tune", "0.5", "--specialists", "cache"]
    assert main([*command, *tuned, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    kept = {(row["agent"], row["body"]): row["retention"] for row in rows}
    assert [key for key, value in kept.items() if value is not None] == [("worm", "swimmer-5")]
    text = Path("r/report.html").read_text()
    assert "Retention and fine-tuning" in text
    assert "ncap is from no run" in text
    assert "--retention --fine-tune 0.5 --specialists cache" in text
    (entry,) = json.loads(Path("r/results.json").read_text())["tuning"]
    assert entry["retention"] == kept["worm", "swimmer-5"]
    # The seed of the specialist's run is the agent's own, and so is all but the body.
    (run,) = Path("cache").glob("*-scratch")
    assert parse_config((run / "config.yaml").read_text(), where="test").spec.label == "swimmer-5"
    Path("n.yaml").write_text("bodies: [{body: swimmer-4, label: home}]\ntask_options: {horizon: 40}\n")
    assert main(["transfer", "worm", "--suite", "n.yaml", "--seeds", "1", "--retention"]) == 2
    assert "a suite that names bodies under `retention`" in capsys.readouterr().err
