"""Files from before settings were renamed: they mean the same, tell of it, and their runs go on."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.table import initial_weights
from wormwood.envs.bodies import swimmer
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.launch.cli.main import main
from wormwood.launch.run.agent_files import Agent, load_agent, save_agent
from wormwood.launch.run.old_names import RENAMED, OldName, use_new_names, with_old_names
from wormwood.launch.run.service import LearnerService
from wormwood.launch.run.settings import RunConfig, parse_config

SAC = """
agent: {kind: ncap}
learner: {kind: sac, entropy_coefficient: 0.5}
iterations: 2
"""
FOREST = """
agent: {kind: boosted, view: joint, shares_trees: false}
learner:
  kind: boosted
  critic: network
  boosting: {max_policy_gradient: 50.0, max_value_gradient: 5.0}
iterations: 2
"""
CIRCUIT = """
agent: {kind: ncap, local_oscillators: true, lag: 0.25, bounds: {lag: [0.1, 0.4]}}
learner: {kind: ppo, critic: flat}
iterations: 2
"""
MODULATED = """
agent: {kind: modulated-ncap, circuit: {local_oscillators: true, lag: 0.25}, modulated: [lag]}
learner: {kind: cma-es}
family: swimmer-bodies
trial_episodes: 2
iterations: 2
"""
CRITIC = """
agent: {kind: mlp}
learner: {kind: ppo, critic: boosted}
iterations: 2
"""
MEMORY = """
agent: {kind: memory}
learner: {kind: fast-slow, schedule: {horizon: 30, max_gradient: 2.0}}
family: bandit
trial_episodes: 10
iterations: 2
"""
OLD = {"sac": SAC, "forest": FOREST, "circuit": CIRCUIT, "modulated": MODULATED, "critic": CRITIC, "memory": MEMORY}
"""Files with every old name."""
HASHES = {
    "sac": "7f6a7c1e7056c5d6583e46d0d52a412c93527e9c20ab361a273e06738933b840",
    "forest": "b5ee9315de6ac54231235a9e12cff668523e31009edb385bcae9bbf86595c09f",
    "circuit": "dc623150cf6f95b046a5c0d4b5c61b35fff1f152221e52b5cdffc7f3f71c8501",
    "modulated": "87ac71ca11f6acf27d0293e87f08089dcd200f615ef297aa1bf742bcad02ae9c",
    "critic": "f8511c4cd18647f161e60da80ce45c4648065a84e317dac9d36d890748526917",
    "memory": "5a412b5ae666f97ed0be323cca9abe7e715b12a728cfd76d9dd5a5410fda753e",
}
"""What checkpoints of these files carry, as the version before wrote them."""


@pytest.mark.parametrize("name", OLD)
def test_an_old_file_means_the_same_and_its_checkpoints_are_known(name: str) -> None:
    with pytest.warns(OldName) as told:
        config = parse_config(OLD[name], where="old")
    with warnings.catch_warnings(action="error"):
        again = parse_config(config.to_yaml(), where="new")
    assert config == again
    assert config.old_hash == HASHES[name] != config.hash
    assert all(str(one.message).endswith("; the old name works until 0.3") for one in told)


def test_every_old_name_is_in_one_of_the_files_and_is_told_once() -> None:
    notes = []
    for text in OLD.values():
        with pytest.warns(OldName) as told:
            parse_config(text, where="old")
        notes += [str(one.message).partition(";")[0] for one in told]
    said = [f"{section}.{before} is now called {section}.{now}" for section, _, before, now in RENAMED]
    assert set(notes) == set(said)


def test_an_old_name_of_the_command_line_replaces_the_file_s_own() -> None:
    with pytest.warns(OldName, match=r"now called learner\.initial_entropy_coefficient"):
        config = parse_config(
            SAC.replace("entropy", "initial_entropy"), where="p", overrides=["learner.entropy_coefficient=0.25"]
        )
    assert config.to_mapping()["learner"]["initial_entropy_coefficient"] == 0.25


@pytest.mark.parametrize("mapping", [{}, {"learner": None}, {"learner": "sac"}, {"learner": {"kind": ["sac"]}}])
def test_what_is_no_configuration_is_left_to_the_check(mapping: dict[str, Any]) -> None:
    before = dict(mapping)
    use_new_names(mapping)
    assert mapping == before == with_old_names(mapping)


def test_a_run_from_before_goes_on(
    make_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("sac")
    with monkeypatch.context() as before:
        before.setattr(RunConfig, "hash", RunConfig.old_hash)
        service = LearnerService()
        service.create("run", config, tmp_path)
        service.save("run")
    assert config.hash != config.old_hash
    assert LearnerService().create("run", config, tmp_path).notes == ()


def test_an_old_agent_is_loaded(tmp_path: Path) -> None:
    spec, config = SwimmerSpec(swimmer(4), Swim()), NCAPConfig(local_oscillators=True, phase_lag=0.25)
    save_agent(tmp_path / "a", Agent("a", config, initial_weights(config, spec, np.random.default_rng(0)), spec))
    described = json.loads((tmp_path / "a" / "agent.json").read_text())
    described["config"]["lag"] = described["config"].pop("phase_lag")
    described["schema"] = 1  # whose text has no checksum
    (tmp_path / "a" / "agent.json").write_text(json.dumps(described))
    with pytest.warns(OldName, match=r"agent\.lag is now called agent\.phase_lag"):
        assert load_agent(str(tmp_path / "a")).config == config


def test_the_command_line_tells_it_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [
        "--set",
        "learner.entropy_coefficient=0.25",
        "--set",
        "seed=-1",
    ]  # the seed is wrong
    assert main(["train", "swim-ncap-sac", *overrides]) == 2
    note, error = capsys.readouterr().err.splitlines()
    assert note == (
        "learner.entropy_coefficient is now called learner.initial_entropy_coefficient; the old name works until 0.3"
    )
    assert error.startswith("wormwood: seed")
