"""Agents, tasks and learners of the user's: trained, sent to workers, gone on with, and refused in strangers' files."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import wormwood
from wormwood.agents.policies.table import initial_weights, make_policy
from wormwood.envs.randomness import training_streams
from wormwood.errors import BadInput
from wormwood.launch.run.custom_code import Packed, opened, own_folders, pack, source_files
from wormwood.launch.run.settings import load_config
from wormwood.launch.run.trust import recall, remember

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this user trusts is kept in the test's own folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def _wormwood(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wormwood", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


def _summary(*words: object) -> dict:
    done = _wormwood("train", *words, "--json", "--set", "evaluation_episodes=1")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SLOW = pytest.mark.slow  # a dozen seconds each, as the one that is not


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW) for name in ("own_agent", "own_task", "own_learner")])
def test_the_examples_train_with_workers_and_go_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    file, quick = EXAMPLES / f"{name}.yaml", ["--set", "task_options.horizon=40"]
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 50
    whole = _summary(file, "--out", tmp_path / "whole", "--set", "iterations=2", "--workers", "2", *quick)
    _summary(file, "--out", tmp_path / "part", "--set", "iterations=1", *quick)
    resumed = _summary("--resume", "--out", tmp_path / "part", "--set", "iterations=2")
    assert resumed["state_sha256"] == whole["state_sha256"]


def test_an_agent_of_ones_own_is_evaluated_transferred_and_inspected(tmp_path: Path) -> None:
    run = tmp_path / "wave"
    _summary(EXAMPLES / "own_agent.yaml", "--out", run, "--set", "iterations=1", "--set", "task_options.horizon=40")
    status = _wormwood("status", run, "--json")
    assert json.loads(status.stdout)["agent"] == "own_agent:Wave"
    done = _wormwood("evaluate", run, "--body", "swimmer-6", "swimmer-12", "--episodes", 1, "--json")
    assert [row["body"] for row in json.loads(done.stdout)["results"]] == ["swimmer-6", "swimmer-12"]
    suite = tmp_path / "suite.yaml"
    suite.write_text("task_options: {horizon: 40}\nbodies:\n- {body: swimmer-6, label: home}\n")
    words = ["transfer", run, "--suite", suite, "--seeds", 1, "--json", "--workers", 1, "--out", tmp_path / "report"]
    done = _wormwood(*words)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"][0]["agent"] == "wave"
    assert _wormwood("inspect", run).returncode == 0


def test_a_strangers_agent_is_refused_until_its_class_is_trusted(tmp_path: Path) -> None:
    flag = tmp_path / "it-ran"
    for part in ("own_agent.py", "own_agent.yaml"):
        shutil.copy(EXAMPLES / part, tmp_path)
    module = tmp_path / "own_agent.py"
    run = tmp_path / "wave"
    quick = ["--set", "iterations=1", "--set", "task_options.horizon=40"]
    _summary(tmp_path / "own_agent.yaml", "--out", run, *quick)
    stranger = tmp_path / "elsewhere"
    shutil.copytree(run, stranger / "run")
    shutil.copy(module, stranger / "own_agent.py")
    with (stranger / "own_agent.py").open("a") as file:
        file.write(f"\n\nopen({str(flag)!r}, 'w').close()\n")
    agent = Path("run", "agent")
    for words in (["evaluate", agent], ["evaluate", "run"], ["inspect", agent], ["train", "--resume", "--out", "run"]):
        done = _wormwood(*words, cwd=stranger)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "--trust own_agent:Wave" in done.stderr
    assert _wormwood("status", "run", cwd=stranger).returncode == 0
    assert not flag.exists()
    done = _wormwood("evaluate", agent, "--episodes", 1, "--trust", "own_agent:Wave", cwd=stranger)
    assert done.returncode == 0, done.stderr
    assert flag.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("agent.kind=own_agent:Wav", "nearest: 'Wave'"),
        ("agent.kind=own_agnt:Wave", "nearest: 'own_agent'"),
        ("agent.perod=3", "unknown key agent.perod"),
        ("agent.period=-3", "agent.period in .*greater than 0"),
        ("task=own_agent:Wave", "task own_agent:Wave in kind: expected a class with the methods layout"),
        ("learner.kind=own_agent:Wave", "expected a class with the methods __init__"),
        ("family=own_agent:Wave", "task family own_agent:Wave in kind: expected a class with the methods draw"),
    ],
)
def test_a_configuration_says_what_does_not_fit(change: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        load_config(str(EXAMPLES / "own_agent.yaml"), overrides=[change])


def test_what_names_no_class_of_the_users_is_sent_as_it_is() -> None:
    plan = load_config("swim-ncap-cma").plan
    assert pack(plan) is plan
    packed = pack(load_config(str(EXAMPLES / "own_task.yaml")).plan)
    assert isinstance(packed, Packed)
    assert packed.shards == 2
    assert opened(packed).spec.task.target == 0.1


def test_too_much_source_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text("x = 1")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "not_a_package.py").write_text("")
    assert sorted(source_files([tmp_path])) == ["own.py", "package/__init__.py"]
    monkeypatch.setattr("wormwood.launch.run.custom_code.MOST_FILES", 1)
    with pytest.raises(BadInput, match="expected at most 1 Python files"):
        source_files([tmp_path])


OTHER_SIZE = """
from dataclasses import dataclass
import numpy as np
from wormwood.envs.tasks import Swim

@dataclass(frozen=True)
class Fixed(Swim):
    name: str = "fixed"
    def observe(self, readings, joints, goal, steps):
        return super().observe(readings, joints, goal, steps)[:, :24]
"""


def test_a_task_whose_observation_has_another_size_on_another_body_is_refused(tmp_path: Path) -> None:
    (tmp_path / "fixed_task.py").write_text(OTHER_SIZE)
    preset = tmp_path / "fixed.yaml"
    preset.write_text((EXAMPLES / "own_task.yaml").read_text().replace("own_task:SwimBackwards", "fixed_task:Fixed"))
    config = load_config(str(preset), overrides=["task_options={}"])
    config.spec.simulate(2, streams=training_streams(0)).reset()
    config = load_config(str(preset), overrides=["task_options={}", "body=swimmer-8"])
    with pytest.raises(
        BadInput,
        match=r"observation in body swimmer-8, task fixed: expected an array of shape \(2, 32\)",
    ):
        config.spec.simulate(2, streams=training_streams(0)).reset()


def test_an_agent_that_acts_in_another_shape_is_refused() -> None:
    config = load_config(str(EXAMPLES / "own_agent.yaml"))
    weights = initial_weights(config.agent, config.spec, np.random.default_rng(0))
    weights["delay"] = np.zeros((3, 7))
    with pytest.raises(BadInput, match="on swimmer-6: expected it to act on 24 numbers, got 'ValueError"):
        make_policy(config.agent, weights, config.spec)


def test_runs_that_begin_at_once_are_each_remembered_and_a_new_one_replaces_the_old(tmp_path: Path) -> None:
    places = [str(tmp_path / f"run-{k}") for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda place: remember(place, [f"own:{Path(place).name[-1]}"], tmp_path), places))
    assert [recall(place)[0] for place in places] == [[f"own:{k}"] for k in range(8)]
    assert recall(f"{places[3]}/agent") == (["own:3"], tmp_path)
    assert recall(f"{places[3]}/other") == ([], Path())
    remember(places[3], [], tmp_path)
    assert recall(places[3]) == ([], Path())


def test_a_home_that_cannot_be_written_does_not_stop_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    remember("run", ["own:Wave"], tmp_path)
    assert recall("run") == ([], Path())


def test_code_of_a_container_is_the_users_and_packages_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("own_in_usr")
    module.__file__ = f"{sys.prefix}/src/own_in_usr.py"
    monkeypatch.setitem(sys.modules, "own_in_usr", module)
    assert own_folders(["own_in_usr", "numpy.linalg", "json", "wormwood.envs"]) == {
        "own_in_usr": Path(sys.prefix, "src").resolve()
    }


OWN_ENVIRONMENT = """
import gymnasium
import numpy as np

class Table(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(-9, 9, (2,)), gymnasium.spaces.Discrete(2)

    def __init__(self, file):
        self.values = np.loadtxt(file, dtype=np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.values.copy(), {}

    def step(self, action):
        return self.values.copy(), float(action), False, False, {}

class Double(gymnasium.ObservationWrapper):
    def observation(self, observation):
        return observation * 2

gymnasium.register("Table-v0", Table, max_episode_steps=8)
"""
ENVIRONMENT = """
agent: {kind: mlp, hidden: [4]}
learner: {kind: openai-es, population: 4, starts: 1}
iterations: 2
shards: 2
environment: own_table:Table-v0
environment_options: {file: ./table.txt}
environment_wrappers: [own_table:Double]
evaluation_episodes: 1
"""


def test_an_environment_of_ones_own_goes_to_workers_and_is_refused_in_a_strangers_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("code", "here", "there"):
        (tmp_path / folder).mkdir()
    (tmp_path / "code" / "own_table.py").write_text(OWN_ENVIRONMENT)
    (tmp_path / "code" / "own.yaml").write_text(ENVIRONMENT)
    monkeypatch.chdir(tmp_path / "here")
    Path("table.txt").write_text("0.5 -1.5")
    runs = [wormwood.train(tmp_path / "code" / "own.yaml", out=f"run-{k}", workers=k) for k in (0, 1)]
    assert runs[0]["state_sha256"] == runs[1]["state_sha256"]
    assert load_config(Path("run-0", "config.yaml").as_posix()).spec.options == {
        "file": str(Path("table.txt").resolve())
    }
    # Its maker goes on with it and evaluates it from any folder; in another's hands it has to be trusted.
    monkeypatch.chdir(tmp_path / "there")
    assert wormwood.evaluate("../here/run-0").returns.mean() == runs[0]["return_mean"]
    shutil.copytree(tmp_path / "here" / "run-0", "run")
    for trust in ([], ["own_table:Table-v0"], ["own_table:Double"], ["own_tabl"]):
        with pytest.raises(BadInput, match=r"code that is not ours .*: add --trust own_table:"):
            wormwood.evaluate("run", trust=trust)
    for trust in (["own_table"], ["own_table:Table-v0", "own_table:Double"]):
        assert wormwood.evaluate("run", trust=trust).returns.mean() == runs[0]["return_mean"]
    (tmp_path / "here" / "table.txt").unlink()
    with pytest.raises(BadInput, match=r"environment_options.file \(FileNotFoundError: .*here/table.txt not found"):
        wormwood.evaluate("../here/run-0")
