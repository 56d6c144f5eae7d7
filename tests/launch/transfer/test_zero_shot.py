"""One agent on one body: what is measured, and that it is the same wherever and whenever it is."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from wormwood.envs.bodies import load_body, swimmer
from wormwood.envs.randomness import evaluation_streams
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.launch.run.agent_files import load_agent
from wormwood.launch.run.evaluation import evaluate, record_poses
from wormwood.launch.transfer.execution import OutcomeFiles, measure
from wormwood.launch.transfer.zero_shot import EvaluationJob, Outcome, run_job

SHORT = Swim(horizon=40)


def test_returns_and_speeds_are_those_of_an_evaluation() -> None:
    agent, spec = load_agent("ncap"), SwimmerSpec(load_body("head-lesion"), SHORT)
    outcome, expected = (
        run_job(EvaluationJob(agent, spec, starts=13, seed=2)),
        evaluate(agent, spec, episodes=13, seed=2),
    )
    np.testing.assert_array_equal(outcome.returns, expected.returns)
    np.testing.assert_array_equal(outcome.speeds, expected.speeds)
    # 40 control steps of 0.03 s.
    np.testing.assert_allclose(outcome.distance, expected.speeds * 1.2)


def test_poses_are_those_of_the_first_start() -> None:
    agent, spec = load_agent("ncap"), SwimmerSpec(load_body("stiff-middle"), Swim(horizon=250))
    poses, _ = record_poses(agent, spec, steps=250)
    np.testing.assert_array_equal(run_job(EvaluationJob(agent, spec, starts=1)).poses, poses[::100][:3])


def test_work_is_torque_times_change_of_angle() -> None:
    # Played again by hand: one environment of ten, all at full action but for the dead motor.
    body = swimmer(4, lesioned=[1], gear=[1e-4, 2e-4, 3e-4])
    agent, spec = load_agent("random"), SwimmerSpec(body, Swim(horizon=3))
    outcome = run_job(EvaluationJob(agent, spec, starts=1))
    simulation = spec.simulate(10, streams=evaluation_streams(0))
    policy, observation, work = agent.policy(spec), simulation.reset(), 0.0
    for _ in range(2):  # the step in which the episode ends is left out
        before = simulation.physics.readings.joint_angles[0].copy()
        action, _, _ = policy.act(observation, {}, None)
        observation = simulation.step(action).observation
        turned = simulation.physics.readings.joint_angles[0] - before
        work += abs(1e-4 * action[0, 0] * turned[0]) + abs(3e-4 * action[0, 2] * turned[2])
    assert outcome.work[0] == pytest.approx(work)


def test_no_action_is_no_work() -> None:
    outcome = run_job(EvaluationJob(load_agent("zero"), SwimmerSpec(swimmer(5), SHORT)))
    assert outcome.work == (0.0,) * 10


def test_an_unstable_simulation_still_has_an_outcome() -> None:
    spec = SwimmerSpec(swimmer(4, gear=1e9), Swim(horizon=50))
    outcome = run_job(EvaluationJob(load_agent("random"), spec, starts=2))
    assert np.isfinite([*outcome.returns, *outcome.speeds, *outcome.work, *outcome.distance]).all()


def _jobs() -> list[EvaluationJob]:
    specs = [SwimmerSpec(swimmer(links), SHORT) for links in (3, 6)]
    return [EvaluationJob(load_agent(name), spec, starts=3) for name in ("ncap", "random") for spec in specs]


def test_outcomes_do_not_depend_on_who_measures_them(tmp_path: Path) -> None:
    alone = measure(_jobs(), tmp_path / "alone")
    assert measure(_jobs(), tmp_path / "together", workers=2) == alone
    assert [run_job(job) for job in _jobs()] == alone


def test_what_is_finished_is_not_measured_again(tmp_path: Path) -> None:
    jobs, told = _jobs(), []
    first = measure(jobs[:2], tmp_path)
    mark = dataclasses.replace(first[0], returns=(1.0, 2.0, 3.0))
    OutcomeFiles(tmp_path).write(jobs[0], mark)
    outcomes = measure(jobs, tmp_path, progress=told.append)
    assert outcomes[:2] == [mark, first[1]]
    assert told == [2, 3, 4]
    # Half a file, or one with too few starts, is none.
    for damaged in ("{", json.dumps({"outcome": {"returns": [1.0], "poses": []}}), "[]"):
        (tmp_path / f"{jobs[0].key}.json").write_text(damaged)
        assert OutcomeFiles(tmp_path).read(jobs[0]) is None
    assert measure(jobs, tmp_path)[0] == first[0]


def test_outcomes_come_back_from_their_files_to_the_bit(tmp_path: Path) -> None:
    files = OutcomeFiles(tmp_path)
    for job in (_jobs()[0], dataclasses.replace(_jobs()[1], starts=1)):
        outcome = run_job(job)
        files.write(job, outcome)
        assert files.read(job) == outcome
    files.write(job, Outcome(reason="because"))
    assert files.read(job) == Outcome(reason="because")


def test_a_key_names_everything_that_matters() -> None:
    job = _jobs()[0]
    body = dataclasses.replace(job.spec.body, density=1000.0)
    others = [
        dataclasses.replace(job, starts=4),
        dataclasses.replace(job, seed=1),
        dataclasses.replace(job, pad=True),
        dataclasses.replace(job, spec=SwimmerSpec(body, SHORT)),
        dataclasses.replace(job, spec=SwimmerSpec(job.spec.body, Swim(horizon=41))),
        dataclasses.replace(job, agent=load_agent("zero")),
        dataclasses.replace(job, agent=dataclasses.replace(job.agent, weights={"prop": np.array(2.0)})),
    ]
    assert len({job.key, *(other.key for other in others)}) == 8
    assert _jobs()[0].key == job.key
