"""What the parsers of all verbs share: errors in one line, and the numbers that arguments may be."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from typing import Any, NoReturn

from wormwood.envs.faces.common import LARGEST_SEED
from wormwood.errors import BadInput, bad_input

__all__ = ["AGENT_HELP", "Parser", "add_trust", "add_verb", "episodes", "number", "seconds", "seed", "whole", "workers"]

AGENT_HELP = (
    "a run, an exported agent, a Stable-Baselines3 zip as ppo:FILE.zip, "
    "or one of ncap, mlp, random, zero (none of them trained)"
)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are bad input like any other: one line, with the nearest valid name."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)
        self.register("action", "once", _Once)

    def add_argument(self, *names: Any, **kwargs: Any) -> argparse.Action:
        """Add an argument. One that takes several values, such as ``nargs="+"``, collects those of every time."""
        if kwargs.get("nargs") in ("+", "*"):
            kwargs.setdefault("action", "extend")
        return super().add_argument(*names, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message} (see {self.prog} --help)")

    def refuse(self, unknown: str) -> NoReturn:
        """Raise the error for an argument that this verb does not have."""
        options = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        expected = f"one of {', '.join(options)}"
        raise bad_input("unknown argument", where=self.prog, expected=expected, got=unknown, nearest_to=options)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            what = f"unknown {action.metavar or action.dest}"
            raise bad_input(what, where=self.prog, expected=f"one of {', '.join(names)}", got=value, nearest_to=names)


class _Once(argparse.Action):
    """Takes the only value of an option that collects several elsewhere, and refuses a second one."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        if getattr(namespace, self.dest) is not None:
            raise bad_input("option", where=f"{parser.prog} {option}", expected="it once", got=values)
        setattr(namespace, self.dest, values)


def add_verb(verbs: Any, name: str, run: Any, summary: str, example: str) -> Parser:
    """Add a verb that ``run`` does, given its parsed arguments."""
    parser: Parser = verbs.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", epilog=f"example: {example}"
    )
    parser.set_defaults(run=run, parser=parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    return parser


def add_trust(parser: Parser) -> None:
    """Add the option that names the code which files of somebody else's may name."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="MODULE[:NAME]",
        help="a class, environment or module that is not ours, and that files may name: loading them then runs its "
        "code. It is in this folder, or installed. Of your own runs on this machine it is known",
    )


def number(text: str, parse: Callable[[str], float], what: str, least: float, most: float) -> Any:
    """Return the number that an argument says.

    Raises:
        argparse.ArgumentTypeError: it is none, or not from ``least`` to ``most``.
    """
    try:
        value = parse(text)
    except ValueError:
        value = least - 1
    if least <= value <= most:
        return value
    limit = f"at most {most}" if value > most else f"at least {least}"
    raise argparse.ArgumentTypeError(f"expected {what} of {limit}, got {text!r}")


whole = functools.partial(number, parse=int, what="a whole number")
seed = functools.partial(whole, least=0, most=LARGEST_SEED)
workers = functools.partial(whole, least=0, most=1000)
episodes = functools.partial(whole, least=1, most=10_000)
seconds = functools.partial(number, parse=float, what="a number of seconds", least=0.01, most=3600)
