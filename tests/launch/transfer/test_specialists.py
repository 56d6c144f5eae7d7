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
from wormwood.launch.transfer.comparison import compare
from wormwood.launch.transfer.specialists import Stage, Training, config_of, on_body
from wormwood.launch.transfer.tuning import Request, Tuning, _steps_to, score, tune

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
    assert there.evaluate_every == 0
    assert parse_config(there.to_yaml(), where="test").spec == spec


@pytest.mark.parametrize("text", [EVOLUTION, PPO, MLP])
def test_fine_tuning_starts_from_the_given_weights(text: str, tmp_path: Path) -> None:
    config = _config(text)
    start = _other_weights(config)
    training = Training(config, tmp_path, start=start)
    with training._open(next(training.folders()), config) as run:
        service = LearnerService()
        progress = service.create("run", config, run.checkpoints)
        assert (progress.iteration, progress.steps) == (0, 0)
        weights = service.policy_weights("run")
    for name in start:
        np.testing.assert_allclose(weights[name], start[name], rtol=1e-5, err_msg=name)
    scratch = Training(config, tmp_path)
    assert next(scratch.folders()).path != next(training.folders()).path


def test_stages_are_those_of_one_run_and_are_kept(tmp_path: Path) -> None:
    training = Training(_config(), tmp_path / "a", start=_other_weights(_config()))
    assert [training.iterations(share) for share in (0.01, 0.25, 1.0)] == [1, 2, 10]
    assert training.stages == list(range(1, 11))
    told: list[int] = []
    first, last = (training.reach(iterations, progress=told.append) for iterations in (2, 10))
    assert told == list(range(1, 11))
    # Four candidates, 40 control steps each.
    assert (first.steps, last.steps) == (2 * 160, 10 * 160)
    folder = next(training.folders())
    assert len(read_metrics(folder.metrics)) == 10
    again = [training.reach(iterations, progress=told.append) for iterations in (2, 10)]
    assert len(told) == 10, "nothing is trained again"
    assert [_hash(stage) for stage in again] == [_hash(first), _hash(last)]
    # In one go it is the same.
    whole = Training(_config(), tmp_path / "b", start=_other_weights(_config())).reach(10)
    assert _hash(whole) == _hash(last) != _hash(first)
    # Who asks later for what nobody kept gets another run, which is found again, too.
    earlier = training.reach(5)
    assert (earlier.steps, _hash(training.reach(2))) == (5 * 160, _hash(first))
    assert [path.name for path in sorted((tmp_path / "a").iterdir())] == [folder.path.name, f"{folder.path.name}-2"]
    assert _hash(earlier) == _hash(Training(_config(), tmp_path / "c", start=_other_weights(_config())).reach(5))


def _hash(stage: Stage) -> str:
    assert stage.agent.weights is not None
    return state_sha256(stage.agent.weights)


def test_steps_are_counted_to_the_first_return_that_is_high_enough() -> None:
    agent = Agent("a")
    curve = [(Stage(k, 100 * k, agent), (value,)) for k, value in enumerate((3.0, 7.0, 5.0, 8.0), start=1)]
    aims = (1, 5, 7, 7.5, 9)
    assert [_steps_to(aim, (0.5,), curve) for aim in aims] == [100, 200, 200, 400, None]
    assert [_steps_to(aim, (5.0,), curve) for aim in aims] == [0, 0, 200, 400, None]
    assert _steps_to(1, (), curve) == 100, "who cannot act does not start there"
    assert _steps_to(0.0, (5.0,), curve) is None


def test_retention_and_jumpstart_are_worked_out_by_hand() -> None:
    alone = compare("a", [Tuning("a", "b", (500.0, 600.0, 700.0, 600.0), (800.0,) * 4, (450.0,) * 4)])
    assert alone.retention is not None and alone.jumpstart is not None
    assert (alone.retention.estimate, alone.jumpstart.estimate) == (0.75, 150.0)
    assert 500 / 800 <= alone.retention.low < 0.75 < alone.retention.high <= 700 / 800
    assert 50 <= alone.jumpstart.low < 150 < alone.jumpstart.high <= 250
    nothing = compare("a", [Tuning("a", "b", (), (800.0,), (450.0,))])
    assert (nothing.zero_shot, nothing.retention, nothing.jumpstart) == (None, None, None)
    assert compare("a", [Tuning("a", "b", (1.0,), (0.0,), (0.0,))]).retention is None


def test_of_several_training_runs_each_counts_once_beside_its_own_specialist() -> None:
    runs = [
        Tuning("a", "b", (0.0, 600.0), (400.0, 400.0), (100.0, 100.0), ((1.0, (350.0, 370.0)),), 360.0, 0, 900),
        Tuning("b", "b", (200.0, 200.0), (500.0, 300.0), (100.0, 100.0), ((1.0, (350.0, 370.0)),), 380.0, None, None),
        Tuning("c", "b", (400.0, 400.0), (400.0, 400.0), (100.0, 100.0), ((1.0, (360.0, 360.0)),), 370.0, 300, 500),
    ]
    group = compare("g", runs)
    assert group.retention is not None and group.jumpstart is not None
    # Means over starts: 300, 200 and 400 beside 400 each.
    assert (group.retention.estimate, group.jumpstart.estimate) == (0.75, 200)
    assert (group.retention.low, group.retention.high) == (0.5, 1.0)
    assert (group.tuned[1.0].estimate, group.threshold) == (360, 370)
    assert (group.steps_tuned, group.steps_from_scratch) == ((0, None, 300), (900, None, 500))


def test_an_agent_beside_a_specialist(tmp_path: Path) -> None:
    config, spec = _config(), SwimmerSpec(swimmer(5), TASK)
    agent = Agent("worm", config.agent, _other_weights(config), config.spec)
    request = Request(tmp_path / "outcomes", tmp_path / "cache", (0.1, 1.0), starts=3)
    told: list[tuple[str, float]] = []
    tuning = tune(agent, config, spec, request, progress=lambda *what: told.append(what))
    assert {doing for doing, _ in told} == {"specialist on swimmer-5", "fine-tuning on swimmer-5"}
    assert told[-1][1] == 1.0
    assert [share for share, _ in tuning.tuned] == [0.1, 1.0]
    assert [len(returns) for returns in (tuning.zero_shot, tuning.specialist, tuning.from_scratch)] == [3, 3, 3]
    told.clear()
    assert tune(agent, config, spec, request) == tuning
    assert len(list((tmp_path / "cache").iterdir())) == 2
    # Without fine-tuning the same specialist is found.
    alone = tune(agent, config, spec, dataclasses.replace(request, shares=()))
    assert (alone.specialist, alone.tuned, alone.threshold) == (tuning.specialist, (), None)


def test_the_threshold_is_a_share_of_the_return_that_is_shown_and_counted_by_the_same_returns(tmp_path: Path) -> None:
    config, spec = _config(), SwimmerSpec(swimmer(5), TASK)
    agent = Agent("worm", config.agent, _other_weights(config), config.spec)
    request = Request(tmp_path / "outcomes", tmp_path / "cache", (1.0,), starts=3)
    tunings = {share: tune(agent, config, spec, dataclasses.replace(request, threshold=share)) for share in (0.5, 1.0)}
    for share, tuning in tunings.items():
        assert tuning.threshold == share * score(tuning.specialist)
        assert (tuning.steps_tuned == 0) == (score(tuning.zero_shot) >= tuning.threshold)
        assert (tuning.steps_from_scratch == 0) == (score(tuning.from_scratch) >= tuning.threshold)
    # Training from scratch ends as the specialist, so that it reaches all of its return at the latest then.
    assert tunings[1.0].steps_from_scratch is not None
    assert (tunings[0.5].steps_from_scratch or 0) <= tunings[1.0].steps_from_scratch <= 10 * 160


def test_who_does_not_fit_has_a_specialist_but_is_not_fine_tuned(tmp_path: Path) -> None:
    config = _config(MLP)
    agent = Agent("net", config.agent, _other_weights(config), config.spec)
    spec = SwimmerSpec(swimmer(3), TASK)
    request = Request(tmp_path / "outcomes", tmp_path / "cache", (1.0,), starts=1)
    tuning = tune(agent, config, spec, request)
    assert (tuning.zero_shot, len(tuning.specialist), tuning.tuned) == ((), 1, ())
    padded = tune(agent, config, spec, dataclasses.replace(request, pad=True))
    assert padded.zero_shot
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
    assert entry["retention"]["estimate"] == kept["worm", "swimmer-5"]
    # The seed of the specialist's run is the agent's own, and so is all but the body.
    (run,) = Path("cache").glob("*-scratch")
    assert parse_config((run / "config.yaml").read_text(), where="test").spec.label == "swimmer-5"
    Path("n.yaml").write_text("bodies: [{body: swimmer-4, label: home}]\ntask_options: {horizon: 40}\n")
    assert main(["transfer", "worm", "--suite", "n.yaml", "--seeds", "1", "--retention"]) == 2
    assert "a suite that names bodies under `retention`" in capsys.readouterr().err
