"""Configurations: presets, overrides, full copies, and one line for whatever is wrong."""

import dataclasses

import pytest

from wormwood.agents.learning.evolution.settings import CMAESConfig
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.configs.yaml_files import preset_names
from wormwood.envs.gymnasium_spec import GymnasiumSpec
from wormwood.errors import BadInput
from wormwood.launch.run.settings import load_config, parse_config

SMALL = "agent: {kind: ncap}\nlearner: {kind: cma-es}\niterations: 2\n"


@pytest.mark.parametrize("name", preset_names("train"))
def test_every_preset_is_complete_and_survives_being_written(name: str) -> None:
    config = load_config(name)
    again = parse_config(config.to_yaml(), where="written")
    assert again.to_mapping() == config.to_mapping()
    assert again.plan == config.plan
    plan = config.plan
    assert plan.steps_per_iteration == plan.shards * plan.environments * plan.steps * (1 + len(plan.others))


def test_what_is_left_out_has_defaults_and_types() -> None:
    config = parse_config(SMALL, where="test")
    assert config.agent == NCAPConfig()
    assert config.learner == CMAESConfig()
    # 8 candidates with one start each, in 4 shards of 2 environments, for the 1000 steps of an episode.
    assert (config.plan.shards, config.plan.environments, config.plan.steps, config.plan.population) == (4, 2, 1000, 8)


def test_overrides_reach_any_depth_and_are_yaml() -> None:
    overrides = ["agent.bounds.prop=[0.5, 2]", "body.links=4", "task_options.horizon=50", "learner.sigma=5e-1"]
    config = parse_config(SMALL, where="test", overrides=overrides, seed=7)
    assert isinstance(config.agent, NCAPConfig)
    assert config.agent.bounds == {"prop": (0.5, 2.0)}
    assert (config.spec.body.links, config.spec.task.horizon, config.seed) == (4, 50, 7)
    assert isinstance(config.learner, CMAESConfig)
    assert config.learner.sigma == 0.5


def test_a_body_is_written_in_full_unless_its_name_says_it_all() -> None:
    tapered = parse_config(SMALL, where="test", overrides=["body=tapered"])
    written = tapered.to_mapping()["body"]
    assert written["link_length"] == [0.14, 0.13, 0.11, 0.09, 0.07, 0.06]
    assert parse_config(tapered.to_yaml(), where="written").spec == tapered.spec
    assert parse_config(SMALL, where="test").to_mapping()["body"] == "swimmer-6"


def test_other_bodies_are_written_in_full_too_and_only_evolution_trains_on_them(tmp_path) -> None:
    (tmp_path / "weak.yaml").write_text("links: 6\ngear: 1e-4")
    named = f"other_bodies=[head-lesion, swimmer-8, {tmp_path}/weak.yaml]"
    config = load_config("swim-ncap-cma", overrides=[named])
    (tmp_path / "weak.yaml").unlink()
    assert [other.body.name for other in config.others] == ["head-lesion", "swimmer-8", "weak"]
    assert config.plan.others == config.others
    again = parse_config(config.to_yaml(), where="test")
    assert again.others == config.others
    assert again.hash == config.hash != load_config("swim-ncap-cma").hash
    assert "other_bodies" not in load_config("swim-ncap-cma").to_mapping()
    with pytest.raises(BadInput, match=r"other_bodies .* only evolution trains on several bodies, got 'ppo'"):
        load_config("swim-mlp-ppo", overrides=["other_bodies=[swimmer-6]"])
    with pytest.raises(BadInput, match="no body, other_bodies, task or task_options beside an environment"):
        load_config("swim-mlp-es", overrides=["other_bodies=[swimmer-6]", "environment=Pendulum-v1"])


def test_the_hash_names_what_decides_the_result() -> None:
    config = parse_config(SMALL, where="test")
    assert dataclasses.replace(config, iterations=99, keep_checkpoints=1).hash == config.hash
    for change in ({"seed": 1}, {"shards": 2}, {"body": "swimmer-7"}, {"agent": NCAPConfig(period=50.0)}):
        assert dataclasses.replace(config, **change).hash != config.hash


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("itertions=3", "unknown key itertions in preset p: expected one of agent, .*nearest: 'iterations'"),
        ("agent.perod=3", r"unknown key agent\.perod in preset p: .*nearest: 'period'"),
        ("learner.sgma=3", r"unknown key learner\.sgma in preset p: .*nearest: 'sigma'"),
        (
            "agent.kind=ncp",
            r"agent\.kind in preset p: expected one of ncap, mlp, forest.*, got 'ncp' \(nearest: 'ncap'\)",
        ),
        ("learner={}", r"learner\.kind in preset p: expected one of cma-es, openai-es, ppo, td3.*, got"),
        ("iterations=many", "iterations in preset p: expected a valid integer, .*got 'many'"),
        ("iterations=0", "iterations in preset p: expected greater than or equal to 1, got 0"),
        ("learner.sigma=-1", r"learner\.sigma in preset p: expected greater than 0, got -1"),
        ("learner.population=7.5", r"learner\.population in preset p: expected a valid integer"),
        ("shards=3", "shards in configuration: expected a divisor of the learner's 8 candidates: 1, 2, 4, 8, got 3"),
        ("shards=8", None),
        ("body=swimmer-1", "links in body swimmer-1: expected a whole number .*got 1$"),
        ("body.links=1", "links in configuration, body: expected a whole number .*got 1$"),
        ("body={links: 4, link_mass: -1}", "link_mass in .*: expected one .*number.* or a list of 4.*"),
        ("task=swm", "unknown task in task: .*nearest: 'swim'"),
        ("task_options.horizn=3", "unknown option in task swim: .*nearest: 'horizon'"),
        ("agent.bounds.prp=[1, 2]", "bounds in agent ncap: .*nearest: 'prop'"),
        ("agent.bounds.prop=[2, 1]", r"bounds\.prop in agent ncap: expected two positive numbers, the smaller first"),
        ("agent.period=-60", "period in agent ncap: expected a positive number of control steps.*got -60"),
        ("seed=-1", "seed in preset p: expected greater than or equal to 0, got -1"),
        ("device=gpu", "device in preset p: expected 'auto', 'cpu' or 'cuda', got 'gpu'"),
        ("agent=null", r"agent\.kind in preset p: expected one of ncap, mlp, forest.*, got None"),
        ("body=3", "body in preset p: expected a name, a YAML file, or the fields of a body, got 3"),
        ("iterations", r"override in --set: expected key\.path=value, got 'iterations'"),
        ("iterations=[1", "invalid YAML in --set iterations"),
        ("iterations.deep=1", "override in --set: expected iterations to be a mapping"),
    ],
)
def test_bad_settings_give_one_line(override: str, message: str | None) -> None:
    if message is None:
        parse_config(SMALL, where="preset p", overrides=[override])
        return
    with pytest.raises(BadInput, match=message) as caught:
        parse_config(SMALL, where="preset p", overrides=[override])
    assert "\n" not in str(caught.value)


def test_missing_keys_wrong_files_and_unknown_presets(tmp_path) -> None:
    with pytest.raises(BadInput, match="missing key iterations in test"):
        parse_config("agent: {kind: ncap}\nlearner: {kind: cma-es}\n", where="test")
    with pytest.raises(BadInput, match="YAML in test: expected a mapping"):
        parse_config("- 1\n", where="test")
    with pytest.raises(BadInput, match=r"unknown preset in train: .*nearest: 'swim-ncap-cma'"):
        load_config("swim-ncap-cam")
    with pytest.raises(BadInput, match=r"unreadable preset file in .*none\.yaml"):
        load_config(str(tmp_path / "none.yaml"))
    (tmp_path / "own.yaml").write_text(SMALL)
    assert load_config(str(tmp_path / "own.yaml")).iterations == 2


BOOSTED = "{agent: {kind: forest}, learner: {kind: boosted}, iterations: 1}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("agent.tree.max_dept=3", r"unknown key agent\.tree\.max_dept in p: .*nearest: 'max_depth'"),
        ("learner.boosting.merg=2", r"unknown key learner\.boosting\.merg in p: .*nearest: 'merge'"),
        ("learner.boosting.policy_rate=fast", r"learner\.boosting\.policy_rate in p: expected a valid number"),
        ("learner.boosting.policy_rate={first: 1, last: 0}", "schedule in learning rate: expected both last and trees"),
        ("agent.tree.max_bins=300", r"agent\.tree\.max_bins in p: expected less than or equal to 256, got 300"),
        ("agent.tree={engine: native, device: cuda}", "device in trees: expected cpu under engine native, got 'cuda'"),
        ("environment=CartPole-v1", None),
        ("environment_options={max_episode_steps: 9}", "environment in configuration: expected the id that options"),
    ],
)
def test_bad_settings_within_settings_are_named_by_their_path(override: str, message: str | None) -> None:
    if message is None:
        parse_config(BOOSTED, where="p", overrides=[override])
        return
    with pytest.raises(BadInput, match=message):
        parse_config(BOOSTED, where="p", overrides=[override])


def test_an_environment_takes_the_place_of_body_and_task() -> None:
    overrides = ["environment=CartPole-v1", "environment_options={max_episode_steps: 9}"]
    config = parse_config(BOOSTED, where="p", overrides=overrides)
    assert config.spec == GymnasiumSpec("CartPole-v1", {"max_episode_steps": 9})
    written = config.to_mapping()
    assert not {"body", "task", "task_options"} & written.keys()
    assert parse_config(config.to_yaml(), where="written").hash == config.hash
    assert not {name for name in parse_config(BOOSTED, where="p").to_mapping() if name.startswith("environment")}
    with pytest.raises(BadInput, match="body in configuration: expected no body, other_bodies, task or task_options"):
        parse_config(BOOSTED, where="p", overrides=[*overrides, "body=swimmer-3"])
