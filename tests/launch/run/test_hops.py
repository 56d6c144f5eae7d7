"""How far it is from the command line to MuJoCo."""

import sys
from types import FrameType

import pytest
from mujoco.batch import Batch

from wormwood.launch.cli.main import main

MOST = 9


@pytest.mark.parametrize(
    ("preset", "small", "worker"),
    [
        ("swim-ncap-ppo", ("shards=1", "learner.steps=2"), "RolloutWorker"),
        ("swim-ncap-cma", ("shards=1", "task_options.horizon=2"), "PopulationWorker"),
    ],
)
def test_few_calls_lie_between_the_command_and_the_physics(
    preset: str, small: tuple[str, ...], worker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chains, step = [], Batch.step

    def watched(*arguments: object, **options: object) -> object:
        if not chains:
            chains.append(_calls(sys._getframe(1)))
        return step(*arguments, **options)

    monkeypatch.setattr(Batch, "step", watched)
    overrides = [word for setting in ("iterations=1", "evaluation_episodes=1", *small) for word in ("--set", setting)]
    assert main(["train", preset, "--json", "--out", "run", *overrides]) == 0
    (chain,) = chains
    assert chain[0] == "wormwood.launch.cli.main.main", chain
    assert f"wormwood.launch.run.rollouts.{worker}.rollout" in chain, "the first steps are of the training"
    assert len(chain) <= MOST, " -> ".join(chain)


def _calls(frame: FrameType | None) -> list[str]:
    """Return the project's calls on the stack, the first one first."""
    calls = []
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("wormwood."):
            calls.append(f"{module}.{frame.f_code.co_qualname}")
        frame = frame.f_back
    return calls[::-1]
