"""YAML: what is read as what, and what is refused with one line."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wormwood.configs.yaml_files import parse_mapping, parse_value, read_preset_or_file, to_yaml
from wormwood.errors import BadInput


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 5e-4),
        ("-1E3", -1000.0),
        ("1.e-2", 0.01),
        ("7", 7),
        ("true", True),
        ("", None),
        ("swimmer-6", "swimmer-6"),
        ("2020-01-01", "2020-01-01"),
        ("2020-13-45", "2020-13-45"),
        ("2020-01-01 12:00:00", "2020-01-01 12:00:00"),
        ("a!b", "a!b"),
        ("[1, {a: 2}]", [1, {"a": 2}]),
    ],
)
def test_values(text: str, value: Any) -> None:
    got = parse_value(text, where="test")
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("!!int foo", r"found a tag \(!\), which is not allowed here in line 1, column 1"),
        ("!!timestamp foo", "found a tag"),
        ("!!python/object/apply:os.system [echo]", "found a tag"),
        ("a: 1\nb: !x 2", "found a tag .* in line 2, column 4"),
        ("[" * 5000, "too many levels"),
        ("{a: " * 5000, "too many levels"),
        ("- " * 5000, "too many levels"),
        ("a:\t- x\n\tb: 1", r"cannot start any token in line 1"),
        ("a: 1\nb: 2\na: 3", "found the key 'a' twice in line 3, column 1"),
        ("x:\n  b: 1\n  'b': 2", "found the key 'b' twice in line 3, column 3"),
        ("{[1]: 2}", "unhashable key"),
        ("9" * 5000, "4300 digits"),
        ("1" + ":0" * 500 + ".5", "too large"),
        ("0b_", "invalid literal"),
        ("*x", "undefined alias"),
        ("a: [1", "got"),
        ("--- 1\n--- 2", "another document"),
        ("\x00", "unacceptable character"),
    ],
)
def test_what_is_no_yaml_is_refused_with_one_line_that_says_where(text: str, problem: str) -> None:
    with pytest.raises(BadInput, match=f"invalid YAML in mine.yaml: expected .*{problem}") as caught:
        parse_mapping(text, where="mine.yaml")
    assert "\n" not in str(caught.value)


def test_a_key_may_stand_again_in_another_mapping_and_replace_a_merged_one() -> None:
    text = "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, x: 3}\n"
    assert parse_mapping(text, where="test") == {"a": {"x": 1}, "b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}}


@pytest.mark.parametrize("text", ["3", "[a]", "", "1: 2", "null: 2"])
def test_what_is_no_mapping_of_names_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="YAML in test: expected a mapping of names to values"):
        parse_mapping(text, where="test")


@given(text=st.text(alphabet="ab01:-.[]{}&*!|>'\"\n\t #%,_?eE+", max_size=40))
def test_any_text_is_a_value_or_bad_input(text: str) -> None:
    try:
        parse_value(text, where="test")
    except BadInput as error:
        assert "\n" not in str(error)


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="ascii"))


@given(value=st.dictionaries(st.text("abc", min_size=1), plain | st.lists(plain)))
def test_what_is_written_is_read_back(value: dict[str, Any]) -> None:
    assert parse_mapping(to_yaml(value), where="test") == value


@pytest.mark.parametrize("name", ["none.yaml", "a\x00b.yaml", "\ud800.yaml", "x" * 5000 + ".yaml"])
def test_a_file_that_cannot_be_opened_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="unreadable body file"):
        read_preset_or_file("bodies", name, what="body", where="body")
