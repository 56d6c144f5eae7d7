"""The configuration of a run: read from presets, files and the command line, checked, and written out in full."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from wormwood.agents.learners import (
    BuiltInLearnerConfig,
    LearnerContext,
    LearnerField,
    SampleRequirements,
    learner_class,
    learner_kind,
)
from wormwood.agents.policies.custom import policy_class
from wormwood.agents.policies.table import AgentField, BuiltInConfig
from wormwood.configs.checked import key_problem
from wormwood.configs.custom import is_custom, load_modules, plain_settings, settings_class
from wormwood.configs.yaml_files import parse_mapping, parse_value, read_preset_or_file, to_yaml
from wormwood.envs.bodies import GYMNASIUM_SWIMMER, Body, body_fields
from wormwood.envs.faces.common import LARGEST_SEED
from wormwood.envs.specs import SwimmerSpec
from wormwood.errors import BadInput, bad_input
from wormwood.launch.run.environment_settings import DEFAULTS, Spec, build_others, build_spec, settings_without_effect
from wormwood.launch.run.idle_settings import refuse_idle_settings
from wormwood.launch.run.old_names import use_new_names, with_old_names
from wormwood.launch.run.rollouts import RolloutPlan
from wormwood.launch.run.trust import admit, custom_names
from wormwood.launch.storage.files import to_json

__all__ = ["LOOSE_KEYS", "RunConfig", "config_folder", "load_config", "parse_config", "settings_in"]

LOOSE_KEYS = frozenset(
    {
        "iterations",
        "checkpoint_every",
        "keep_checkpoints",
        "evaluate_every",
        "evaluation_episodes",
        "rollout_deadline",
    }
)
"""Settings that a run may change when it goes on: they decide how long, what is kept and what is reported."""

Count = Annotated[int, Field(ge=1, le=10**9)]


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    agent: AgentField
    """What acts, and what it is made of."""
    learner: LearnerField
    """How it learns."""
    iterations: Count
    """Rounds of collecting and learning."""
    body: str | dict[str, Any] = "swimmer-6"
    """What swims: a name of `wormwood list bodies`, a YAML file, an MJCF file, or the fields of a body."""
    other_bodies: tuple[str | dict[str, Any], ...] = ()
    """More bodies that evolution trains on, at the same time: each candidate plays its starts on all of them, and its
    fitness is the mean return. What is exported and evaluated is for ``body``."""
    task: str = "swim"
    """What it is asked to do: a name of `wormwood list tasks`."""
    task_options: dict[str, Any] = field(default_factory=dict)
    """Options of the task, such as ``horizon``."""
    environment: str | None = None
    """In place of body and task: the id of any environment that gymnasium knows, such as ``CartPole-v1``."""
    environment_options: dict[str, Any] = field(default_factory=dict)
    """Options of that environment, such as ``max_episode_steps``."""
    environment_wrappers: tuple[str, ...] = ()
    """Wrappers around it, the innermost first, as ``module:Class``."""
    family: str | None = None
    """In place of body and task: a family of tasks by name, such as ``bandit``. What is then an episode elsewhere is a
    whole trial: several episodes on one task that is drawn for it, and that the agent has to find out."""
    family_options: dict[str, Any] = field(default_factory=dict)
    """Options of the family, such as ``arms``."""
    trial_episodes: Count = 1
    """Episodes of each trial."""
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] = 0
    """Of all randomness. The same configuration and seed give the same result, to the bit."""
    shards: Count = 4
    """Units of work: no more workers than shards are of use. The result depends on it, unlike on the workers."""
    evaluation_episodes: Count = 10
    """Held-out episodes that judge the final policy."""
    evaluate_every: Annotated[int, Field(ge=0)] = 0
    """Iterations between evaluations on the held-out starts while training; 0 evaluates only at the end."""
    checkpoint_every: Count = 1
    """Iterations between checkpoints. A run that is killed loses at most that many."""
    keep_checkpoints: Count = 3
    """How many of the newest checkpoints stay on the disk."""
    rollout_deadline: Annotated[float, Field(gt=0)] = 300.0
    """Seconds after which a rollout on Ray counts as hung, and its worker is replaced."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where torch learns: ``auto`` takes CUDA where there is any. The same bits are promised on the CPU only."""

    def __post_init__(self) -> None:
        """Check what single values do not say."""
        _ = self.spec.horizon, self.others  # builds them
        if self.others and not self.requirements.population:
            expected = "none: only evolution trains on several bodies"
            raise bad_input("other_bodies", where="configuration", expected=expected, got=self.learner.kind)
        for name in ("population", "environments"):
            split = getattr(self.requirements, name)
            if split % self.shards:
                divisors = ", ".join(str(count) for count in range(1, split + 1) if split % count == 0)
                what = "candidates" if name == "population" else name
                expected = f"a divisor of the learner's {split} {what}: {divisors}"
                raise bad_input("shards", where="configuration", expected=expected, got=self.shards)
        if self.shards % self.requirements.members:
            expected = f"a multiple of the learner's {self.requirements.members} memories"
            raise bad_input("shards", where="configuration", expected=expected, got=self.shards)

    @functools.cached_property
    def spec(self) -> Spec:
        """What the agent acts in; its body is read once."""
        return build_spec(self._environment)

    @functools.cached_property
    def others(self) -> tuple[SwimmerSpec, ...]:
        """What a population acts in besides."""
        return build_others(self._environment, self.spec)

    @property
    def _environment(self) -> dict[str, Any]:
        return {name: getattr(self, name) for defaults in DEFAULTS.values() for name in defaults}

    @property
    def requirements(self) -> SampleRequirements:
        """What experience each iteration collects."""
        return learner_kind(self.learner.kind).requirements(self.learner, self.spec)

    @property
    def learner_context(self) -> LearnerContext:
        """Where the learner learns."""
        return LearnerContext(self.agent, self.spec, seed=self.seed, device=self.device)

    @property
    def plan(self) -> RolloutPlan:
        """What every rollout of the run has in common."""
        requirements = self.requirements
        return RolloutPlan(
            seed=self.seed,
            spec=self.spec,
            agent=self.agent,
            shards=self.shards,
            environments=requirements.environments // self.shards,
            steps=requirements.steps,
            population=requirements.population,
            starts=requirements.starts,
            members=requirements.members,
            others=self.others,
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return every setting in plain values; the body in full, unless its name says all about it."""
        mapping = dataclasses.asdict(self)
        mapping |= {"agent": plain_settings(self.agent), "learner": plain_settings(self.learner)}
        for name in settings_without_effect(mapping):
            del mapping[name]
        if isinstance(self.spec, SwimmerSpec):
            mapping["body"] = _whole(self.body, self.spec.body)
            if self.others:
                mapping["other_bodies"] = [
                    _whole(*pair) for pair in zip(self.other_bodies, (other.body for other in self.others), strict=True)
                ]
            else:
                del mapping["other_bodies"]
        plain: dict[str, Any] = json.loads(json.dumps(mapping))
        return plain

    def to_yaml(self) -> str:
        """Return the text of a file that ``load_config`` reads back."""
        return to_yaml(self.to_mapping())

    @property
    def hash(self) -> str:
        """Name of everything but how long the run goes on and what it keeps: checkpoints carry it."""
        return _hash(self.to_mapping())

    @property
    def old_hash(self) -> str:
        """The same under the old names of settings: checkpoints that were made then carry it."""
        return _hash(with_old_names(self.to_mapping()))


def _hash(mapping: Mapping[str, Any]) -> str:
    fixed = {name: value for name, value in mapping.items() if name not in LOOSE_KEYS}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def _whole(given: str | dict[str, Any], body: Body) -> str | dict[str, Any]:
    """Return a body's name where it says all, and else its fields: a file may be changed or gone tomorrow."""
    named = isinstance(given, str) and (given == GYMNASIUM_SWIMMER.name or re.fullmatch(r"swimmer-\d+", given))
    return given if named else body_fields(body)


def load_config(
    preset: str | Mapping[str, Any], *, overrides: Sequence[str] = (), seed: int | None = None
) -> RunConfig:
    """Read a preset, a file or a mapping.

    Args:
        preset: a name of `wormwood list presets`, a YAML file, or what such a file holds. Classes ``module:Class`` that
            it names are imported, from the file's folder where they are in it.
        overrides: ``key.path=value`` each, the value in YAML.
        seed: in place of the file's.

    Raises:
        BadInput: there is no such preset, or anything in it is wrong or does nothing. Runs that exist already, which
            ``parse_config`` reads, go on as they are.
    """
    if isinstance(preset, str):
        text, where = read_preset_or_file("train", preset, what="preset", where="train")
    else:
        text, where = _text_of(preset), "configuration"
    mapping = parse_mapping(text, where=where)
    load_modules(custom_names(mapping), config_folder(preset))
    if isinstance(options := mapping.get("environment_options"), dict):
        mapping["environment_options"] = {name: _from_here(value) for name, value in options.items()}
    config = _read(mapping, where=where, overrides=overrides, seed=seed, folder=config_folder(preset))
    refuse_idle_settings(config.agent, config.learner, config.spec, others=config.others, device=config.device)
    return config


def _text_of(mapping: Mapping[str, Any]) -> str:
    """Return a mapping of plain values, NumPy's among them, as YAML."""
    try:
        return to_yaml(json.loads(to_json(mapping)))
    except TypeError as error:
        expected = "plain values, as in a YAML file"
        raise bad_input("value", where="configuration", expected=expected, got=str(error)) from None


def config_folder(preset: str | Mapping[str, Any]) -> Path:
    """Return the folder whose modules a configuration may name: of a file its own, else the current one."""
    return Path(preset).parent if isinstance(preset, str) and Path(preset).is_file() else Path()


def parse_config(
    text: str,
    *,
    where: str,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    location: str | None = None,
    trust: Collection[str] = (),
) -> RunConfig:
    """Read the configuration of a run, which may be anybody's.

    Args:
        text: of its ``config.yaml``.
        where: the file, for messages.
        overrides: see ``load_config``.
        seed: see ``load_config``.
        location: the run, if it may be one that this user made; see ``trust.admit``.
        trust: classes ``module:Class``, or modules, that may be imported.

    Raises:
        BadInput: anything in it is wrong, or it names a class that is not trusted.
    """
    mapping = parse_mapping(text, where=where)
    admit(mapping, where=where, location=location, trust=trust)
    return _read(mapping, where=where, overrides=overrides, seed=seed, folder=Path())


def _read(
    mapping: dict[str, Any], *, where: str, overrides: Sequence[str], seed: int | None, folder: Path
) -> RunConfig:
    use_new_names(mapping)
    for override in overrides:
        _override(mapping, override)
    use_new_names(mapping, replace=True)
    if overrides:
        load_modules(custom_names(mapping), folder)  # what stands on the command line is the user's own
    if seed is not None:
        mapping["seed"] = seed
    try:
        return _ADAPTER.validate_python(mapping)
    except ValidationError as error:
        raise _problem_of_run(error, where, mapping) from None


_ADAPTER = TypeAdapter(RunConfig)
_KINDS: Mapping[str, Mapping[str, Any]] = {
    "agent": {kind.kind: kind for kind in get_args(BuiltInConfig)},
    "learner": {kind.kind: kind for kind in get_args(BuiltInLearnerConfig)},
}
"""The settings of each kind of agent and learner."""
_CUSTOM = {"agent": policy_class, "learner": learner_class}
"""How a class of the user's is found, which has settings of its own."""


def _override(mapping: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise bad_input("override", where="--set", expected="key.path=value", got=override)
    for depth, key in enumerate(keys[:-1]):
        inner = mapping.setdefault(key, {})
        if not isinstance(inner, dict):
            parent = ".".join(keys[: depth + 1])
            raise bad_input("override", where="--set", expected=f"{parent} to be a mapping", got=override)
        mapping = inner
    value = parse_value(text, where=f"--set {path}")
    mapping[keys[-1]] = _from_here(value) if keys[0] == "environment_options" else value


def _from_here(value: Any) -> Any:
    """Return an option as it is, but a path such as ``./my.xml`` in full, so that it means one file from any folder."""
    is_path = isinstance(value, str) and value.startswith(("./", "../"))
    return os.path.abspath(value) if is_path else value


def settings_in(settings: Any, path: Sequence[str]) -> Any:
    """Return the settings that stand at a path within others, as far as it leads to any."""
    for name in path:
        inner = get_type_hints(settings).get(name)
        options = [inner, *get_args(inner)]
        settings = next((option for option in options if dataclasses.is_dataclass(option)), settings)
    return settings


def _problem_of_run(error: ValidationError, where: str, mapping: Mapping[str, Any]) -> BadInput:
    """Turn pydantic's first finding into one line."""
    problems = error.errors(include_url=False)
    problem = problems[0]
    if problem["type"].startswith("float") and isinstance(problem["input"], dict) and len(problems) > 1:
        problem = problems[1]  # what is wrong with it as settings, which may stand there as well
    cause = problem.get("ctx", {}).get("error")
    if isinstance(cause, BadInput):
        return cause
    section, *rest = [str(part) for part in problem["loc"]] or [""]
    kinds, settings = _KINDS.get(section, {}), RunConfig
    if rest and rest[0] in kinds:
        # The tag by which pydantic tells kinds apart is no key of the file.
        settings = kinds[rest.pop(0)]
    elif kinds and rest and is_custom(mapping[section].get("kind")):
        settings = settings_class(_CUSTOM[section](mapping[section]["kind"]))
    # Neither are the names by which it tells the members of a union apart.
    rest = [part for part in rest if re.fullmatch(r"[a-z0-9_]+", part)]
    key, got = ".".join([section, *rest]), problem["input"]
    if found := key_problem(problem, key, where=where, settings=settings_in(settings, rest[:-1])):
        return found
    if kinds and not rest:
        given = got.get("kind") if isinstance(got, dict) else got
        expected = f"one of {', '.join(kinds)}, or module:Class"
        return bad_input(f"{key}.kind", where=where, expected=expected, got=given, nearest_to=kinds)
    if section == "body":
        return bad_input("body", where=where, expected="a name, a YAML file, or the fields of a body", got=got)
    return bad_input(key, where=where, expected=problem["msg"].removeprefix("Input should be "), got=got)
