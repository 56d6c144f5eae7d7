"""JSON that others wrote, read strictly: of a known size and depth, with numbers that a float holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from wormwood.configs.regular_files import read_regular
from wormwood.errors import bad_input

__all__ = ["parse_json", "read_json_object"]

LARGEST = 256 * 2**20
"""Bytes of a file."""
DEEPEST = 64
"""Levels of lists and objects inside each other."""
LONGEST_NUMBER = 300
"""Digits of a whole number: every one of them is a float, too."""


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON or not UTF-8, has more than 64 levels, or numbers that are not finite or too long.
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels") from None
    _check_depth(value)
    return value


def read_json_object(path: Path, *, what: str) -> dict[str, Any]:
    """Return the object in a JSON file.

    Raises:
        FileNotFoundError: there is none.
        BadInput: it cannot be read, or is not an object in JSON; ``what`` says what it should be.
    """
    try:
        value = parse_json(read_regular(path, largest=LARGEST, what=what))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise bad_input(what, where=str(path), expected="a readable file", got=error.strerror) from error
    except UnicodeDecodeError as error:
        raise bad_input(what, where=str(path), expected="JSON in UTF-8", got=error.reason) from error
    except json.JSONDecodeError as error:
        raise bad_input(what, where=str(path), expected="JSON", got=str(error)) from error
    except ValueError as error:
        if type(error) is not ValueError:
            raise  # bad input that says it already
        raise bad_input(what, where=str(path), expected="JSON", got=str(error)) from error
    if not isinstance(value, dict):
        raise bad_input(what, where=str(path), expected="an object in JSON", got=value)
    return value


def _refuse(name: str) -> None:
    raise ValueError(f"the number {name}, which is not JSON")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("a number that is too large")
    return value


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a whole number of {len(text)} digits")
    return int(text)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [
            entry
            for outer in level
            if isinstance(outer, dict | list)
            for entry in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(entry, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"more than {DEEPEST} levels")
