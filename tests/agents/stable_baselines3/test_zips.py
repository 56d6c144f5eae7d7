"""Zips of Stable-Baselines3: an honest one acts as it does there, and a command planted in one never runs."""

import base64
import contextlib
import json
import pickle
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3

from wormwood.envs.bodies import GYMNASIUM_SWIMMER, swimmer
from wormwood.envs.faces.gymnasium import SwimmerEnv
from wormwood.envs.faces.swimmer_v5 import action_from_swimmer_v5, from_swimmer_v5
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import GymnasiumForward, Navigate, Swim, SwimAtSpeed
from wormwood.errors import BadInput
from wormwood.launch.cli.main import main
from wormwood.launch.inspect.inspection import inspect_agent
from wormwood.launch.run.agent_files import load_agent
from wormwood.launch.run.evaluation import evaluate

FORWARD = SwimmerSpec(GYMNASIUM_SWIMMER, GymnasiumForward(horizon=30))


@pytest.fixture(autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


def _saved(algorithm, path: Path, env="Swimmer-v5", **options):
    model = algorithm("MlpPolicy", env if not isinstance(env, str) else gymnasium.make(env), seed=1, **options)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    model.save(path)
    return model


@pytest.mark.parametrize(
    ("algorithm", "text", "options"),
    [
        (PPO, "ppo:{}", {}),
        (PPO, "ppo:{}?activation=relu", {"policy_kwargs": {"activation_fn": torch.nn.ReLU, "net_arch": [8, 9, 7]}}),
        (PPO, "ppo:{}?activation=elu", {"policy_kwargs": {"activation_fn": torch.nn.ELU}}),
        (PPO, "ppo:{}?activation=silu", {"policy_kwargs": {"activation_fn": torch.nn.SiLU}}),
        (PPO, "ppo:{}?activation=leaky_relu", {"policy_kwargs": {"activation_fn": torch.nn.LeakyReLU}}),
        (PPO, "ppo:{}", {"policy_kwargs": {"net_arch": []}}),
        (A2C, "a2c:{}", {}),
        (SAC, "sac:{}", {"buffer_size": 10}),
        (TD3, "td3:{}", {"buffer_size": 10}),
        (DDPG, "ddpg:{}", {"buffer_size": 10, "policy_kwargs": {"net_arch": [16]}}),
    ],
)
def test_a_policy_acts_as_it_does_in_stable_baselines3(algorithm, text, options, tmp_path: Path) -> None:
    model = _saved(algorithm, tmp_path / "m.zip", **options)
    agent = load_agent(text.format(tmp_path / "m.zip"))
    assert (agent.name, agent.spec) == ("m", SwimmerSpec(GYMNASIUM_SWIMMER, GymnasiumForward()))
    observation = np.random.default_rng(0).normal(size=(50, 8))
    theirs, _ = model.predict(observation, deterministic=True)
    ours, _, _ = agent.policy(FORWARD).act(observation, {}, None)
    np.testing.assert_allclose(np.clip(ours, -1, 1), theirs, atol=2e-6)


def test_it_swims_in_our_task_as_in_swimmer_v5(tmp_path: Path) -> None:
    model = _saved(PPO, tmp_path / "m.zip")
    spec = SwimmerSpec(GYMNASIUM_SWIMMER, Swim())
    policy, state = load_agent(f"ppo:{tmp_path}/m.zip").policy(spec), {}
    env = gymnasium.make("Swimmer-v5", reset_noise_scale=0.1)
    theirs, _ = env.reset(seed=3)
    start = theirs[0]
    for step in range(200):
        action, state, _ = policy.act(from_swimmer_v5(theirs, steps=step)[None], state, None)
        # What the network sees but for the heading, which counts from the start and is reckoned.
        seen = np.array([state["heading"][0], *theirs[1:3], *_turned(theirs[3:5], -start), *theirs[5:]])
        assert seen[0] == pytest.approx(theirs[0] - start, abs=2e-2)
        expected, _ = model.predict(seen, deterministic=True)
        np.testing.assert_allclose(np.clip(action[0], -1, 1), action_from_swimmer_v5(expected), atol=2e-2)
        theirs = env.step(np.clip(action[0], -1, 1))[0]
    # A clock of zero begins anew, whatever was remembered.
    _, state, _ = policy.act(from_swimmer_v5(theirs, steps=0)[None], state, None)
    assert state["heading"][0] == 0


def _turned(velocity: np.ndarray, angle: float) -> np.ndarray:
    (x, y), cosine, sine = velocity, np.cos(angle), np.sin(angle)
    return np.array([cosine * x - sine * y, sine * x + cosine * y])


@pytest.mark.parametrize(("task", "links"), [(Swim(), 5), (Navigate(), 3), (SwimAtSpeed(), 2)])
def test_a_policy_for_our_environments_is_known_by_its_sizes(task, links: int, tmp_path: Path) -> None:
    model = _saved(PPO, tmp_path / "m.zip", SwimmerEnv(task, body=f"swimmer-{links}"))
    agent = load_agent(f"ppo:{tmp_path}/m.zip")
    spec = SwimmerSpec(swimmer(links), task)
    assert agent.spec == spec
    observation = np.random.default_rng(0).normal(size=(5, spec.layout.size))
    theirs, _ = model.predict(observation, deterministic=True)
    ours, _, _ = agent.policy(spec).act(observation, {}, None)
    np.testing.assert_allclose(np.clip(ours, -1, 1), theirs, atol=2e-6)
    assert np.isfinite(evaluate(agent, SwimmerSpec(swimmer(links), type(task)(horizon=20)), episodes=1).returns).all()
    with pytest.raises(BadInput, match="agent does not fit the environment in agent m"):
        agent.policy(SwimmerSpec(swimmer(links + 1), task))


def test_a_policy_that_was_trained_without_a_clock_does_without_it(tmp_path: Path) -> None:
    env = gymnasium.wrappers.TransformObservation(
        SwimmerEnv("swim", body="swimmer-4"),
        lambda observation: observation[:-1],
        gymnasium.spaces.Box(-np.inf, np.inf, (15,)),
    )
    model = _saved(PPO, tmp_path / "m.zip", env)
    agent = load_agent(f"ppo:{tmp_path}/m.zip")
    assert agent.spec == SwimmerSpec(swimmer(4), Swim())
    observation = np.random.default_rng(0).normal(size=(5, 16))
    theirs, _ = model.predict(observation[:, :-1], deterministic=True)
    np.testing.assert_allclose(
        np.clip(agent.policy(agent.spec).act(observation, {}, None)[0], -1, 1), theirs, atol=2e-6
    )


def test_the_command_evaluates_and_inspects_a_zip(tmp_path: Path, capsys) -> None:
    _saved(PPO, tmp_path / "m.zip")
    text = f"ppo:{tmp_path}/m.zip"
    assert main(["evaluate", text, "--episodes", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert (row["agent"], row["body"]) == ("m", "gymnasium-swimmer")
    assert main(["evaluate", text, "--task", "swim", "--body", "swimmer-3", "--episodes", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["return_mean"] >= 0
    # 8 to 64 to 64 to 2, with biases.
    assert inspect_agent(load_agent(text), FORWARD).described["parameters"] == 9 * 64 + 65 * 64 + 65 * 2


class _Command:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self):
        return Path.touch, (self._path,)


def _rewritten(source: Path, target: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in {*old.namelist(), *entries}:
            new.writestr(name, entries.get(name, old.read(name) if name in old.namelist() else b""))
    return target


def test_a_planted_command_never_runs(tmp_path: Path) -> None:
    trap = tmp_path / "trapped"
    _saved(PPO, tmp_path / "m.zip")
    honest = load_agent(f"ppo:{tmp_path}/m.zip")
    planted = pickle.dumps(_Command(trap))
    pickle.loads(planted)
    assert trap.exists(), "the trap works"
    trap.unlink()

    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        fields = json.loads(archive.read("data"))
    for field in fields.values():
        if isinstance(field, dict) and ":serialized:" in field:
            field[":serialized:"] = base64.b64encode(planted).decode()
    in_data = _rewritten(
        tmp_path / "m.zip", tmp_path / "d.zip", data=json.dumps(fields).encode(), **{"pytorch_variables.pth": planted}
    )
    with contextlib.suppress(Exception):
        PPO.load(in_data)
    assert trap.exists(), "whoever decodes the fields runs it"
    trap.unlink()
    # Here they are not decoded, and the weights beside them are as good as ever.
    assert load_agent(f"ppo:{in_data}").weights.keys() == honest.weights.keys()
    assert not trap.exists()

    torch.save({"action_net.weight": _Command(trap)}, tmp_path / "p.pth")
    for data in (planted, (tmp_path / "p.pth").read_bytes()):
        in_tensors = _rewritten(tmp_path / "m.zip", tmp_path / "t.zip", **{"policy.pth": data})
        with pytest.raises(
            BadInput, match=r"unreadable zip in .*t\.zip: expected a zip that Stable-Baselines3"
        ) as caught:
            load_agent(f"ppo:{in_tensors}")
        assert "\n" not in str(caught.value)
        assert not trap.exists()


def test_what_is_no_such_zip_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _saved(PPO, Path("m.zip"))
    _saved(DQN, Path("dqn.zip"), "CartPole-v1", buffer_size=10)
    _saved(PPO, Path("cart.zip"), "CartPole-v1")
    _saved(PPO, Path("pendulum.zip"), "Pendulum-v1")
    Path("text.zip").write_text("no zip")
    with zipfile.ZipFile("empty.zip", "w"):
        pass
    for text, message in {
        "m.zip": "missing algorithm in agent: expected the algorithm before the path",
        "poo:m.zip": "unknown algorithm .*nearest: 'ppo'",
        "ppo:m.zip?activation=rel": "activation in agent ppo:m.zip: .*nearest: 'relu'",
        "ppo:m.zip?activ=relu": "unknown option .*nearest: 'activation'",
        "ppo:missing.zip": "unreadable zip in missing.zip",
        "ppo:text.zip": "unreadable zip in text.zip",
        "ppo:empty.zip": "unreadable zip in empty.zip",
        "sac:m.zip": "policy in m.zip: expected the perceptron of a policy of sac",
        "td3:dqn.zip": "policy in dqn.zip: expected the perceptron of a policy of td3",
        "ppo:cart.zip": "policy in cart.zip: expected .* with continuous actions, got 'discrete actions'",
        "ppo:pendulum.zip": "sizes in pendulum.zip: .*got '3 inputs to 1 outputs'",
    }.items():
        with pytest.raises(BadInput, match=message) as caught:
            load_agent(text)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("action_net.weight", torch.full((2, 64), torch.nan), "expected finite numbers"),
        ("action_net.weight", torch.zeros(2, 63), "expected layers that follow each other"),
        ("action_net.bias", torch.zeros(3), "expected finite numbers of fitting shapes"),
        ("mlp_extractor.policy_net.0.weight", torch.zeros(64), "expected finite numbers of fitting shapes"),
        ("features_extractor.cnn.0.weight", torch.zeros(3), "got 'features_extractor.cnn.0.weight'"),
    ],
)
def test_tensors_that_are_no_perceptron_are_refused(
    name: str, value: torch.Tensor, message: str, tmp_path: Path
) -> None:
    model = _saved(PPO, tmp_path / "m.zip")
    torch.save({**model.policy.state_dict(), name: value}, tmp_path / "p.pth")
    changed = _rewritten(tmp_path / "m.zip", tmp_path / "c.zip", **{"policy.pth": (tmp_path / "p.pth").read_bytes()})
    with pytest.raises(BadInput, match=message):
        load_agent(f"ppo:{changed}")
