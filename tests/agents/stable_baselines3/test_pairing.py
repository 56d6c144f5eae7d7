"""Each policy learns with its own algorithms, and others refuse it when the model is built."""

from typing import Any

import pytest
from gymnasium import Env
from sb3_contrib import QRDQN, TQC, TRPO, CrossQ
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3

from wormwood import NCAPPolicy, NCAPSACPolicy, NCAPTD3Policy, make_swimmers
from wormwood.agents.stable_baselines3.boosted import BoostedA2C, BoostedActorCriticPolicy, BoostedAWR, BoostedPPO
from wormwood.agents.stable_baselines3.boosted_dqn import BoostedDQN, BoostedQPolicy
from wormwood.agents.stable_baselines3.boosted_sac import BoostedSAC, BoostedSACPolicy
from wormwood.errors import BadInput

OWN: dict[Any, tuple[Any, ...]] = {
    NCAPPolicy: (PPO, A2C, TRPO),
    NCAPTD3Policy: (TD3, DDPG),
    NCAPSACPolicy: (SAC,),
    BoostedActorCriticPolicy: (BoostedPPO, BoostedA2C, BoostedAWR),
    BoostedQPolicy: (BoostedDQN,),
    BoostedSACPolicy: (BoostedSAC,),
}
THEIRS: tuple[Any, ...] = (DQN, QRDQN, TQC, CrossQ)
SMALL = {"buffer_size": 100, "learning_starts": 4, "batch_size": 4}


def _env(algorithm: Any) -> Any:
    return "CartPole-v1" if algorithm in (DQN, QRDQN, BoostedDQN) else make_swimmers("swimmer-3", 2)


@pytest.mark.parametrize("algorithm", [each for own in OWN.values() for each in own] + list(THEIRS))
@pytest.mark.parametrize("policy", OWN)
def test_a_policy_of_another_algorithm_is_refused_in_one_line(algorithm: Any, policy: Any) -> None:
    off = {} if hasattr(algorithm, "loss") or algorithm in (PPO, A2C, TRPO) else SMALL
    if algorithm in OWN[policy]:
        assert isinstance(algorithm(policy, _env(algorithm), **off).policy, policy)
        return
    with pytest.raises(BadInput, match=f"policy in {algorithm.__name__}: expected .*{policy.__name__} is for") as error:
        algorithm(policy, _env(algorithm), **off)
    assert "\n" not in str(error.value)


def test_the_line_says_what_belongs_where() -> None:
    swimmers = make_swimmers("swimmer-3", 2)
    with pytest.raises(
        BadInput,
        match=r"policy in SAC: expected NCAPSACPolicy or one of Stable-Baselines3's own "
        r"\(NCAPTD3Policy is for TD3 and DDPG\), got 'NCAPTD3Policy'",
    ):
        SAC(NCAPTD3Policy, swimmers)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"policy in TD3: .*\(NCAPSACPolicy is for SAC\)"):
        TD3(NCAPSACPolicy, swimmers)
    with pytest.raises(BadInput, match=r"policy in DQN: expected one of .* \(NCAPPolicy is for PPO and A2C\)"):
        DQN(NCAPPolicy, "CartPole-v1")  # type: ignore[arg-type]


def test_a_policy_of_stable_baselines3_grows_no_forest() -> None:
    cases: list[tuple[Any, Any, str]] = [(BoostedDQN, DQN, "CartPole-v1"), (BoostedSAC, SAC, "Pendulum-v1")]
    for algorithm, base, env in cases:
        theirs = base.policy_aliases["MlpPolicy"]
        with pytest.raises(BadInput, match=r"policy in Boosted.*: expected one of MlpPolicy, .*nearest: 'MlpPolicy'"):
            algorithm("MlpPolcy", env)
        with pytest.raises(BadInput, match=f"policy in {algorithm.__name__}: expected Boosted.*Policy, got"):
            algorithm(theirs, env)


def test_derived_policies_and_algorithms_belong_where_their_bases_do() -> None:
    class Mine(NCAPPolicy):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    class Slower(SAC):
        pass

    swimmers = make_swimmers("swimmer-3", 2)
    assert isinstance(PPO(Mine, swimmers).policy, Mine)
    Slower(NCAPSACPolicy, swimmers, buffer_size=100)  # type: ignore[arg-type]
    for algorithm, policy in ((Slower, NCAPTD3Policy), (SAC, Mine)):
        with pytest.raises(BadInput, match=f"policy in {algorithm.__name__}"):
            algorithm(policy, swimmers, buffer_size=100)  # type: ignore[arg-type]


def test_a_policy_by_itself_belongs_to_any() -> None:
    swimmers = make_swimmers("swimmer-3", 1)
    alone = NCAPTD3Policy(swimmers.observation_space, swimmers.action_space, lambda _: 0.1)

    class Builds(Env[Any, Any]):
        observation_space, action_space = swimmers.observation_space, swimmers.action_space

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
            NCAPTD3Policy(self.observation_space, self.action_space, lambda _: 0.1)
            return self.observation_space.sample() * 0, {}

        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            return self.observation_space.sample() * 0, 0.0, True, False, {}

    assert alone.predict(swimmers.reset())[0].shape == (1, 2)
    PPO(NCAPPolicy, Builds(), n_steps=8, batch_size=8, n_epochs=1).learn(8)
