"""What the parsers of all verbs have in common."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wormwood.__main__ import main as entry_point
from wormwood.errors import BadInput
from wormwood.launch.cli.main import main, make_parser


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "swim-ncap-es", "--address", "auto"], "train --address: expected none without --workers"),
        (["transfer", "zero", "--address", "auto"], "transfer --address: expected none without --workers"),
        (["bench", "rollout", "--seeds", "3"], "--seeds: expected none for rollout: it is of memory, got 3"),
        (["bench", "rollout", "--what", "recall"], "--what: expected none for rollout: it is of memory"),
        (["bench", "memory", "--seconds", "3"], "--seconds: expected none for memory: it is of rollout, train, trees"),
        (["bench", "scale", "--peers", "python"], "--peers: expected none for scale: it is of train, trees"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
    assert not any(Path().iterdir())


NONSENSE = ("", " ", "-1", "nan", "inf", "1e308", "9" * 20, "two", "a\nb", "x" * 5000, "dir", "dir.yaml", "dir.xml")
NONSENSE += ("empty.yaml", "bytes.yaml", "list.yaml", "bad.xml", "bad.zip", "ppo:bad.zip", "ppo:dir", "gone.yaml")
NONSENSE += ("g=", "=", "g=*", "s3://", "http://x/y", "gone:Class", "--", "%s", "/dev/null", "/dev/null/x")
REFUSED = {
    "train": ["swim-ncap-es", "--set", "nonsense=1"],
    "evaluate": ["gone"],
    "transfer": ["gone"],
    "inspect": ["gone"],
    "video": ["gone", "--out", "v.avi"],
    "list": ["gone"],
    "status": ["gone"],
    "bench": ["memory", "--what", "gone"],
}
"""Arguments of each verb that are refused at last, so that no nonsense before them starts anything."""


def _options() -> list[tuple[str, str]]:
    verbs = next(action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)).choices
    return [
        (verb, option)
        for verb in REFUSED
        for action in verbs[verb]._actions
        for option in action.option_strings[:1]
        if option.startswith("--") and action.nargs != 0
    ]


@pytest.mark.parametrize(("verb", "option"), _options())
def test_nonsense_for_any_option_is_one_line(verb: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    _make_odd_files()
    before = sorted(Path().rglob("*"))
    for text in NONSENSE:
        assert main([verb, *REFUSED[verb], f"{option}={text}"]) == 2, text
        error = capsys.readouterr().err
        assert error.startswith("wormwood: ") and error.count("\n") == 1, error
        assert ",," not in error
    assert sorted(Path().rglob("*")) == before, "nothing is left behind"


CHECKED = {
    "evaluate": (["zero", "--episodes", "1"], ("--body", "--task", "--plot")),
    "inspect": (["ncap"], ("--body",)),
    "video": (["zero", "--out", "v.png", "--seconds", "0.1"], ("--body", "--task")),
    "transfer": (["zero", "--seeds", "1"], ("--suite",)),
    "train": (["swim-ncap-es"], ("--set",)),
}
"""Options that files and names are looked up for, beside arguments that are right."""


@pytest.mark.parametrize(("verb", "option"), [(verb, name) for verb, (_, names) in CHECKED.items() for name in names])
def test_names_and_files_that_are_none_are_one_line(verb: str, option: str, capsys: pytest.CaptureFixture[str]) -> None:
    _make_odd_files()
    for text in NONSENSE:
        assert main([verb, *CHECKED[verb][0], f"{option}={text}"]) == 2, text
        error = capsys.readouterr().err
        assert error.startswith("wormwood: ") and error.count("\n") == 1, error


@pytest.mark.parametrize("verb", ["train", "evaluate", "transfer", "inspect", "status", "list"])
def test_what_is_no_agent_preset_or_run_is_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    _make_odd_files()
    for text in NONSENSE:
        if not text.startswith("-"):
            assert main([verb, text]) == 2, text
            error = capsys.readouterr().err
            assert error.startswith("wormwood: ") and error.count("\n") == 1, error


def _make_odd_files() -> None:
    for name in ("dir", "dir.yaml", "dir.xml"):
        Path(name).mkdir()
    Path("empty.yaml").write_text("")
    Path("bytes.yaml").write_bytes(b"\xff\x00\xfe")
    Path("list.yaml").write_text("[1, 2]")
    Path("bad.xml").write_text("<mujoco")
    Path("bad.zip").write_bytes(b"PK\x03\x04nonsense")


def test_ctrl_c_while_the_command_is_loaded_is_one_line_and_130(capsys, monkeypatch) -> None:
    class Interrupting:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "wormwood.launch.cli.main":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "wormwood.launch.cli.main")
    monkeypatch.setattr(sys, "meta_path", [Interrupting(), *sys.meta_path])
    assert entry_point() == 130
    assert capsys.readouterr().err == "wormwood: interrupted\n"


@pytest.mark.parametrize("verb", [["inspect", "ncap"], ["video", "ncap", "--out", "v.png"]])
def test_a_body_is_not_dropped_where_only_one_has_a_place(verb: list[str]) -> None:
    with pytest.raises(BadInput, match=r"--body: expected it once, got 'swimmer-12'"):
        make_parser().parse_args([*verb, "--body", "swimmer-6", "--body", "swimmer-12"])
