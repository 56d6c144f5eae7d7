"""Agents as people share them: a folder with ``agent.json`` and ``agent.safetensors``. Loading one runs no code."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.numpy
from pydantic import TypeAdapter
from safetensors import SafetensorError

from wormwood.agents.policies.baselines import UniformPolicy, ZeroPolicy
from wormwood.agents.policies.circuit_settings import NCAPConfig
from wormwood.agents.policies.custom import policy_class
from wormwood.agents.policies.interfaces import Arrays, Policy
from wormwood.agents.policies.perceptron_settings import MLPConfig
from wormwood.agents.policies.table import AGENTS, AgentConfig, AgentField, initial_weights, make_policy
from wormwood.agents.stable_baselines3.zipped_policies import ZippedPolicy
from wormwood.agents.stable_baselines3.zips import ALGORITHMS, load_zip
from wormwood.configs.custom import is_custom, load_modules, plain_settings, settings_class
from wormwood.configs.regular_files import read_regular
from wormwood.envs.randomness import PURPOSES, stream
from wormwood.envs.specs import EnvironmentSpec, SwimmerSpec
from wormwood.errors import BadInput, bad_input
from wormwood.launch.run.environment_settings import Spec, describe_spec, read_spec
from wormwood.launch.run.old_names import use_new_names
from wormwood.launch.run.run_folder import RunFolder
from wormwood.launch.run.trust import admit
from wormwood.launch.storage.checkpoint_files import seal, write_file
from wormwood.launch.storage.files import remove_entry, sync_directory
from wormwood.launch.storage.json_files import LARGEST as LARGEST_DESCRIPTION
from wormwood.launch.storage.json_files import read_json_object
from wormwood.launch.storage.mirrors import is_url, local_copy
from wormwood.launch.storage.states import little_endian

__all__ = ["BUILT_IN", "Agent", "load_agent", "save_agent"]

SCHEMA = 2
WITHOUT_CHECKSUM = 1
"""Of versions whose ``agent.json`` has no checksum: its text is then not checked."""
LARGEST_WEIGHTS = 8 * 2**30
"""Bytes of the weights of an agent."""
LONGEST_NAME = 255  # of a file, on every system
AGENT_FILE, WEIGHTS_FILE = "agent.json", "agent.safetensors"

BUILT_IN: Mapping[str, tuple[AgentConfig | None, str]] = {
    "ncap": (NCAPConfig(), "the C. elegans circuit before any training"),
    "mlp": (MLPConfig(), "a multilayer perceptron before any training"),
    "random": (None, "actions uniform within their bounds"),
    "zero": (None, "no action at all"),
}
"""Agents that need no file, by name, with what they are."""


@dataclass(frozen=True)
class Agent:
    """A policy: its kind, and its weights if it has any."""

    name: str
    """What results are filed under."""
    config: AgentConfig | None = None
    """None for the agents that only draw their actions."""
    weights: Arrays | None = None
    """None starts untrained in every environment anew."""
    spec: Spec | None = None
    """What it was trained in."""
    zipped: ZippedPolicy | None = None
    """The policy of a zip of Stable-Baselines3, which acts in place of ``config``."""

    @property
    def control_timestep(self) -> float | None:
        """Seconds of a control step of the body that it was trained on; None where there is none."""
        return self.spec.body.control_timestep if isinstance(self.spec, SwimmerSpec) else None

    def policy(self, spec: EnvironmentSpec, *, seed: int = 0) -> Policy:
        """Build the policy for an environment.

        Args:
            spec: what it acts in.
            seed: of initial weights and random actions, where there are any.

        Raises:
            BadInput: the agent does not fit the environment.
        """
        if self.zipped is not None:
            return self.zipped.policy(spec)
        if self.config is not None:
            weights = self.weights or initial_weights(self.config, spec, stream(seed, "update"))
            return make_policy(self.config, weights, spec)
        if self.name == "zero":
            return ZeroPolicy(spec.actions)
        return UniformPolicy(spec.actions, stream(seed, "evaluation", 0, PURPOSES.index("action")))


def save_agent(folder: Path, agent: Agent, *, origin: Mapping[str, object] | None = None) -> None:
    """Write an agent to a folder.

    Args:
        folder: made where missing; an agent in it is replaced.
        agent: with weights.
        origin: anything worth knowing about where it comes from, such as the seed and the return.
    """
    if agent.weights is None or (agent.config is None and agent.zipped is None) or agent.spec is None:
        raise ValueError("only a trained agent can be saved")
    weights = agent.weights if agent.zipped is None else agent.zipped.arrays
    data = safetensors.numpy.save({name: little_endian(name, values) for name, values in weights.items()})
    sha256 = hashlib.sha256(data).hexdigest()
    described = {
        "schema": SCHEMA,
        "name": agent.name,
        **({"config": plain_settings(agent.config)} if agent.zipped is None else {"zipped": agent.zipped.settings}),
        **describe_spec(agent.spec),
        "weights": {"file": WEIGHTS_FILE, "sha256": sha256},
        "origin": dict(origin or {}),
    }
    # Written aside and renamed as a whole: an agent that was there stays until the new one is complete.
    draft, old = (folder.with_name(f".{folder.name}.{part}") for part in ("draft", "old"))
    for left in (draft, old):
        remove_entry(left)
    draft.mkdir(parents=True)
    write_file(draft / WEIGHTS_FILE, data)
    write_file(draft / AGENT_FILE, seal(described))
    sync_directory(draft)
    if folder.exists() or folder.is_symlink():
        folder.rename(old)
    draft.rename(folder)
    sync_directory(folder.parent)
    remove_entry(old)


def load_agent(name_or_path: str, *, trust: Collection[str] = ()) -> Agent:
    """Return a built-in agent, or that of a run, of an exported folder or of a zip of Stable-Baselines3.

    ``load_agent("runs/worm").policy(spec).act(observation, {}, None)`` chooses actions for a batch of observations.
    Runs and exported folders may also be at a URL.

    Args:
        name_or_path: of the agent; ``module:Class`` is an untrained one of the user's own.
        trust: classes ``module:Class``, or modules, that the files of the agent may name. Those of a run that this user
            made on this machine are known.

    Raises:
        BadInput: there is no such agent, its files are damaged or from a later version, or they name a class that is
            not trusted.
    """
    if name_or_path in BUILT_IN:
        return Agent(name_or_path, BUILT_IN[name_or_path][0])
    if is_url(name_or_path):
        with local_copy(name_or_path, leave_out="checkpoints") as folder:
            return _load_folder(Path(folder), name_or_path, trust)
    if is_custom(name_or_path) and name_or_path.partition(":")[0] not in ALGORITHMS:
        load_modules([name_or_path], Path())
        return Agent(name_or_path, settings_class(policy_class(name_or_path))())
    if re.match(r"\w+:", name_or_path) or name_or_path.endswith(".zip"):
        zipped = load_zip(name_or_path)
        return Agent(zipped.name, None, zipped.weights, zipped.spec, zipped)
    return _load_folder(Path(name_or_path), name_or_path, trust)


def _load_folder(path: Path, name_or_path: str, trust: Collection[str]) -> Agent:
    """Return the agent of a run or of an exported folder, which is at ``path`` now."""
    if len(path.name) > LONGEST_NAME:
        raise bad_input("unknown agent", where="agent", expected="a run, an exported agent or a name", got=name_or_path)
    if (path / AGENT_FILE).is_file():
        return _read_agent(path, location=name_or_path, trust=trust)
    run = RunFolder(path)
    if (run.agent / AGENT_FILE).is_file() and run.summary.is_file():
        return dataclasses.replace(_read_agent(run.agent, location=name_or_path, trust=trust), name=path.resolve().name)
    if run.config.is_file():
        expected = f"a run that has finished; go on with `wormwood train --out {name_or_path} --resume`"
        raise bad_input("unfinished run", where="agent", expected=expected, got=name_or_path)
    expected = f"a run, an exported agent, or one of {', '.join(BUILT_IN)}"
    neighbours = [str(found.parent) for found in path.parent.glob("*/config.yaml")]
    raise bad_input(
        "unknown agent", where="agent", expected=expected, got=name_or_path, nearest_to=[*BUILT_IN, *neighbours]
    )


def _require_intact(path: Path, described: Mapping[str, Any]) -> None:
    """Check an ``agent.json`` by its own checksum, unless it is of a version that wrote none.

    Raises:
        BadInput: it is not what was written.
    """
    if described["schema"] == WITHOUT_CHECKSUM:
        return
    content = read_regular(path, largest=LARGEST_DESCRIPTION, what="agent")
    if seal({name: value for name, value in described.items() if name != "checksum"}) != content:
        expected = "the text that its checksum is of"
        raise bad_input("damaged agent", where=str(path), expected=expected, got=described.get("checksum"))


_CONFIG: TypeAdapter[Any] = TypeAdapter(AgentField)


def _read_agent(folder: Path, *, location: str, trust: Collection[str]) -> Agent:
    where = str(folder / AGENT_FILE)
    try:
        described = read_json_object(folder / AGENT_FILE, what="damaged agent")
        if described["schema"] not in (SCHEMA, WITHOUT_CHECKSUM):
            raise bad_input("agent format", where=where, expected=f"schema {SCHEMA}", got=described["schema"])
        _require_intact(folder / AGENT_FILE, described)
        data = read_regular(folder / WEIGHTS_FILE, largest=LARGEST_WEIGHTS, what="weights")
        found = hashlib.sha256(data).hexdigest()
        if found != described["weights"]["sha256"]:
            expected = f"SHA-256 {described['weights']['sha256']}"
            raise bad_input("damaged weights", where=str(folder / WEIGHTS_FILE), expected=expected, got=found)
        if "zipped" in described:
            zipped = ZippedPolicy.read(
                str(described["name"]),
                described["zipped"],
                safetensors.numpy.load(data),
                read_spec(described, where=where),
            )
            return Agent(zipped.name, None, zipped.weights, zipped.spec, zipped)
        settings = {"agent": described["config"]}
        use_new_names(settings)
        kind = settings["agent"]["kind"]
        if kind not in AGENTS and not is_custom(kind):
            expected = f"one of {', '.join(AGENTS)}"
            raise bad_input("agent.kind", where=where, expected=expected, got=kind, nearest_to=AGENTS)
        admit(described, where=where, location=location, trust=trust)
        return Agent(
            name=str(described["name"]),
            config=_CONFIG.validate_python(settings["agent"]),
            weights=safetensors.numpy.load(data),
            spec=read_spec(described, where=where),
        )
    except BadInput:
        raise
    except (OSError, ValueError, LookupError, TypeError, RecursionError, AttributeError, SafetensorError) as error:
        summary = " ".join(str(error).split())
        raise bad_input("damaged agent", where=where, expected="an exported agent", got=summary) from error
