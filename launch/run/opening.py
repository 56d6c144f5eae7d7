"""Opens the run that a training writes to: a new one, or one that goes on under its own settings."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from wormwood.configs.yaml_files import preset_names
from wormwood.errors import BadInput, bad_input
from wormwood.launch.run.run_folder import Run, read_metrics
from wormwood.launch.run.settings import LOOSE_KEYS, RunConfig, config_folder, load_config, parse_config
from wormwood.launch.run.trust import custom_names, remember
from wormwood.launch.storage.mirrors import Mirror, check_out, is_url

__all__ = ["free_folder", "open_run"]

RUNS = Path("runs")


@contextlib.contextmanager
def open_run(
    preset: str | Mapping[str, Any] | None,
    *,
    out: str | None = None,
    resume: bool = False,
    seed: int | None = None,
    overrides: Sequence[str] = (),
    trust: Collection[str] = (),
) -> Iterator[tuple[Run, RunConfig]]:
    """Give a run, held for writing, and its configuration.

    Args:
        preset: a name of `wormwood list presets`, a YAML file, or what such a file holds; None goes on with a run.
        out: folder of the run, or a URL; None makes a new folder in ``runs/``.
        resume: go on with the run in ``out``.
        seed: in place of the preset's.
        overrides: ``key.path=value`` each, the value in YAML.
        trust: classes ``module:Class`` that a run which somebody else made may name.

    Raises:
        BadInput: the preset, an override or the folder is wrong. Of a new run nothing is then left behind.
    """
    given = load_config(preset, overrides=overrides, seed=seed) if preset else None
    if resume:
        if not out:
            expected = "--out with the folder of a run"
            raise bad_input("missing option", where="train --resume", expected=expected, got=None)
        with _folder(out) as (folder, mirror), Run.resume(folder, mirror=mirror) as run:
            named = custom_names(given.to_mapping()) if given else []  # by a file that is the user's own
            known: dict[str, Any] = {"where": str(run.config), "location": out, "trust": [*trust, *named]}
            config = parse_config(run.config_yaml, **known)
            given = given or parse_config(run.config_yaml, overrides=overrides, seed=seed, **known)
            _require_continuation(config, given, run)
            run.replace_config(given.to_yaml())
            yield run, given
        return
    if preset is None or given is None:
        names = ", ".join(preset_names("train"))
        raise bad_input("missing preset", where="train", expected=f"one of {names}, or a .yaml file", got=None)
    location = out or str(free_folder(f"{Path(preset).stem if isinstance(preset, str) else 'run'}-seed-{given.seed}"))
    with _folder(location, new=True) as (folder, mirror), Run.create(folder, given.to_yaml(), mirror=mirror) as run:
        remember(location, custom_names(given.to_mapping()), config_folder(preset))
        try:
            yield run, given
        except (BadInput, OSError):
            run.discard()  # so that the corrected command can be given at once
            raise


def free_folder(name: str) -> Path:
    """Return a folder in ``runs/`` that does not exist yet: of this name, or with a number behind it."""
    first = RUNS / name
    numbered = (first.with_name(f"{name}-{number}") for number in range(2, 10**6))
    return first if not first.exists() else next(folder for folder in numbered if not folder.exists())


@contextlib.contextmanager
def _folder(location: str, *, new: bool = False) -> Iterator[tuple[Path, Mirror | None]]:
    """Give the folder of a run; where the location is a URL, a local copy of what is there, without the checkpoints.

    Raises:
        BadInput: the URL cannot be reached, another process writes to it, or it has a run where a new one is to be.
    """
    check_out(location)
    if not is_url(location):
        yield Path(location), None
        return
    with contextlib.closing(Mirror(location)) as mirror:
        is_run = mirror.has("config.yaml")
        if new and is_run:
            raise BadInput(f"--out {location} already has a run: add --resume or choose another --out")
        if not new and not is_run:
            raise BadInput(f"{location} is not a run folder: expected config.yaml in it")
        mirror.claim()
        if mirror.has("config.yaml") != is_run:
            raise BadInput(f"--out {location} has changed meanwhile: try again")
        if is_run:
            mirror.fetch(leave_out="checkpoints")
        yield mirror.folder, mirror


def _require_continuation(config: RunConfig, given: RunConfig, run: Run) -> None:
    """Refuse to go on with a run under settings that change what it was, or that end before where it stands.

    Raises:
        BadInput: naming the first setting that differs.
    """
    done = max((line["iteration"] for line in read_metrics(run.metrics)), default=0)
    if given.iterations < done:
        expected = f"at least the {done} that are done"
        raise bad_input("iterations", where=f"train --resume {run.location}", expected=expected, got=given.iterations)
    if config.hash == given.hash:
        return
    was, now = _flat(config.to_mapping()), _flat(given.to_mapping())
    different = (name for name in was | now if repr(was.get(name)) != repr(now.get(name)))
    key = next(name for name in different if name not in LOOSE_KEYS)
    expected = f"the run's own {was.get(key)!r}; start a new run to change it"
    raise bad_input(key, where=f"train --resume {run.location}", expected=expected, got=now.get(key))


def _flat(mapping: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested mappings by their path, such as ``learner.sigma``."""
    flat: dict[str, Any] = {}
    for name, value in mapping.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
