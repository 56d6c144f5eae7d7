"""Zips of Stable-Baselines3: an honest one acts as it does there, and a command planted in one never runs."""

import base64
import contextlib
import json
import os
import pickle
import zipfile
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import TQC, TRPO, CrossQ
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import wormwood
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


class CombinedFlattenExtractor(FlattenExtractor):
    """Might do anything."""


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
        (PPO, "ppo:{}", {"policy_kwargs": {"activation_fn": torch.nn.ReLU, "net_arch": [8, 9, 7]}}),
        (PPO, "ppo:{}", {"policy_kwargs": {"activation_fn": torch.nn.ELU}}),
        (PPO, "ppo:{}", {"policy_kwargs": {"activation_fn": torch.nn.SiLU}}),
        (PPO, "ppo:{}", {"policy_kwargs": {"activation_fn": torch.nn.LeakyReLU}}),
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
    np.testing.assert_allclose(np.clip(ours, -1, 1), theirs, atol=1e-6)


ACTIVATIONS = [
    getattr(torch.nn, name) for name in ("Tanh", "ReLU", "ELU", "LeakyReLU", "SiLU", "GELU", "Mish", "Sigmoid")
]


def _random_policy(rng: np.random.Generator, algorithm) -> dict:
    """Return settings of a policy that Stable-Baselines3 takes, drawn at random."""
    layers = [int(units) for units in rng.integers(8, 25, size=rng.integers(0, 4))]
    on_policy = algorithm in {PPO, A2C, TRPO}
    arch = {"pi" if on_policy else "qf": layers, "vf" if on_policy else "pi": [int(rng.integers(8, 25))] * 2}
    sde = algorithm in {PPO, A2C, SAC, TQC} and bool(rng.integers(2))
    policy = {"net_arch": arch if rng.integers(2) else layers or [4]}
    if rng.integers(3):
        policy["activation_fn"] = ACTIVATIONS[rng.integers(len(ACTIVATIONS))]
    if on_policy and rng.integers(2):
        policy |= {"ortho_init": bool(rng.integers(2)), "log_std_init": float(rng.normal())}
    if sde:
        policy |= {"use_expln": bool(rng.integers(2))}
        policy |= (
            {"squash_output": bool(rng.integers(2))} if on_policy else {"clip_mean": float(rng.choice([0.0, 0.7, 2.0]))}
        )
    if algorithm is CrossQ and rng.integers(2):
        policy["batch_norm"] = bool(rng.integers(2))
    if algorithm is CrossQ and rng.integers(2):
        policy["batch_norm_eps"] = 0.1
    return {"policy_kwargs": policy} | ({"use_sde": True} if sde else {})


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("algorithm", [PPO, A2C, TRPO, SAC, TQC, CrossQ, TD3, DDPG])
def test_a_policy_of_any_settings_acts_as_in_stable_baselines3(algorithm, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    options = _random_policy(rng, algorithm)
    options |= {} if algorithm in {PPO, A2C, TRPO} else {"buffer_size": 10}
    model = algorithm("MlpPolicy", gymnasium.make("Swimmer-v5"), seed=seed, device="cpu", **options)
    generator, scale = torch.Generator().manual_seed(seed), 1.2 if algorithm is CrossQ else 3.0
    with torch.no_grad():
        for name, value in model.policy.state_dict().items():
            if value.is_floating_point():  # as training does: larger weights, biases that are not 0, running statistics
                noise = 0.3 * torch.rand(value.shape, generator=generator) - 0.15
                value.copy_(torch.abs(value + noise) if name.endswith("ra_var") else scale * value + noise)
    model.save(tmp_path / "m.zip")
    agent = load_agent(f"{algorithm.__name__.lower()}:{tmp_path}/m.zip")
    observation = rng.normal(size=(50, 8)).astype(np.float32)
    theirs, _ = model.predict(observation, deterministic=True)
    ours, _, _ = agent.policy(FORWARD).act(observation.astype(float), {}, None)
    assert len(np.unique(theirs)) > 20, "what is saturated everywhere shows nothing"
    np.testing.assert_allclose(np.clip(ours, -1, 1), theirs, atol=2e-6)  # it computes in single precision


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
    np.testing.assert_allclose(np.clip(ours, -1, 1), theirs, atol=1e-6)
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


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"activation_fn": torch.nn.Hardtanh}, r"activation_fn in .*: expected one of tanh, .*; say which .*Hardtanh"),
        ({"activation_fn": lambda: torch.nn.ReLU()}, "activation_fn in .*: expected one of tanh, .*<lambda>"),
        (
            {"features_extractor_class": CombinedFlattenExtractor},
            "features_extractor_class in .*expected .*FlattenExtractor",
        ),
    ],
)
def test_what_a_zip_does_not_tell_is_refused_until_it_is_said(policy, message: str, tmp_path: Path) -> None:
    model = _saved(PPO, tmp_path / "m.zip", policy_kwargs=policy)
    with pytest.raises(BadInput, match=message):
        load_agent(f"ppo:{tmp_path}/m.zip")
    if "activation_fn" in policy:
        said = load_agent(f"ppo:{tmp_path}/m.zip?activation=relu").zipped
        assert said is not None
        assert said.activation == "relu"
    assert model.num_timesteps == 0


class CustomPolicy(ActorCriticPolicy):
    """Acts as it likes."""


def test_a_policy_class_of_somebody_is_refused(tmp_path: Path) -> None:
    PPO(CustomPolicy, gymnasium.make("Swimmer-v5")).save(tmp_path / "m.zip")
    with pytest.raises(BadInput, match=r"policy class in .*expected a policy of stable_baselines3\.common\.policies;"):
        load_agent(f"ppo:{tmp_path}/m.zip")
    SAC("MlpPolicy", gymnasium.make("Swimmer-v5"), buffer_size=10).save(tmp_path / "sac.zip")
    with pytest.raises(BadInput, match=r"policy class in .*expected a policy of sb3_contrib\.tqc\.policies"):
        load_agent(f"tqc:{tmp_path}/sac.zip")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("policy_kwargs", {"net_arch": [64], "scale_twice": True}, "policy_kwargs in .*known to us, got 'scale_twice'"),
        ("policy_kwargs", None, "policy_kwargs in .*expected plain JSON"),
        (
            "action_space",
            {"low": "[-2. -2.]", "high": "[2. 2.]"},
            r"action_space in .*2 numbers from -1 to 1, got 'from \[-2",
        ),
        ("action_space", None, "action_space in"),
        ("observation_space", {"_shape": [2, 4]}, "observation_space in .*expected 8 numbers"),
    ],
)
def test_settings_that_change_actions_are_refused(key: str, value, message: str, tmp_path: Path) -> None:
    _saved(PPO, tmp_path / "m.zip")
    with zipfile.ZipFile(tmp_path / "m.zip") as archive:
        fields = json.loads(archive.read("data"))
    changed = _rewritten(tmp_path / "m.zip", tmp_path / "c.zip", data=json.dumps(fields | {key: value}).encode())
    with pytest.raises(BadInput, match=message) as caught:
        load_agent(f"ppo:{changed}")
    assert "\n" not in str(caught.value)


def test_normalised_observations_are_taken_into_account(tmp_path: Path) -> None:
    around = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Swimmer-v5")]), clip_obs=1.5)
    model = PPO("MlpPolicy", around, n_steps=64, n_epochs=1, device="cpu", seed=0).learn(64)
    model.save(tmp_path / "m.zip")
    v, file = around, tmp_path / "n.npz"
    np.savez(file, mean=v.obs_rms.mean, var=v.obs_rms.var, clip=v.clip_obs, epsilon=v.epsilon)
    observation = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    theirs, _ = model.predict(around.normalize_obs(observation), deterministic=True)
    told = load_agent(f"ppo:{tmp_path}/m.zip?normalize={file}").policy(FORWARD)
    exported = wormwood.export(model, tmp_path / "exported")
    for policy in (told, exported.policy(FORWARD), load_agent(str(tmp_path / "exported")).policy(FORWARD)):
        np.testing.assert_allclose(np.clip(policy.act(observation, {}, None)[0], -1, 1), theirs, atol=1e-6)
    raw = load_agent(f"ppo:{tmp_path}/m.zip?normalize=none").policy(FORWARD).act(observation, {}, None)[0]
    assert np.abs(raw - theirs).max() > 1e-3


@pytest.mark.parametrize("algorithm", [PPO, A2C, TRPO])
def test_a_zip_that_tells_of_normalisation_is_refused_until_it_is_said(algorithm, tmp_path: Path) -> None:
    text = f"{algorithm.__name__.lower()}:{tmp_path}/m.zip"
    model = algorithm("MlpPolicy", VecNormalize(DummyVecEnv([lambda: gymnasium.make("Swimmer-v5")])), n_steps=8)
    model.learn(8).save(tmp_path / "m.zip")
    with pytest.raises(
        BadInput, match=r"normalize in .*m\.zip: expected \?normalize=FILE\.npz .* or \?normalize=none"
    ) as error:
        load_agent(text)
    assert "\n" not in str(error.value)
    assert load_agent(f"{text}?normalize=none").zipped is not None
    algorithm("MlpPolicy", gymnasium.make("Swimmer-v5"), n_steps=8).learn(8).save(tmp_path / "m.zip")
    assert load_agent(text).zipped is not None


def test_statistics_that_are_none_are_one_line_and_run_nothing(tmp_path: Path) -> None:
    _saved(PPO, tmp_path / "m.zip")
    trap, given = tmp_path / "trap", {"mean": np.zeros(8), "var": np.ones(8), "clip": 10.0, "epsilon": 1e-8}
    (tmp_path / "v.pkl").write_bytes(pickle.dumps(_Command(trap)))
    np.savez(tmp_path / "objects.npz", **(given | {"mean": np.array([_Command(trap)], dtype=object)}))
    np.savez(tmp_path / "short.npz", **(given | {"mean": np.zeros(7), "var": np.ones(7)}))
    np.savez(tmp_path / "missing.npz", mean=given["mean"])
    np.savez(tmp_path / "nan.npz", **(given | {"mean": np.full(8, np.nan)}))
    np.savez_compressed(tmp_path / "bomb.npz", **(given | {"mean": np.zeros(10**6)}))
    os.mkfifo(tmp_path / "fifo.npz")
    for name in ("v.pkl", "objects.npz", "short.npz", "missing.npz", "nan.npz", "bomb.npz", "fifo.npz", "none.npz"):
        with pytest.raises(BadInput, match=f"normalize in .*{name}: expected") as caught:
            load_agent(f"ppo:{tmp_path}/m.zip?normalize={tmp_path}/{name}")
        assert "\n" not in str(caught.value)
    assert not trap.exists()


def test_zips_that_would_fill_the_memory_or_never_end_are_refused(tmp_path: Path) -> None:
    model = _saved(PPO, tmp_path / "m.zip")
    os.mkfifo(tmp_path / "fifo.zip")
    endless = {**model.policy.state_dict(), "action_net.weight": torch.zeros(1).expand(2**20, 2**20)}
    torch.save(endless, tmp_path / "p.pth")
    _rewritten(tmp_path / "m.zip", tmp_path / "e.zip", **{"policy.pth": (tmp_path / "p.pth").read_bytes()})
    _rewritten(tmp_path / "m.zip", tmp_path / "deep.zip", data=b"[" * 10**5)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("policy.pth", bytes(100))
        archive.writestr("data", bytes(2**26 + 1))
    numbers = torch.zeros(2**22)
    for name, state, options in (
        ("shared", {f"critic.{k}": numbers[k:] for k in range(70)}, {}),
        ("old", {}, {"_use_new_zipfile_serialization": False}),
    ):
        torch.save(model.policy.state_dict() | state, tmp_path / "p.pth", **options)
        _rewritten(tmp_path / "m.zip", tmp_path / f"{name}.zip", **{"policy.pth": (tmp_path / "p.pth").read_bytes()})
    for name, message in {
        "shared.zip": "got 'tensors of more than 1073741824 bytes'",
        "old.zip": "unreadable zip in .*old.zip: .*not a zip file",
        "fifo.zip": "no regular file",
        "e.zip": "tensor action_net.weight of shape .* with fewer numbers",
        "deep.zip": "recursion",
        "bomb.zip": "got 'data of more than 67108864 bytes'",
    }.items():
        with pytest.raises(BadInput, match=message) as caught:
            load_agent(f"ppo:{tmp_path}/{name}")
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="unreadable zip"):
        load_agent("ppo:/dev/zero")


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_zip_is_refused_or_acts_as_before(seed: int, tmp_path: Path) -> None:
    model = PPO("MlpPolicy", gymnasium.make("Swimmer-v5"), seed=1, policy_kwargs={"net_arch": [4]})
    model.save(tmp_path / "m.zip")
    honest = (tmp_path / "m.zip").read_bytes()
    before = load_agent(f"ppo:{tmp_path}/m.zip").zipped
    assert before is not None
    rng = np.random.default_rng(seed)
    for _ in range(100):
        data = bytearray(honest)
        at = int(rng.integers(len(data)))
        match rng.integers(3):
            case 0:
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                del data[at:]
            case _:
                data[at : at + int(rng.integers(1, 200))] = rng.bytes(int(rng.integers(0, 200)))
        (tmp_path / "d.zip").write_bytes(bytes(data))
        try:
            after = load_agent(f"ppo:{tmp_path}/d.zip").zipped
        except BadInput as error:
            assert "\n" not in str(error)
            continue
        assert after is not None
        assert (after.activation, after.squashes, after.bound) == ("tanh", False, None)
        for name, values in before.weights.items():
            np.testing.assert_array_equal(after.weights[name], values)


@pytest.mark.parametrize(
    ("algorithm", "policy"), [(PPO, "NCAPPolicy"), (A2C, "NCAPPolicy"), (TD3, "NCAPTD3Policy"), (SAC, "NCAPSACPolicy")]
)
def test_an_exported_circuit_acts_as_its_model_and_does_without_normalised_observations(
    algorithm, policy: str, tmp_path: Path
) -> None:
    options = {} if policy == "NCAPPolicy" else {"buffer_size": 100, "learning_starts": 4}
    swimmers = wormwood.make_swimmers("swimmer-4", 2)
    model = algorithm(getattr(wormwood, policy), swimmers, device="cpu", seed=0, **options)
    agent = wormwood.export(model, tmp_path / "circuit")
    loaded = load_agent(str(tmp_path / "circuit"))
    assert agent.spec == loaded.spec
    observation = swimmers.reset()
    for _ in range(5):
        theirs, _ = model.predict(observation, deterministic=True)
        ours, _, _ = loaded.policy(loaded.spec).act(observation, {}, None)
        np.testing.assert_allclose(np.clip(ours, -1, 1), theirs, atol=2e-6)
        observation = swimmers.step(theirs)[0]
    with pytest.raises(BadInput, match="VecNormalize in environments: expected norm_obs=False"):
        algorithm(getattr(wormwood, policy), VecNormalize(swimmers), device="cpu", seed=0, **options)


def test_what_cannot_be_exported_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"model in export: expected one of ppo, .*, got 'DQN'"):
        wormwood.export(DQN("MlpPolicy", "CartPole-v1", buffer_size=10), tmp_path / "a")
    with pytest.raises(BadInput, match=r"sizes in model PPO: .*got '3 inputs to 1 outputs'|action_space"):
        wormwood.export(PPO("MlpPolicy", "Pendulum-v1"), tmp_path / "a")
    assert not (tmp_path / "a").exists()
