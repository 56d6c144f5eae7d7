"""How far it is from the command line to MuJoCo."""

import sys
from types import FrameType

import pytest
from mujoco.batch import Batch

from wormwood.launch.cli.main import main

MOST = 9


def test_few_calls_lie_between_the_command_and_the_physics(monkeypatch: pytest.MonkeyPatch) -> None:
    chains, step = [], Batch.step

    def watched(*arguments: object, **options: object) -> object:
        if not chains:
            chains.append(_calls(sys._getframe(1)))
        return step(*arguments, **options)

    monkeypatch.setattr(Batch, "step", watched)
    small = ("iterations=1", "shards=1", "learner.steps=2", "evaluation_episodes=1")
    overrides = [word for setting in small for word in ("--set", setting)]
    assert main(["train", "swim-ncap-ppo", "--json", "--out", "run", *overrides]) == 0
    (chain,) = chains
    assert chain[0] == "wormwood.launch.cli.main.main", chain
    assert "wormwood.launch.run.rollouts.RolloutWorker.rollout" in chain, "the first steps are of the training"
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
