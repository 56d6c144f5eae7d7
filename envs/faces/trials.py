"""Tasks and trials for gymnasium: a task is sampled, then set, and no reset changes it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from wormwood.envs.faces.common import LARGEST_SEED, checked_action, fresh_seed, refuse_options, whole_number
from wormwood.envs.families.interfaces import FamilyTask, TaskFamily
from wormwood.envs.families.trials import LONGEST_TRIAL
from wormwood.envs.physics import Floats
from wormwood.envs.randomness import training_streams
from wormwood.errors import bad_input

__all__ = ["TaskEnv", "Trial"]

ROW = np.zeros(1, dtype=np.intp)


class TaskEnv(gymnasium.Env[Floats, Any]):
    """One task of a family, an episode at a time: what ``Trial`` is put around.

    ``reset(seed=s)`` starts the first episode of seed ``s``, and ``reset()`` the next one of the seed it has; neither
    changes the task. An episode is truncated after ``family.steps`` steps.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, family: TaskFamily, task: FamilyTask | None = None) -> None:
        """Build the environment.

        Args:
            family: of the tasks.
            task: the first task; None draws one from fresh entropy.

        Raises:
            BadInput: the task is of another family.
        """
        self.family = family
        self.observation_space = spaces.Box(-np.inf, np.inf, (family.layout.size,), dtype=np.float64)
        self.action_space = _space_of_actions(family)
        self._dynamics = family.dynamics(1)
        self._streams, self._episode, self._steps = training_streams(fresh_seed()), -1, family.steps
        self.set_task(self.sample_task() if task is None else task)

    @property
    def task(self) -> FamilyTask:
        """The task that is played."""
        return self._task

    def sample_task(self, rng: np.random.Generator | None = None) -> FamilyTask:
        """Draw a task, by default from the environment's own generator; it is not set."""
        return self.family.sample(self.np_random if rng is None else rng)

    def set_task(self, task: FamilyTask) -> None:
        """Play this task from the next reset on.

        Raises:
            BadInput: it is no task of the family.
        """
        if not isinstance(task, FamilyTask) or task.family.label != self.family.label:
            raise bad_input("task", where="set_task", expected=f"one of the family {self.family.label}", got=task)
        self._task = task
        self._values = np.array([task.values])
        self._steps = self.family.steps

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start an episode of the task and return its first observation ``[D]``.

        Raises:
            BadInput: the seed is not a whole number from 0 to 2⁶⁴ - 1, or there are ``options``.
        """
        refuse_options(options)
        super().reset(seed=seed)
        if seed is not None:
            self._streams = training_streams(whole_number("seed", seed, minimum=0, maximum=LARGEST_SEED))
            self._episode = -1
        self._episode, self._steps = self._episode + 1, 0
        key = self._streams("reset", 0, self._episode).integers(2**64, dtype=np.uint64, size=1)
        self._dynamics.begin(ROW, self._values, key)
        return self._dynamics.observation[0], {"task": self._task.id}

    def step(self, action: Any) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Advance by one step and return the observation ``[D]``; numbers are clipped to their bounds.

        Raises:
            BadInput: the action is none of the action space.
            ResetNeeded: the episode has not begun or is over.
        """
        if self._steps >= self.family.steps:
            raise ResetNeeded("the episode is over, or its task is new: call reset() before step()")
        step = self._dynamics.step(self._checked(action), np.array([self._steps]))
        self._steps += 1
        terminated = bool(step.diverged[0])
        truncated = self._steps >= self.family.steps and not terminated
        if terminated:
            self._steps = self.family.steps
        return step.observation[0].copy(), float(step.reward[0]), terminated, truncated, {"task": self._task.id}

    def _checked(self, action: Any) -> NDArray[Any]:
        if self.family.actions.choices:
            if not self.action_space.contains(action):
                raise bad_input("action", where="step", expected=f"one of {self.action_space}", got=action)
            return np.array(action, dtype=np.int64).reshape(1, -1)
        return self.family.actions.clip(checked_action(action, (self.family.actions.size,))[None])


def _space_of_actions(family: TaskFamily) -> spaces.Space[Any]:
    actions = family.actions
    if len(actions.choices) == 1:
        return spaces.Discrete(actions.choices[0])
    if actions.choices:
        return spaces.MultiDiscrete(list(actions.choices))
    return spaces.Box(np.array(actions.low, np.float32), np.array(actions.high, np.float32), dtype=np.float32)


class Trial(gymnasium.Wrapper[Floats, Any, Any, Any]):
    """Plays several episodes on one task as one, for any environment that has tasks.

    The environment needs ``sample_task(rng) -> task`` and ``set_task(task)``, anywhere under its wrappers, and spaces
    that can be flattened. The observation is the flat inner one, then of the last step the action (choices one-hot),
    the reward, and 1 where an inner episode has just ended; all three are 0 at the trial's start. A trial ends as
    *terminated* once its last episode is over: nothing follows on that task, so no learner should estimate what does.
    With this, a recurrent PPO that knows nothing of tasks does RL² (Duan et al. 2016, arXiv:1611.02779).

    ``reset`` starts the next trial, on a task drawn for it, until ``set_task`` decides on one for all trials from
    then on. ``reset(seed=s)`` starts the first trial of seed ``s``: trials of other numbers or seeds have tasks drawn
    from other streams. ``info["inner_episode"]`` is the episode that a step belonged to, and ``info["inner_returns"]``
    the return of each at the trial's end.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], episodes: int) -> None:
        """Wrap an environment.

        Raises:
            BadInput: it has no tasks or spaces that cannot be flattened, or ``episodes`` is not a whole number from 1
                to 100 000.
        """
        super().__init__(env)
        self.episodes = whole_number("episodes", episodes, minimum=1, maximum=LONGEST_TRIAL)
        for method in ("sample_task", "set_task"):
            if not env.has_wrapper_attr(method):
                expected = "an environment with sample_task(rng) and set_task(task)"
                raise bad_input("environment", where="Trial", expected=expected, got=str(env))
        for space in (env.observation_space, env.action_space):
            if not space.is_np_flattenable:
                raise bad_input("space", where="Trial", expected="one that can be flattened", got=space)
        size = spaces.flatdim(env.observation_space) + spaces.flatdim(env.action_space) + 2
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), dtype=np.float64)
        self._streams, self._trial = training_streams(fresh_seed()), -1
        self._fixed: Any = None
        self._returns: list[float] = []

    def set_task(self, task: Any) -> None:
        """Play this task in all trials from the next reset on; None draws one for each trial again."""
        self._fixed = task

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Floats, dict[str, Any]]:
        """Start a trial and return its first observation ``[D]``; ``options`` go to the environment.

        Raises:
            BadInput: the seed is not a whole number from 0 to 2⁶⁴ - 1.
        """
        if seed is not None:
            self._streams = training_streams(whole_number("seed", seed, minimum=0, maximum=LARGEST_SEED))
            self._trial = -1
        self._trial += 1
        rng = self._streams("task", 0, self._trial)
        task = self.env.get_wrapper_attr("sample_task")(rng) if self._fixed is None else self._fixed
        self.env.get_wrapper_attr("set_task")(task)
        start = int(self._streams("reset", 0, self._trial).integers(2**31))
        observation, info = self.env.reset(seed=start, options=options)
        self._returns = [0.0]
        return self._flat(observation, None, reward=0.0, is_over=False), info

    def step(self, action: Any) -> tuple[Floats, float, bool, bool, dict[str, Any]]:
        """Advance by one step and return the observation ``[D]``; where an inner episode ends, the next one begins.

        Raises:
            ResetNeeded: the trial has not begun or is over.
        """
        if not self._returns:
            raise ResetNeeded("the trial is over: call reset() before step()")
        observation, reward, terminated, truncated, info = self.env.step(action)
        info = {**info, "inner_episode": len(self._returns) - 1}
        self._returns[-1] += float(reward)
        is_over = terminated or truncated
        is_last = is_over and len(self._returns) == self.episodes
        if is_last:
            info["inner_returns"] = self._returns
            self._returns = []
        elif is_over:
            observation, _ = self.env.reset()
            self._returns.append(0.0)
        return (
            self._flat(observation, action, reward=float(reward), is_over=is_over),
            float(reward),
            is_last,
            False,
            info,
        )

    def _flat(self, observation: Any, action: Any, *, reward: float, is_over: bool) -> Floats:
        space = self.env.action_space
        flat_action = np.zeros(spaces.flatdim(space)) if action is None else np.asarray(spaces.flatten(space, action))
        inner = np.asarray(spaces.flatten(self.env.observation_space, observation))
        return np.concatenate([inner, flat_action, [reward, float(is_over)]], dtype=np.float64)
