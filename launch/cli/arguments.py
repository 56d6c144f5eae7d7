"""What the parsers of all verbs share: errors in one line, and the numbers that arguments may be."""

from __future__ import annotations

import argparse
import functools
import re
from collections.abc import Callable
from typing import Any, NoReturn

from wormwood.envs.faces.common import LARGEST_SEED
from wormwood.errors import BadInput, bad_input
from wormwood.launch.storage.mirrors import is_url

__all__ = [
    "AGENT_HELP",
    "Parser",
    "add_trust",
    "add_verb",
    "add_workers",
    "check_workers",
    "episodes",
    "local_path",
    "number",
    "seconds",
    "seed",
    "whole",
    "workers",
]

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

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # argparse takes `--out=` for an empty text, and `--out=--` for no value at all.
        name = "/".join(action.option_strings) or action.metavar or action.dest
        if action.nargs == argparse.PARSER:  # a verb, and all that it parses itself
            return super()._get_values(action, arg_strings)
        if "" in arg_strings or (action.option_strings and arg_strings == ["--"]):
            raise bad_input("argument", where=f"{self.prog} {name}", expected="a value", got=arg_strings[0])
        return super()._get_values(action, arg_strings)

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


def add_workers(parser: Parser, what: str) -> None:
    """Add the options that say where the work is done."""
    parser.add_argument("--workers", type=workers, default=0, help=f"{what}; 0 uses none")
    parser.add_argument("--address", default="local", help="of a running Ray cluster; default: one of its own")


def check_workers(options: argparse.Namespace) -> None:
    """Check that a cluster that was named has something to do.

    Raises:
        BadInput: there are no workers on it.
    """
    if options.address != "local" and not options.workers:
        expected = "none without --workers: nothing would run there"
        raise bad_input("option", where=f"{options.verb} --address", expected=expected, got=options.address)


def _trusted(text: str) -> str:
    """Return the name of a class, an environment or a module.

    Raises:
        argparse.ArgumentTypeError: it is none.
    """
    if re.fullmatch(r"[A-Za-z_][\w.]*(:[A-Za-z_][\w./-]*)?", text) is None:
        raise argparse.ArgumentTypeError(f"expected module:Class, or a module, got {text!r}")
    return text


def local_path(text: str) -> str:
    """Return the path of what is written on this machine.

    Raises:
        argparse.ArgumentTypeError: it is a URL, where nothing but runs can be.
    """
    if is_url(text):
        raise argparse.ArgumentTypeError(f"expected a path on this machine, got {text!r}")
    return text


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
