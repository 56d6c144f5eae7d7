"""Who is compared: agents by their names, and groups of training runs by a pattern."""

from pathlib import Path

import pytest

from wormwood.errors import BadInput
from wormwood.launch.transfer.entrants import Entry, load_entrants, name_entrants, runs_of_argument


def _touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


def test_a_group_is_what_its_pattern_finds_in_alphabetical_order() -> None:
    _touch("runs/w-1", "runs/w-0", "runs/w 2", "runs/other", "zips/a.zip", "zips/b.zip")
    assert runs_of_argument("worms=runs/w*") == ("worms", ["runs/w 2", "runs/w-0", "runs/w-1"])
    assert runs_of_argument("worms=runs/w-0") == ("worms", ["runs/w-0"])
    assert runs_of_argument("mlp=ppo:zips/*.zip?activation=relu") == (
        "mlp",
        ["ppo:zips/a.zip?activation=relu", "ppo:zips/b.zip?activation=relu"],
    )
    with pytest.raises(BadInput, match="group worms in transfer: expected a pattern that finds runs or zips"):
        runs_of_argument("worms=runs/x*")


def test_what_is_an_agent_by_itself_is_no_group() -> None:
    _touch("a=b")
    for text in ("ncap", "a=b", "ppo:zips/a.zip?activation=relu", "runs/x=1/agent", "s3://bucket/a?b=c"):
        assert runs_of_argument(text) == (None, [text])


def test_names_tell_everybody_apart() -> None:
    entries = [
        Entry("runs/a/w", "runs/a/w", "w"),
        Entry("runs/b/w", "runs/b/w", "w"),
        Entry("ncap", "ncap", "ncap"),
        Entry("g=runs/*/w", "runs/a/w", "w", "g"),
    ]
    assert name_entrants(entries) == [
        ("runs/a/w", "runs/a/w"),
        ("runs/b/w", "runs/b/w"),
        ("ncap", "ncap"),
        ("g", "g=runs/a/w"),
    ]
    with pytest.raises(
        BadInput, match="group in transfer: expected a name that no agent of the report has, got 'ncap'"
    ):
        name_entrants([*entries, Entry("ncap=x", "x", "x", "ncap")])


def test_nobody_is_there_twice() -> None:
    assert len(load_entrants(["ncap", "same=ncap", "other=ncap"])) == 3
    for arguments in (["ncap", "zero", "ncap"], ["g=ncap", "g=ncap"]):
        with pytest.raises(BadInput, match="expected each agent once, got 'ncap'"):
            load_entrants(arguments)
    with pytest.raises(BadInput, match="at least one agent"):
        load_entrants([])
