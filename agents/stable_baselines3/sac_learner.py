"""SAC as a learner: fragments go into Stable-Baselines3's replay buffer, and its own ``train`` is called."""

from __future__ import annotations

import torch
from stable_baselines3 import SAC

from wormwood.agents.learning.sac_settings import SACConfig
from wormwood.agents.policies.interfaces import Arrays
from wormwood.agents.policies.table import AgentConfig
from wormwood.agents.stable_baselines3.off_policy_learner import OffPolicyLearner, model_arguments
from wormwood.agents.stable_baselines3.sac import StructuredSACPolicy
from wormwood.envs.specs import EnvironmentSpec

__all__ = ["SACLearner"]


class SACLearner(OffPolicyLearner):
    """Improves an actor with noise by the gradient of learned values, and the noise by its entropy, too."""

    def __init__(
        self,
        config: SACConfig,
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
        arguments = model_arguments(config, agent, weights, spec=spec, device=device)
        arguments["policy_kwargs"]["noise_std"] = config.noise_std
        self._sac = SAC(
            StructuredSACPolicy,  # type: ignore[arg-type] # it acts as SB3's own do
            ent_coef=f"auto_{config.initial_entropy_coefficient}",
            target_entropy=config.entropy_per_action * spec.actions.size,
            **arguments,
        )
        super().__init__(config, self._sac, spec=spec, seed=seed)

    @property
    def _entropy(self) -> torch.Tensor:
        assert self._sac.log_ent_coef is not None
        return self._sac.log_ent_coef

    @property
    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        assert self._sac.ent_coef_optimizer is not None
        return {**super()._optimizers, "entropy": self._sac.ent_coef_optimizer}

    def state(self) -> Arrays:
        return {**super().state(), "log_entropy_coefficient": self._entropy.detach().cpu().numpy().copy()}

    def restore(self, state: Arrays) -> None:
        super().restore(state)
        with torch.no_grad():
            self._entropy.copy_(torch.tensor(state["log_entropy_coefficient"]))
