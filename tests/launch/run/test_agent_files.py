"""Agents in files: what is saved comes back, and nothing in a file is run."""

import json
from pathlib import Path

import numpy as np
import pytest

from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import initial_weights
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, load_body, swimmer
from wormwood.envs.randomness import stream
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.errors import BadInput
from wormwood.launch.run.agent_files import BUILT_IN, Agent, load_agent, save_agent


def _make_agent(body: Body, config=None) -> Agent:
    config = config or NCAPConfig(bounds={"prop": (0.5, 2.0)}, body_periods={"swimmer-3": 47.0})
    spec = SwimmerSpec(body, Swim())
    return Agent("worm", config, initial_weights(config, spec, stream(1, "update")), spec)


@pytest.mark.parametrize("config", [None, NCAPConfig(share_weights=False), MLPConfig(hidden=(8, 4))])
@pytest.mark.parametrize("body", [swimmer(5), load_body("tapered"), GYMNASIUM_SWIMMER])
def test_an_agent_comes_back_as_it_was(config, body: Body, tmp_path: Path) -> None:
    agent = _make_agent(body, config)
    save_agent(tmp_path / "a", agent, origin={"seed": 1})
    loaded = load_agent(str(tmp_path / "a"))
    assert (loaded.name, loaded.config, loaded.spec) == (agent.name, agent.config, agent.spec)
    assert loaded.weights is not None
    assert agent.weights is not None
    assert loaded.weights.keys() == agent.weights.keys()
    for name, values in agent.weights.items():
        np.testing.assert_array_equal(loaded.weights[name], values)


def test_an_agent_can_be_replaced(tmp_path: Path) -> None:
    for links in (4, 5):
        save_agent(tmp_path, _make_agent(swimmer(links)))
    assert load_agent(str(tmp_path)).spec == SwimmerSpec(swimmer(5), Swim())


def test_built_in_agents_need_no_file() -> None:
    spec = SwimmerSpec(swimmer(4), Swim())
    actions = {name: load_agent(name).policy(spec).act(np.zeros((2, 16)), {}, None)[0] for name in BUILT_IN}
    assert {action.shape for action in actions.values()} == {(2, 3)}
    assert not actions["zero"].any()
    assert len(np.unique(actions["random"])) == 6
    # At rest only the oscillator drives the circuit: the head bends to the dorsal side.
    assert actions["ncap"].tolist() == [[1.0, 0.0, 0.0]] * 2


def test_unknown_agents_unfinished_runs_and_later_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=r"unknown agent .*nearest: 'random'"):
        load_agent("randon")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.yaml").write_text("")
    with pytest.raises(BadInput, match=r"unfinished run .*`wormwood train --out run --resume"):
        load_agent("run")
    with pytest.raises(BadInput, match=r"unknown agent .*nearest: 'run'"):
        load_agent("runn")
    save_agent(tmp_path / "a", _make_agent(swimmer(4)))
    described = json.loads(Path("a/agent.json").read_text())
    Path("a/agent.json").write_text(json.dumps({**described, "schema": 3}))
    with pytest.raises(BadInput, match=r"agent format in .*: expected schema 2, got 3"):
        load_agent("a")
    for key in ("config", "weights", "body", "task"):
        Path("a/agent.json").write_text(json.dumps({name: value for name, value in described.items() if name != key}))
        with pytest.raises(BadInput, match="damaged agent"):
            load_agent("a")
    Path("a/agent.json").write_text(json.dumps({**described, "config": {"kind": "ncap", "period": "x"}}))
    with pytest.raises(BadInput, match="damaged agent"):
        load_agent("a")
