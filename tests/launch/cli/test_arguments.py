"""What the parsers of all verbs have in common."""

import argparse
from collections.abc import Iterator

import pytest

from wormwood.errors import BadInput
from wormwood.launch.cli.main import make_parser


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Give a parser and those of all its verbs."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _parsers(inner)


def test_whatever_takes_several_values_collects_those_of_every_time() -> None:
    several = [
        (parser.prog, action)
        for parser in _parsers(make_parser())
        for action in parser._actions
        if action.nargs in ("+", "*")
    ]
    assert {f"{prog} {action.dest}" for prog, action in several} >= {
        "wormwood evaluate body",
        "wormwood transfer agents",
        "wormwood transfer fine_tune",
    }
    for prog, action in several:
        assert isinstance(action, argparse._ExtendAction), f"{prog} {action.dest} keeps the last values only"


def test_values_given_one_by_one_are_those_given_at_once() -> None:
    parse = make_parser().parse_args
    apart = ["--body", "swimmer-6", "--episodes", "2", "--body", "swimmer-12", "viscous"]
    assert parse(["evaluate", "ncap", *apart]).body == ["swimmer-6", "swimmer-12", "viscous"]
    assert parse(["evaluate", "ncap"]).body == [], "the values of one command are not those of the next"
    assert parse(["transfer", "ncap", "--fine-tune", "0.1", "--fine-tune", "1"]).fine_tune == [0.1, 1.0]
    assert parse(["train", "p", "--set", "a=1", "--set", "b=2"]).overrides == ["a=1", "b=2"]


@pytest.mark.parametrize("verb", [["inspect", "ncap"], ["video", "ncap", "--out", "v.png"]])
def test_a_body_is_not_dropped_where_only_one_has_a_place(verb: list[str]) -> None:
    with pytest.raises(BadInput, match=r"--body: expected it once, got 'swimmer-12'"):
        make_parser().parse_args([*verb, "--body", "swimmer-6", "--body", "swimmer-12"])
