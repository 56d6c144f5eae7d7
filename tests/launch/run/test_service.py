"""The learner service: many learners, each as if it were alone, and nothing learned twice."""

from pathlib import Path

import numpy as np
import pytest

from wormwood.errors import BadInput
from wormwood.launch.run.executors import InProcessExecutor
from wormwood.launch.run.service import LearnerService


def _advance(service: LearnerService, name: str, config, iterations: int) -> None:
    executor = InProcessExecutor(config.plan)
    for _ in range(iterations):
        service.receive(name, *executor.start(service.request(name)).result())
        service.update(name)


def test_learners_side_by_side_are_as_if_alone(tmp_path: Path, make_config) -> None:
    configs = {"a": make_config("ppo"), "b": make_config("mlp-ppo"), "c": make_config("cma-es")}
    together = LearnerService()
    for name, config in configs.items():
        together.create(name, config, tmp_path / name)
    for _ in range(2):
        for name, config in configs.items():
            _advance(together, name, config, 1)
    for name, config in configs.items():
        alone = LearnerService()
        alone.create(name, config, tmp_path / "alone" / name)
        _advance(alone, name, config, 2)
        assert alone.state_sha256(name) == together.state_sha256(name)


def test_only_the_whole_iteration_is_learned_and_only_once(tmp_path: Path, make_config) -> None:
    config, service = make_config("ppo"), LearnerService()
    service.create("run", config, tmp_path)
    rollouts = InProcessExecutor(config.plan).start(service.request("run")).result()
    before = service.state_sha256("run")
    for wrong in (rollouts[:3], rollouts[::-1], [*rollouts, rollouts[0]], []):
        with pytest.raises(ValueError, match="expected each shard of iteration 0 once, in order"):
            service.receive("run", *wrong)
    with pytest.raises(ValueError, match="iteration 0 has not been received"):
        service.update("run")
    assert service.state_sha256("run") == before
    service.receive("run", *rollouts)
    with pytest.raises(ValueError, match="expected each shard of iteration 1 once"):
        service.receive("run", *rollouts)
    with pytest.raises(ValueError, match="between an update and the next receipt"):
        service.save("run")
    metrics = service.update("run").metrics
    # 8 environments, 32 steps.
    assert (metrics["iteration"], metrics["steps"]) == (1, 256)
    with pytest.raises(ValueError, match="expected each shard of iteration 1 once"):
        service.receive("run", *rollouts)


@pytest.mark.parametrize(
    "kind", ["cma-es", "ppo", "mlp-es", "cart-pole", "td3", "sac", "boosted", "rl2", "kickstart", "two-memories"]
)
def test_it_goes_on_from_its_checkpoint(kind: str, tmp_path: Path, make_config) -> None:
    config, first, second = make_config(kind), LearnerService(), LearnerService()
    first.create("run", config, tmp_path)
    _advance(first, "run", config, 2)
    first.save("run")
    first.save("run")  # the second time there is nothing to do
    progress = second.create("run", config, tmp_path)
    assert (progress.iteration, progress.notes) == (2, ())
    assert second.state_sha256("run") == first.state_sha256("run")
    for service in (first, second):
        _advance(service, "run", config, 1)
    assert second.state_sha256("run") == first.state_sha256("run")


def test_names_and_configurations_are_not_mixed_up(tmp_path: Path, make_config) -> None:
    service = LearnerService()
    service.create("run", make_config("cma-es"), tmp_path)
    service.save("run")
    with pytest.raises(BadInput, match="checkpoint of another configuration"):
        service.create("run", make_config("cma-es", "seed=1"), tmp_path)


@pytest.mark.parametrize("kind", ["cma-es", "cart-pole", "ppo"])
def test_a_state_of_another_version_is_refused_in_one_line(kind: str, tmp_path: Path, make_config, monkeypatch) -> None:
    service = LearnerService()
    service.create("run", make_config(kind), tmp_path)
    learner = type(service._runs["run"].learner)
    with monkeypatch.context() as older:
        older.setattr(learner, "state", lambda self: {"policy/of/another/version": np.zeros(2)})
        service.save("run")
    with pytest.raises(BadInput, match=r"^checkpoint in .*step-0: expected what learner .* of this version") as refused:
        LearnerService().create("run", make_config(kind), tmp_path)
    assert "\n" not in str(refused.value)
