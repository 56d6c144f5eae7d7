"""TD3 as a learner: fragments go into Stable-Baselines3's replay buffer, and its own ``train`` is called."""

from __future__ import annotations

import numpy as np
from stable_baselines3 import TD3

from wormwood.agents.learning.td3_settings import TD3Config
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig
from wormwood.agents.stable_baselines3.off_policy_learner import OffPolicyLearner, model_arguments
from wormwood.agents.stable_baselines3.td3 import StructuredTD3Policy
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["TD3Learner"]


class TD3Learner(OffPolicyLearner):
    """Improves a deterministic actor by the gradient of learned values."""

    def __init__(
        self,
        config: TD3Config,
        agent: AgentConfig,
        weights: Arrays,
        *,
        spec: EnvironmentSpec,
        seed: int,
        device: str = "cpu",
    ) -> None:
        """Start from ``weights``.

        Raises:
            BadInput: the agent cannot learn from gradients as it is configured, actions are choices or have no bounds,
                the buffer cannot hold one iteration, or ``device`` is not there.
        """
        self._noise = np.full(spec.actions.size, np.log(config.noise_std))
        model = TD3(
            StructuredTD3Policy,
            policy_delay=config.actor_delay,
            target_policy_noise=config.target_noise,
            target_noise_clip=2.5 * config.target_noise,
            **model_arguments(config, agent, weights, spec=spec, device=device),
        )
        super().__init__(config, model, spec=spec, seed=seed)

    def weights(self) -> Arrays:
        return {**super().weights(), "log_std": self._noise}
