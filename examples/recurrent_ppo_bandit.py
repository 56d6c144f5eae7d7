"""RL²: an unmodified RecurrentPPO of sb3-contrib learns to explore bandits, from trials of ten pulls each.

python examples/recurrent_ppo_bandit.py [--steps 2000000]
"""

import argparse

import numpy as np
from sb3_contrib import RecurrentPPO

from wormwood import BanditPolicy, bayes_optimal_value, held_out_returns, make_trials, thompson

PULLS, TASKS = 10, 10_000


def play(model: RecurrentPPO, arms: int) -> float:
    """Play one trial on each held-out bandit and return the mean of what it paid."""
    trials = make_trials("bandit", TASKS, episodes=PULLS, options={"arms": arms}, is_held_out=True)
    observation, memory, paid = trials.reset(), None, 0.0
    for pull in range(PULLS):
        starts = np.full(TASKS, pull == 0)
        action, memory = model.predict(observation, memory, episode_start=starts, deterministic=True)
        observation, reward, _, _ = trials.step(action)
        paid += float(reward.mean())
    return paid


def main() -> None:
    parser = argparse.ArgumentParser(description="Train RecurrentPPO on trials of a bandit.")
    parser.add_argument("--steps", type=int, default=2_000_000, help="pulls in all")
    parser.add_argument("--arms", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    trials = make_trials("bandit", 1000, episodes=PULLS, options={"arms": options.arms}, seed=options.seed)
    model = RecurrentPPO(
        "MlpLstmPolicy",
        trials,
        n_steps=PULLS,
        batch_size=2500,
        n_epochs=3,
        learning_rate=lambda left: 4e-3 * left,
        gamma=1.0,
        policy_kwargs={"lstm_hidden_size": 32, "shared_lstm": True, "enable_critic_lstm": False, "net_arch": []},
        seed=options.seed,
    )
    print(f"Of {PULLS} pulls paid, on {TASKS} held-out bandits:")
    print(f"untrained          {play(model, options.arms):.3f}", flush=True)
    model.learn(options.steps)
    print(f"trained            {play(model, options.arms):.3f}")
    returns = held_out_returns(BanditPolicy(options.arms, thompson), trials.spec, TASKS)
    print(f"Thompson sampling  {returns.sum(axis=1).mean():.3f}")
    print(f"Bayes-optimal      {bayes_optimal_value(options.arms, PULLS):.3f}")


if __name__ == "__main__":
    main()
