"""Files from before settings were renamed: they mean the same, tell of it, and their runs go on."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wormwood.launch.cli.main import main
from wormwood.launch.run.old_names import RENAMED, OldName, use_new_names, with_old_names
from wormwood.launch.run.service import LearnerService
from wormwood.launch.run.settings import RunConfig, parse_config

SAC = """
agent: {kind: ncap}
learner: {kind: sac, entropy_coefficient: 0.5}
iterations: 2
"""
OLD = {"sac": SAC}
"""Files with every old name."""
HASHES = {
    "sac": "7f6a7c1e7056c5d6583e46d0d52a412c93527e9c20ab361a273e06738933b840",
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


def test_the_command_line_tells_it_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [
        "--set",
        "learner.entropy_coefficient=0.25",
        "--set",
        "seed=-1",
    ]  # the seed is wrong: nothing is trained
    assert main(["train", "swim-ncap-sac", *overrides]) == 2
    note, error = capsys.readouterr().err.splitlines()
    assert note == (
        "learner.entropy_coefficient is now called learner.initial_entropy_coefficient; the old name works until 0.3"
    )
    assert error.startswith("wormwood: seed")
