"""Settings that do nothing are refused when a run begins; those that do something are taken."""

import dataclasses
from typing import Any

import pytest

from wormwood.configs.idle_settings import default_of
from wormwood.configs.yaml_files import preset_names
from wormwood.errors import BadInput
from wormwood.launch.run.settings import load_config, parse_config

NAVIGATE = ["task=navigate", "agent.turn_control=true"]
IDLE = [
    # Circuits: what a synapse that is not there, a clock that nothing reads, or evolution would make of it.
    ("swim-ncap-es", ["agent.steering=learned"], "steering in agent ncap: expected 'fixed' unless turn_control and"),
    ("swim-ncap-es", [*NAVIGATE, "agent.steering=learned"], "steering"),
    ("swim-ncap-es", ["task=navigate"], "turn_control in agent ncap: expected true: task navigate commands a target"),
    ("swim-ncap-es", ["task=navigate", "agent.speed_control=true"], "turn_control"),
    (
        "swim-ncap-es",
        ["task=swim-speed"],
        "speed_control in agent ncap: expected true: task swim-speed commands a speed",
    ),
    (
        "swim-ncap-es",
        ["agent.turn_control=true"],
        "turn_control in agent ncap: expected False unless the task commands",
    ),
    ("swim-ncap-es", ["task=swim-speed", "agent.speed_control=true", "agent.turn_control=true"], "turn_control"),
    ("swim-ncap-es", ["agent.speed_control=true"], "speed_control"),
    ("swim-ncap-es", ["agent.turn_joints=2"], "turn_joints"),
    ("swim-ncap-es", ["agent.full_speed=0.1"], "full_speed"),
    ("swim-ncap-es", ["agent.phase_lag=0.3"], "phase_lag"),
    ("swim-ncap-es", ["agent.reach=0.5"], "reach"),
    ("swim-ncap-es", ["agent.bounds={own: [0.1, 1]}"], "bounds in agent ncap: expected {} unless they are of what is"),
    ("swim-ncap-es", ["agent.bounds={period: [15, 150]}"], "bounds"),
    ("swim-ncap-es", ["agent.constraint=straight_through"], "constraint"),
    ("swim-ncap-es", ["agent.oscillator=false", "agent.bounds={}", "agent.period=50"], "period"),
    ("swim-ncap-es", ["agent.oscillator=false", "agent.bounds={}", "agent.patience=1"], "patience"),
    ("swim-ncap-cma", ["agent.body_periods={swimmer-6: 40}"], "learn_period in agent ncap: expected False unless"),
    ("swimmer-bodies-3-modulated", ["agent.circuit.turn_control=true"], "circuit.turn_control in agent modulated-ncap"),
    ("swimmer-bodies-3-modulated", ["agent.circuit.reach=0.5"], "reach in agent modulated-ncap, circuit"),
    ("swimmer-bodies-3-fixed", ["agent.modulated=[osc]"], "modulated"),
    # Other agents.
    (
        "swim-mlp-es",
        ["agent.normalize=false"],
        "normalize in agent mlp: expected True unless the learner follows gradients",
    ),
    ("swim-boosted-ppo", ["agent.period=50"], "period in agent forest: expected 60.0 unless features is joint"),
    # Learners.
    ("swim-mlp-es", ["device=cuda"], "device in configuration: expected cpu: openai-es learns without"),
    ("swim-boosted-ppo", ["device=cuda"], "device"),
    ("swim-mlp-ppo", ["learner.critic_tree.max_depth=2"], "critic_tree in learner ppo"),
    ("swim-mlp-ppo", ["learner.critic_tree_rate=0.1"], "critic_tree_rate"),
    ("swim-mlp-ppo", ["learner.critic=forest", "learner.critic_hidden=[8]"], "critic_hidden"),
    ("swim-ncap-ppo", ["learner.entropy_coefficient=0.01"], "entropy_coefficient in learner ppo: expected 0.0 unless"),
    (
        "cartpole-mlp-ppo",
        ["learner.noise_std=0.5"],
        "noise_std in learner ppo: expected 0.3 unless actions are numbers",
    ),
    ("cartpole-mlp-ppo", ["learner.learn_noise=true"], "learn_noise"),
    ("cartpole-boosted-ppo", ["learner.noise_std=0.5"], "noise_std"),
    ("cartpole-boosted-ppo", ["learner.boosting.noise_rate=0.5"], "boosting.noise_rate in learner boosted"),
    ("bandit-5-10-rl2", ["learner.noise_std=0.2"], "noise_std"),
    ("swim-boosted-ppo", ["learner.temperature=2"], "temperature in learner boosted: expected 1.0 unless loss is awr"),
    ("swim-boosted-ppo", ["learner.loss=awr", "learner.clip_range=0.3"], "clip_range"),
    ("swim-boosted-ppo", ["learner.critic_hidden=[8]"], "critic_hidden"),
    ("swim-boosted-ppo", ["learner.critic_rate=0.1"], "critic_rate"),
    ("swim-boosted-ppo", ["learner.boosting.distilled_trees=9"], "distilled_trees in learner boosted, boosting"),
    ("swim-boosted-ppo", ["learner.boosting.distilled_rows=9"], "distilled_rows"),
    ("swim-boosted-ppo", ["learner.critic=mlp", "agent.shares_trees=false"], "boosting.value_rate in learner boosted"),
    ("swim-boosted-ppo", ["learner.loss=a2c"], "epochs in learner boosted: expected 4 unless loss is not a2c"),
    ("bandit-5-10-fastslow", ["learner.schedule.feedback=false", "learner.feedback.hidden=9"], "feedback.hidden"),
    ("bandit-5-10-fastslow", ["learner.feedback.name=one"], "feedback.name in learner fast-slow"),
    ("bandit-5-10-fastslow", ["agent={kind: gru}", "learner.schedule.write_rate=0.1"], "schedule.write_rate"),
]
USED = [
    ("swim-ncap-es", [*NAVIGATE, "agent.turn_joints=2"]),
    ("swim-ncap-es", [*NAVIGATE, "agent.speed_control=true", "agent.steering=learned", "agent.full_speed=0.1"]),
    ("swim-ncap-es", ["task=swim-speed", "agent.speed_control=true"]),
    ("swim-mlp-es", ["task=navigate"]),
    (
        "swim-ncap-es",
        ["agent.local_oscillators=true", "agent.phase_lag=0.3", "agent.oscillator=false", "agent.bounds={}"],
    ),
    ("swim-ncap-es", ["agent.patience=1", "agent.reach=0.5"]),
    ("swim-ncap-lame-cma", ["agent.body_periods={head-lesion: 40}"]),
    ("swim-mlp-ppo", ["agent.normalize=false", "learner.entropy_coefficient=0.01"]),
    ("swim-mlp-ppo", ["learner.critic=forest", "learner.critic_tree.max_depth=2", "learner.critic_tree_rate=0.1"]),
    ("swim-mlp-ppo", ["device=auto"]),
    ("swim-boosted-joint-ppo", ["agent.period=50"]),
    ("swim-boosted-ppo", ["learner.loss=awr", "learner.temperature=2"]),
    ("swim-boosted-ppo", ["learner.boosting.max_trees=50", "learner.boosting.distilled_trees=9"]),
    ("bandit-5-10-fastslow", ["learner.feedback.hidden=9", "learner.schedule.write_rate=0.1"]),
    ("bandit-5-10-fastslow", ["learner.memories=2", "learner.feedback.name=one"]),
]


@pytest.mark.parametrize(("preset", "overrides", "message"), IDLE)
def test_a_setting_that_does_nothing_is_refused_in_one_line(preset: str, overrides: list[str], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        load_config(preset, overrides=overrides)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("preset", "overrides"), USED)
def test_the_same_setting_is_taken_where_something_uses_it(preset: str, overrides: list[str]) -> None:
    load_config(preset, overrides=overrides)


@pytest.mark.parametrize("preset", preset_names("train"))
def test_presets_have_no_setting_that_does_nothing_also_written_out_in_full(preset: str) -> None:
    if preset.startswith("minigrid"):
        pytest.importorskip("minigrid")
    config = load_config(preset)
    assert load_config(config.to_mapping()).hash == config.hash


def test_all_settings_that_classes_call_idle_are_fields_of_theirs() -> None:
    for preset in preset_names("train"):
        if preset.startswith("minigrid"):
            pytest.importorskip("minigrid")
        config = load_config(preset)
        for settings in (config.agent, config.learner):
            for path in getattr(settings, "uses", dict)():
                owner: Any = settings
                *outer, name = path.split(".")
                for part in outer:
                    owner = getattr(owner, part)
                assert dataclasses.is_dataclass(owner)
                default_of(type(owner), name)


def test_a_run_that_was_made_with_such_a_setting_goes_on() -> None:
    old = load_config("swim-ncap-es").to_yaml().replace("reach: 0.4", "reach: 0.5")
    assert parse_config(old, where="r/config.yaml").agent.reach == 0.5
