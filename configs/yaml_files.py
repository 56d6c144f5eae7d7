"""YAML without code: presets of the package, files of the user, and values of the command line."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.scanner import ScannerError

from wormwood.configs.regular_files import read_regular
from wormwood.errors import BadInput, bad_input

__all__ = ["parse_mapping", "parse_value", "preset_names", "read_preset_or_file", "to_yaml"]

LARGEST = 16 * 2**20
"""Bytes of a file."""
LARGEST_VALUE = 2**20
"""Values in a text, those counted again that an alias repeats: none of them is made before they are counted."""


class _Loader(yaml.SafeLoader):
    """Safe YAML without tags, dates and repeated keys, in which 5e-4 is a number, as YAML 1.2 has it.

    PyYAML alone asks for a dot there, reads 2020-01-01 as a date, and takes the last of several equal keys.
    """

    # A date is text: nothing here asks for one.
    yaml_implicit_resolvers = {  # noqa: RUF012 # as PyYAML has it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def fetch_tag(self) -> None:
        raise ScannerError(problem="found a tag (!), which is not allowed here", problem_mark=self.get_mark())

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Count what a node stands for, aliases included."""
        sizes: dict[int, int] = self.__dict__.setdefault("sizes", {})
        node = super().compose_node(parent, index)
        if id(node) not in sizes:
            inside = getattr(node, "value", ())
            parts = [part for entry in inside for part in (entry if isinstance(entry, tuple) else (entry,))]
            sizes[id(node)] = 1 + sum(sizes.get(id(part), 1) for part in parts if isinstance(part, yaml.Node))
        if sizes[id(node)] > LARGEST_VALUE:
            mark = getattr(node, "start_mark", None)
            raise ComposerError(problem=f"found more than {LARGEST_VALUE} values, by aliases", problem_mark=mark)
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        names = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in names:
                raise ComposerError(problem=f"found the key {key.value!r} twice", problem_mark=key.start_mark)
            names.add(key.value)
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


class _Dumper(yaml.SafeDumper):
    """Safe YAML that writes lists of plain values on one line."""


def _represent_list(dumper: _Dumper, values: Any) -> yaml.Node:
    plain = not any(isinstance(value, dict | list | tuple) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=plain)


_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(tuple, _represent_list)


def to_yaml(mapping: dict[str, Any]) -> str:
    """Return the text of a mapping, its keys in their order."""
    return yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def parse_value(text: str, *, where: str) -> Any:
    """Return the value of a YAML text.

    Raises:
        BadInput: it is not YAML, it has tags, or a key stands twice in a mapping.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # Thousands of digits and thousands of levels are YAML, but more than Python takes.
        raise bad_input("invalid YAML", where=where, expected="a value or a mapping", got=_problem(error)) from None


def _problem(error: Exception) -> str:
    """Return what is wrong and, where it is known, in which line, without the text around it."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem and error.problem_mark:
        mark = error.problem_mark
        return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"
    return "too many levels" if isinstance(error, RecursionError) else " ".join(str(error).split())


def parse_mapping(text: str, *, where: str) -> dict[str, Any]:
    """Return the mapping of a YAML text.

    Raises:
        BadInput: it is not YAML, or not a mapping with names as keys.
    """
    value = parse_value(text, where=where)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise bad_input("YAML", where=where, expected="a mapping of names to values", got=value)
    return value


def preset_names(folder: str) -> list[str]:
    """Return the names of the presets in one of the package's folders, such as ``"bodies"`` or ``"train"``."""
    entries = resources.files("wormwood.configs").joinpath(folder).iterdir()
    return sorted(entry.name.removesuffix(".yaml") for entry in entries if entry.name.endswith(".yaml"))


def read_preset_or_file(folder: str, name: str, *, what: str, where: str) -> tuple[str, str]:
    """Return the text of a preset or of a user's YAML file, and where it is from, for error messages.

    Args:
        folder: of the presets.
        name: of a preset, or the path of a file that ends in .yaml or .yml.
        what: the kind of preset, for error messages.
        where: the option that names it.

    Raises:
        BadInput: there is no such preset, or the file cannot be read.
    """
    names = preset_names(folder)
    if name in names:
        preset = resources.files("wormwood.configs").joinpath(folder, f"{name}.yaml")
        return preset.read_text(encoding="utf-8"), f"{what} {name}"
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        expected = f"a name of `wormwood list` or a .yaml file, such as {', '.join(names[:3])}"
        raise bad_input(f"unknown {what}", where=where, expected=expected, got=name, nearest_to=names)
    try:
        return read_regular(path, largest=LARGEST, what=f"{what} file").decode(), name
    except BadInput:
        raise
    except (OSError, ValueError) as error:
        raise bad_input(f"unreadable {what} file", where=name, expected="a YAML file", got=str(error)) from None
