"""What a circuit is made of, and what it does: as JSON and as arrays."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wormwood.agents.policies.circuit import NCAP, initial_weights
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, swimmer
from wormwood.envs.randomness import evaluation_streams
from wormwood.envs.simulation import Simulation
from wormwood.envs.task_table import task_from_name
from wormwood.envs.tasks import GymnasiumForward, Swim, SwimAtSpeed
from wormwood.errors import BadInput
from wormwood.launch.inspect.circuit_anatomy import CircuitActivity, describe, record_activity

RNG = np.random.default_rng


def _describe(config: NCAPConfig, links: int = 6, **weights: Any) -> dict[str, Any]:
    body = swimmer(links)
    drawn = initial_weights(config, body, RNG(0)) | {name: np.array(value) for name, value in weights.items()}
    return describe(config, drawn, body=body)


# --- anatomy ---


def test_the_published_circuit_of_three_links_by_hand() -> None:
    description = _describe(NCAPConfig(), links=3, prop=1.5, contra=-0.5)
    assert {neuron["id"] for neuron in description["neurons"]} == {
        *("oscillator.dorsal", "oscillator.ventral", "receptor.0.dorsal", "receptor.0.ventral"),
        *("neuron.0.dorsal", "neuron.0.ventral", "neuron.1.dorsal", "neuron.1.ventral"),
        *("muscle.0.dorsal", "muscle.0.ventral", "muscle.1.dorsal", "muscle.1.ventral"),
    }
    edges = {(s["source"], s["target"]): (s["weight"], s["sign"], s["effective"]) for s in description["synapses"]}
    dorsal = {
        ("oscillator.dorsal", "neuron.0.dorsal"): ("osc", 1, 1.0),
        ("receptor.0.dorsal", "neuron.1.dorsal"): ("prop", 1, 1.5),
        ("neuron.0.dorsal", "muscle.0.dorsal"): ("ipsi", 1, 1.0),
        ("neuron.1.dorsal", "muscle.1.dorsal"): ("ipsi", 1, 1.0),
        ("neuron.0.ventral", "muscle.0.dorsal"): ("contra", -1, -0.5),
        ("neuron.1.ventral", "muscle.1.dorsal"): ("contra", -1, -0.5),
    }
    swap = {"dorsal": "ventral", "ventral": "dorsal"}

    def mirrored(name: str) -> str:
        stem, side = name.rsplit(".", 1)
        return f"{stem}.{swap[side]}"

    assert edges == dorsal | {(mirrored(source), mirrored(target)): edge for (source, target), edge in dorsal.items()}
    assert description["weights"] == {"prop": 1.5, "osc": 1.0, "ipsi": 1.0, "contra": -0.5}
    assert description["period"] == {"steps": 60.0, "seconds": pytest.approx(1.8)}
    assert (description["shared"], description["signs_constrained"], description["activity"]) == (True, True, None)
    assert description["counts"] == {
        "neurons": 12,
        "synapses": 12,
        "weights": 4,
        "oscillator": 2,
        "stretch receptor": 2,
        "B neuron": 4,
        "muscle": 4,
    }
    assert description["neurons"][-1] == {"id": "muscle.1.ventral", "kind": "muscle", "side": "ventral", "joint": 1}


def test_commands_and_the_joints_that_they_reach() -> None:
    config = NCAPConfig(speed_control=True, turn_control=True, turn_joints=2, steering="learned")
    description = _describe(config)
    kinds = Counter(synapse["weight"] for synapse in description["synapses"])
    assert kinds == {"prop": 8, "osc": 2, "ipsi": 10, "contra": 10, "speed": 10, "turn": 4}
    turns = {(s["source"], s["target"]) for s in description["synapses"] if s["weight"] == "turn"}
    assert turns == {
        ("command.right", "neuron.0.dorsal"),
        ("command.right", "neuron.1.dorsal"),
        ("command.left", "neuron.0.ventral"),
        ("command.left", "neuron.1.ventral"),
    }
    assert description["counts"]["command"] == 3
    assert description["counts"]["weights"] == 6 + 9
    assert np.shape(description["weights"]["steering_weight"]) == (3, 2)


def test_unshared_weights_stand_at_their_own_synapses() -> None:
    config = NCAPConfig(share_weights=False)
    ipsi = np.arange(1.0, 11.0).reshape(2, 5)
    description = _describe(config, ipsi=ipsi)
    edges = {(s["source"], s["target"]): s["effective"] for s in description["synapses"] if s["weight"] == "ipsi"}
    assert edges["neuron.3.dorsal", "muscle.3.dorsal"] == 4.0
    assert edges["neuron.3.ventral", "muscle.3.ventral"] == 9.0
    assert description["weights"]["ipsi"] == ipsi.tolist()
    assert (description["shared"], description["counts"]["weights"]) == (False, 30)


def test_a_wrong_sign_shows_as_no_connection_and_a_free_one_as_it_is() -> None:
    bound = [s for s in _describe(NCAPConfig(), contra=0.5)["synapses"] if s["weight"] == "contra"]
    assert {(s["sign"], s["effective"]) for s in bound} == {(-1, 0.0)}
    free = [s for s in _describe(NCAPConfig(constrain_signs=False), contra=0.5)["synapses"] if s["weight"] == "contra"]
    assert {(s["sign"], s["effective"]) for s in free} == {(1, 0.5)}


@settings(max_examples=100)
@given(data=st.data())
def test_every_circuit_is_plain_json_without_loose_ends(data: Any, draw_case: Any) -> None:
    case = draw_case(data)
    description = describe(case.config, case.weights, body=case.body)
    assert json.loads(json.dumps(description, allow_nan=False)) == description
    names = [neuron["id"] for neuron in description["neurons"]]
    ends = {end for synapse in description["synapses"] for end in (synapse["source"], synapse["target"])}
    assert len(set(names)) == len(names)
    assert ends == set(names)
    assert len(description["synapses"]) == description["counts"]["synapses"]


def test_bodies_bring_their_period_and_their_lesions() -> None:
    config = NCAPConfig(body_periods={"odd": 20})
    body = swimmer(6, name="odd", lesioned=[0], locked=[2])
    description = describe(config, initial_weights(config, body, RNG(0)), body=body)
    assert description["period"] == {"steps": 20.0, "seconds": pytest.approx(0.6)}
    assert description["body"] == {"name": "odd", "links": 6, "joints": 5, "lesioned": [0], "locked": [2]}


# --- activity ---


def test_activity_is_that_of_the_policy_on_held_out_start_0() -> None:
    config, body, task = NCAPConfig(speed_control=True), swimmer(5), SwimAtSpeed(horizon=40)
    weights = initial_weights(config, body, RNG(0))
    recording = record_activity(config, weights, body=body, task=task, steps=40, seed=3)
    policy = NCAP(config, weights, body=body, layout=task.layout(body))
    simulation = Simulation(body, task, 1, streams=evaluation_streams(3))
    observation = simulation.reset()
    for t in range(40):
        action, _, _ = policy.act(observation, {}, None)
        np.testing.assert_allclose(recording.action[t], action[0], atol=1e-12)
        np.testing.assert_allclose(recording.angles[t], observation[0, :4], atol=1e-12)
        step = simulation.step(action)
        observation = step.observation
        assert recording.speed[t] == pytest.approx(step.speed[0], abs=1e-12)
    np.testing.assert_allclose(recording.time, 0.03 * np.arange(40))
    shapes = {field.name: getattr(recording, field.name).shape for field in fields(CircuitActivity)}
    assert shapes == {
        "time": (40,),
        "angles": (40, 4),
        "oscillator": (40, 2),
        "receptors": (40, 2, 4),
        "neurons": (40, 2, 4),
        "muscles": (40, 2, 4),
        "action": (40, 4),
        "speed": (40,),
    }


def test_activity_goes_into_the_description() -> None:
    config, body = NCAPConfig(), swimmer(3)
    weights = initial_weights(config, body, RNG(0))
    recording = record_activity(config, weights, body=body, task=Swim(), steps=5)
    activity = describe(config, weights, body=body, activity=recording)["activity"]
    assert json.loads(json.dumps(activity)) == activity
    assert np.shape(activity["muscles"]) == (5, 2, 2)


def test_without_a_clock_the_oscillator_runs_all_the_same() -> None:
    config = NCAPConfig(period=4)
    weights = initial_weights(config, GYMNASIUM_SWIMMER, RNG(0))
    recording = record_activity(config, weights, body=GYMNASIUM_SWIMMER, task=GymnasiumForward(), steps=8)
    assert recording.oscillator[:, 0].tolist() == [1, 1, 0, 0] * 2
    np.testing.assert_allclose(recording.time, 0.04 * np.arange(8))


def test_a_simulation_that_becomes_unstable_ends_the_recording(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log into the working directory
    config, body = NCAPConfig(), swimmer(3, gear=1e12)
    recording = record_activity(config, initial_weights(config, body, RNG(0)), body=body, task=Swim(), steps=50)
    assert 1 <= len(recording.time) < 50
    assert np.isfinite(recording.angles).all()


def test_recordings_last_at_least_a_step_and_at_most_an_episode() -> None:
    config, body = NCAPConfig(), swimmer(3)
    weights = initial_weights(config, body, RNG(0))
    assert len(record_activity(config, weights, body=body, task=Swim(horizon=7)).time) == 7
    with pytest.raises(BadInput, match="steps in activity: expected at least 1"):
        record_activity(config, weights, body=body, task=Swim(), steps=0)


def test_populations_and_other_bodies_are_refused() -> None:
    config, body, task = NCAPConfig(share_weights=False), swimmer(3), task_from_name("swim")
    weights = initial_weights(config, body, RNG(0))
    stacked = {name: np.stack([values, values]) for name, values in weights.items()}
    for refused in (
        lambda w, b: describe(config, w, body=b),
        lambda w, b: record_activity(config, w, body=b, task=task),
    ):
        with pytest.raises(BadInput, match="expected one circuit, got '2 circuits'"):
            refused(stacked, body)
        with pytest.raises(BadInput, match="do not fit in agent ncap on the 3 joints of body swimmer-4"):
            refused(weights, swimmer(4))


def test_neither_torch_nor_matplotlib_is_loaded() -> None:
    program = """
import sys
import wormwood.launch.inspect.circuit_anatomy
print([name for name in ("torch", "stable_baselines3", "matplotlib", "ray") if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "[]"
