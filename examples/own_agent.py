"""An agent of your own in one file: a travelling wave of three numbers, searched by CMA-ES and compared with NCAP.

python examples/own_agent.py [--generations 20]
"""

import argparse
from types import SimpleNamespace

import numpy as np

from wormwood.agents.learning.evolution.cma_es import CMAES
from wormwood.agents.learning.evolution.settings import CMAESConfig
from wormwood.agents.policies.search_space import Parameter, SearchSpace
from wormwood.agents.policies.table import AGENTS, AgentKind
from wormwood.envs.bodies import load_body
from wormwood.envs.specs import SwimmerSpec
from wormwood.envs.tasks import Swim
from wormwood.launch.run.agent_files import Agent, load_agent
from wormwood.launch.run.evaluation import evaluate
from wormwood.launch.run.rollouts import RolloutPlan, RolloutWorker, Shard


class Wave:
    """Joint ``j`` pulls with ``strength · sin(2π (t / period - j lag))``; ``t`` is the observation's last number."""

    def __init__(self, config, weights, spec):
        self.weights, self.joints = weights, np.arange(spec.actions.size)

    def act(self, observation, state, rng):
        # A population's weights are stacked: each candidate has as many rows of the batch as the others.
        rows = len(observation) // np.size(self.weights["lag"])
        strength, period, lag = (np.repeat(self.weights[name], rows)[:, None] for name in START)
        return strength * np.sin(2 * np.pi * (observation[:, -1:] / period - self.joints * lag)), state, {}


START = {"strength": np.array(0.5), "period": np.array(60.0), "lag": np.array(0.1)}
CONFIG = SimpleNamespace(kind="wave")  # where there is something to choose: a frozen dataclass
SPACE = SearchSpace(tuple(Parameter(name, sign=1, low=0.01, high=100) for name in START))
AGENTS["wave"] = AgentKind(lambda config, spec, rng: START, Wave, lambda config, weights: SPACE, "a travelling wave")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generations", type=int, default=20, help="of 8 candidates with 2 episodes each; default 20")
    spec, config = SwimmerSpec(load_body("swimmer-6"), Swim()), CMAESConfig(population=8, starts=2)
    plan = RolloutPlan(0, spec, CONFIG, shards=1, environments=16, steps=1000, population=8, starts=2)
    learner, worker = CMAES(config, SPACE, START, seed=0), RolloutWorker(plan)
    for generation in range(parser.parse_args().generations):
        fragment, _ = worker.rollout(learner.weights(), Shard(0), generation)
        learner.update([fragment], generation)
    wave = Agent("wave", CONFIG, learner.policy_weights(), spec)
    for agent in (wave, load_agent("ncap")):
        returns = evaluate(agent, spec, episodes=10).returns
        print(f"{agent.name}: {returns.mean():.0f} ± {returns.std():.0f}")


if __name__ == "__main__":
    main()
