"""Looking into agents: in the same order at every call, and one line for a place that cannot be written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wormwood.agents.catalogue import initial_weights
from wormwood.agents.circuits.config import NCAPConfig
from wormwood.agents.perceptrons.config import MLPConfig
from wormwood.envs.bodies import swimmer
from wormwood.envs.randomness import stream
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Navigate, Swim
from wormwood.errors import BadInput
from wormwood.launch.agent_files import Agent, load_agent, save_agent
from wormwood.launch.inspection import Inspection, inspect_agent

BODY = swimmer(4)
SPEC = SwimmerSpec(BODY, Navigate())


def _names(summary: str) -> list[str]:
    return [line.split()[0] for line in summary.splitlines() if line.startswith("  ")]


def _shuffled(config: NCAPConfig | MLPConfig, seed: int) -> Agent:
    weights = initial_weights(config, SPEC, stream(0, "update"))
    if isinstance(config, MLPConfig):  # what PPO has learned besides
        size = Navigate().layout(BODY).size
        weights |= {"observation_mean": np.zeros(size), "observation_deviation": np.ones(size), "log_std": np.zeros(3)}
    names = np.random.default_rng(seed).permutation(sorted(weights)).tolist()
    return Agent("shuffled", config, {name: weights[name] for name in names}, SPEC)


@pytest.mark.parametrize("seed", range(3))
def test_weights_of_a_circuit_stand_in_the_order_of_its_synapses(seed: int) -> None:
    config = NCAPConfig(speed_control=True, turn_control=True, steering="learned", initialization="uniform")
    inspection = inspect_agent(_shuffled(config, seed), SPEC)
    expected = ["prop", "osc", "ipsi", "contra", "speed", "turn", "steering_weight", "steering_bias", "period"]
    assert _names(inspection.summary) == expected
    assert list(inspection.described["weights"]) == expected[:-1]
    # Names are as wide as the longest of them, so that the values stand in one column.
    assert {re.match(r"  \S+ +", line).end() for line in inspection.summary.splitlines()[1:]} == {18}  # type: ignore[union-attr]
    assert inspection.summary == inspect_agent(_shuffled(config, seed + 10), SPEC).summary


@pytest.mark.parametrize("seed", range(3))
def test_layers_of_a_network_stand_from_input_to_output(seed: int) -> None:
    inspection = inspect_agent(_shuffled(MLPConfig(hidden=(3,) * 11), seed), SPEC)
    layers = [f"layer{index}_{part}" for index in range(12) for part in ("weight", "bias")]
    expected = [*layers, "log_std", "observation_deviation", "observation_mean"]
    assert _names(inspection.summary) == expected
    assert list(inspection.described["arrays"]) == expected


def test_an_agent_from_a_file_looks_as_it_did(tmp_path: Path) -> None:
    for config in (NCAPConfig(learn_period=True), MLPConfig(hidden=(4, 4))):
        agent = _shuffled(config, 0)
        save_agent(tmp_path / config.kind, agent)
        shown = inspect_agent(agent, SPEC).summary
        for _ in range(5):
            assert inspect_agent(load_agent(str(tmp_path / config.kind)), SPEC).summary == shown


def test_json_and_picture_are_written(tmp_path: Path) -> None:
    inspection = inspect_agent(load_agent("ncap"), SwimmerSpec(swimmer(2), Swim()))
    files = inspection.write(tmp_path / "deep" / "folder")
    assert [file.name for file in files] == ["circuit.json", "circuit.png"]
    assert json.loads(files[0].read_text())["counts"]["synapses"] == 6
    with Image.open(files[1]) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/x"])
def test_a_place_that_cannot_be_written_is_one_line(out: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadInput) as caught:
        inspect_agent(load_agent("zero"), SwimmerSpec(BODY, Swim())).write(tmp_path / out)
    assert f"cannot write to the output folder {tmp_path / out}: " in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_fills_up_is_one_line(tmp_path: Path) -> None:
    def draw(path: Path) -> None:
        raise OSError("encoder error -2 when writing image file")

    with pytest.raises(BadInput, match=r"cannot write to the output folder .*: encoder error -2"):
        Inspection("circuit", {}, "", draw).write(tmp_path)
