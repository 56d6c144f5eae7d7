"""Small configurations that train in a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wormwood.launch.run.run_folder import Run
from wormwood.launch.run.settings import RunConfig, parse_config
from wormwood.launch.run.training import train

EVOLUTION = """
agent: {kind: ncap, learn_period: true}
learner: {kind: cma-es, population: 4, starts: 2}
iterations: 3
body: swimmer-4
task_options: {horizon: 60}
shards: 4
"""
PPO = """
agent: {kind: ncap, constraint: straight_through}
learner: {kind: ppo, environments: 8, steps: 32, batch_size: 64, epochs: 2, actor_rate: 1.0e-2}
iterations: 3
body: swimmer-4
task_options: {horizon: 50}
shards: 4
"""
MLP = PPO.replace("{kind: ncap, constraint: straight_through}", "{kind: mlp, hidden: [16]}")
EVOLVED_MLP = EVOLUTION.replace("{kind: ncap, learn_period: true}", "{kind: mlp, hidden: [8]}").replace(
    "cma-es", "openai-es"
)
CART_POLE = """
agent: {kind: mlp, hidden: [16]}
learner: {kind: ppo, environments: 8, steps: 32, batch_size: 64, epochs: 2, actor_rate: 1.0e-2}
iterations: 3
environment: CartPole-v1
environment_options: {max_episode_steps: 70}
shards: 4
"""
PENDULUM = """
agent: {kind: mlp, hidden: [8]}
learner: {kind: openai-es, population: 4, starts: 2}
iterations: 3
environment: Pendulum-v1
environment_options: {max_episode_steps: 60}
shards: 4
"""
TD3 = """
agent: {kind: ncap, constraint: straight_through}
learner: {kind: td3, environments: 8, steps: 32, batch_size: 32, buffer_size: 600, critic_iterations: 1}
iterations: 3
body: swimmer-4
task_options: {horizon: 50}
shards: 4
"""
SAC = TD3.replace("kind: td3", "kind: sac").replace("critic_iterations: 1", "critic_iterations: 1, critic_hidden: [16]")
MODULATED = """
agent: {kind: modulated-ncap, circuit: {learn_period: true}}
learner: {kind: cma-es, population: 4, starts: 2}
iterations: 3
family: swimmer-bodies
family_options: {links: [3, 5], held_out_links: [4], steps: 10}
trial_episodes: 2
shards: 4
"""
BOOSTED = """
agent: {kind: forest, features: joint, tree: {max_depth: 2}}
learner: {kind: boosted, environments: 8, steps: 32, batch_size: 64, epochs: 2, boosting: {policy_rate: 0.1}}
iterations: 3
body: swimmer-4
task_options: {horizon: 50}
shards: 4
"""
RL2 = """
agent: {kind: gru, units: 8}
learner: {kind: recurrent-ppo, environments: 8, steps: 4, anneal: 3, minibatches: 2}
iterations: 3
family: bandit
family_options: {arms: 3}
trial_episodes: 6
shards: 4
"""
KICKSTART = """
agent: {kind: linear-transformer, units: 8, heads: 2, slots: 3, width: 4}
learner: {kind: recurrent-ppo, environments: 8, minibatches: 2, kickstart: {teacher: ucb, updates: 2}}
iterations: 3
family: bandit
family_options: {arms: 3}
trial_episodes: 6
shards: 4
"""
FAST_SLOW = """
agent: {kind: memory, slots: 3, width: 4, hidden: 8}
learner: {kind: fast-slow, environments: 8, minibatches: 2, schedule: {fast_every: 2, slow_every: 4}}
iterations: 3
family: gridnavi
trial_episodes: 1
shards: 4
"""
TWO_MEMORIES = FAST_SLOW.replace("minibatches: 2", "minibatches: 2, memories: 2, feedback: {name: shared}")
CONFIGS = {
    "two-memories": TWO_MEMORIES,
    "rl2": RL2,
    "kickstart": KICKSTART,
    "fast-slow": FAST_SLOW,
    "boosted": BOOSTED,
    "td3": TD3,
    "sac": SAC,
    "cma-es": EVOLUTION,
    "modulated": MODULATED,
    "ppo": PPO,
    "mlp-ppo": MLP,
    "mlp-es": EVOLVED_MLP,
    "cart-pole": CART_POLE,
    "pendulum": PENDULUM,
}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # MuJoCo writes a log into the working directory when a simulation becomes unstable.
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def make_config() -> Callable[..., RunConfig]:
    def make(kind: str, *overrides: str) -> RunConfig:
        return parse_config(CONFIGS[kind], where="test", overrides=overrides)

    return make


@pytest.fixture
def train_in() -> Callable[..., dict[str, Any]]:
    """Train in a new run folder, or go on in an old one."""

    def run_to_the_end(folder: Path, config: RunConfig, **options: Any) -> dict[str, Any]:
        opened = Run.resume(folder) if (folder / "config.yaml").exists() else Run.create(folder, config.to_yaml())
        with opened as run:
            return train(run, config, **options)

    return run_to_the_end
