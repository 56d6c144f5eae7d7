"""One line for bad input: what, where, expected, got, and the nearest valid name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["BadInput", "bad_input", "nearest"]


class BadInput(ValueError):
    """The user's input is wrong. The message is the one line that the command line prints before it exits with 2."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the valid name closest in spelling to ``name``, or None where none is close."""
    matches = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return matches[0] if matches else None


def bad_input(what: str, *, where: str, expected: str, got: object, nearest_to: Iterable[str] = ()) -> BadInput:
    """Build the error for one wrong value.

    Args:
        what: the thing that is wrong, such as ``"unknown preset"``.
        where: the file and key, or the command line option, that held it.
        expected: what would have been accepted.
        got: the value found; a string is also looked up among ``nearest_to``.
        nearest_to: the valid names, from which the closest is suggested.
    """
    text = repr(got) if len(repr(got)) <= 80 else repr(got)[:77] + "..."
    line = " ".join(f"{what} in {where}: expected {expected}, got {text}".splitlines())
    suggestion = nearest(got, nearest_to) if isinstance(got, str) else None
    return BadInput(f"{line} (nearest: {suggestion!r})" if suggestion else line)
