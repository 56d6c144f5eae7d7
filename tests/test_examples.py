"""The README's commands and the examples run as they are written."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest
import yaml
from stable_baselines3.common.policies import BasePolicy

import wormwood.envs  # noqa: F401 # registers the environments

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _run(command: list[str], cwd: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def _python(script: str, *arguments: str, cwd: Path) -> str:
    return _run([sys.executable, str(ROOT / "examples" / script), *arguments], cwd)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_commands_of_the_readme_run_one_after_the_other(tmp_path: Path) -> None:
    lines = [line for block in _blocks("bash") for line in block.splitlines() if line.startswith("wormwood ")]
    # Clusters are started by tests/launch/clusters, in a network of their own.
    lines = [line for line in lines if not line.startswith("wormwood cluster")]
    assert len(lines) >= 6
    for line in lines:
        _run(["bash", "-c", line], tmp_path)
    for made in ("runs/worm/curve.png", "worm.gif", "circuit/circuit.png", "runs/transfer/report.html"):
        assert (tmp_path / made).is_file()


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    blocks = _blocks("python")
    assert len(blocks) == 2
    for block in blocks:
        shorter = block.replace("model.learn(20_000)", "model.learn(2_000)")
        assert shorter != block
        _run([sys.executable, "-c", shorter], tmp_path)


def test_the_readme_names_only_files_that_exist() -> None:
    links = re.findall(r"\]\(((?!https?:)[^)#]+)\)", README)
    assert len(links) >= 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_boosted_example_learns_and_explains(tmp_path: Path) -> None:
    shown = _python("stable_baselines3_boosted.py", "--steps", "8192", cwd=tmp_path)
    assert "32 trees balance for" in shown  # 8 rollouts of 64 minibatches, 16 to a tree
    assert shown.count("moves the preference") == 4


@pytest.mark.slow
def test_the_demo_trains_compares_and_says_where_everything_is(tmp_path: Path) -> None:
    short = ["--workers", "0", "--iterations", "1", "--episodes", "1", "--out", "d"]
    shown = _python("demo.py", *short, cwd=tmp_path)
    assert "NCAP, trained" in shown
    assert "never seen" in shown
    for made in ("swim.gif", "curve.png", "circuit.png", "agent/agent.json"):
        assert (tmp_path / "d" / made).is_file()
        assert f"d/{made.split('/')[0]}" in shown
    assert "NCAP, trained" in _python("demo.py", *short, cwd=tmp_path), "it can be run again"


@pytest.mark.slow
def test_the_demo_as_make_runs_it(tmp_path: Path) -> None:
    shown = _python("demo.py", cwd=tmp_path)
    trained = next(line for line in shown.splitlines() if "NCAP, trained" in line)
    untrained = next(line for line in shown.splitlines() if "NCAP, untrained" in line)
    home = [int(re.findall(r"(\d+) ±", line)[0]) for line in (untrained, trained)]
    assert home[1] > home[0] + 50


def test_the_stable_baselines3_example(tmp_path: Path) -> None:
    shown = _python("stable_baselines3_ncap.py", "--steps", "2048", cwd=tmp_path)
    assert [line.split()[0] for line in shown.splitlines()] == [
        "untrained",
        "trained",
        "contra",
        "ipsi",
        "osc",
        "prop",
        "period",
    ]


def test_the_own_body_example(tmp_path: Path) -> None:
    assert "my-body: return" in _python("own_body.py", cwd=tmp_path)
    assert (tmp_path / "my-body/swim.png").is_file()


def test_the_accelerated_example(tmp_path: Path) -> None:
    shown = _python("stable_baselines3_accelerated.py", "--steps", "2048", cwd=tmp_path)
    assert "accelerate: 4096 steps" in shown and "times as fast" in shown
    assert "PPO.load('pendulum') is PPO again" in shown


def test_the_distributed_example(tmp_path: Path) -> None:
    shown = _python("stable_baselines3_distributed.py", "--steps", "4096", "--workers", "0", cwd=tmp_path)
    assert "after 4096 steps with 0 workers" in shown
    assert "PPO.load('swimmer') is PPO again" in shown


@pytest.mark.parametrize("algorithm", ["ppo", "sac"])
def test_the_files_for_rl_zoo3_name_environments_and_policies_that_are_there(algorithm: str) -> None:
    settings = yaml.safe_load((ROOT / f"examples/rl_zoo3/{algorithm}.yml").read_text(encoding="utf-8"))
    assert "Swim6-v0" in settings
    for name, values in settings.items():
        assert name in gymnasium.registry
        module, _, policy = values["policy"].rpartition(".")
        assert policy == "MlpPolicy" or issubclass(getattr(importlib.import_module(module), policy), BasePolicy)


def test_the_recurrent_ppo_example(tmp_path: Path) -> None:
    shown = _python("recurrent_ppo_bandit.py", "--steps", "20000", cwd=tmp_path)
    rows = [line.rsplit(maxsplit=1) for line in shown.splitlines()[1:]]
    values = {name: float(value) for name, value in rows}
    assert list(values) == ["untrained", "trained", "Thompson sampling", "Bayes-optimal"]
    assert 5.7 < values["Thompson sampling"] < 5.95
    assert values["Bayes-optimal"] == 6.66
