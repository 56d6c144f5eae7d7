"""Classes of the user's: found in a folder, checked by name, refused where a file alone names them."""

import pickle
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from wormwood.configs.custom import is_custom, kind_of, load_class, load_modules, require_trusted, settings_class
from wormwood.errors import BadInput

NEEDS = {"act": "(observation, state, rng)"}
GOOD = """
from __future__ import annotations
from dataclasses import dataclass
from typing import Annotated
from pydantic import Field

@dataclass(frozen=True)
class WaveSettings:
    period: Annotated[float, Field(gt=0)] = 60.0
    joints: tuple[int, ...] = ()

class Wave:
    Settings = WaveSettings
    def act(self, observation, state, rng): ...
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest):
    """Writes a module of a name that no other test has, and forgets it afterwards."""
    names: list[str] = []
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text: str, stem: str = "own") -> str:
        name = f"{stem}_{abs(hash(request.node.nodeid))}"
        (tmp_path / f"{name}.py").write_text(text.replace("THIS", name))
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("own:Wave", True),
        ("own.agents:Wave", True),
        *(
            (name, False)
            for name in ("ncap", "ppo:model.zip", "own:", ":Wave", "a b:C", "s3://b/c", "own:Wave\n", None)
        ),
    ],
)
def test_a_class_is_named_by_its_module(name: object, expected: bool) -> None:
    assert is_custom(name) is expected


def test_settings_are_validated_like_ours_and_travel(tmp_path: Path, write) -> None:
    module = write(GOOD)
    load_modules([f"{module}:Wave"], tmp_path)
    cls = load_class(f"{module}:Wave", what="agent", needs=NEEDS)
    assert kind_of(cls) == f"{module}:Wave"
    adapter = TypeAdapter(settings_class(cls))
    settings = adapter.validate_python({"kind": f"{module}:Wave", "period": "3", "joints": [1, 2]})
    assert (settings.period, settings.joints, settings.kind) == (3.0, (1, 2), f"{module}:Wave")
    assert pickle.loads(pickle.dumps(settings)) == settings
    for wrong in ({"period": -1}, {"perod": 1}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_a_class_without_settings_has_its_kind_alone(tmp_path: Path, write) -> None:
    module = write("class Wave:\n    def act(self, observation, state, rng): ...")
    load_modules([f"{module}:Wave"], tmp_path)
    cls = load_class(f"{module}:Wave", what="agent", needs=NEEDS)
    assert vars(settings_class(cls)()) == {"kind": f"{module}:Wave"}


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (GOOD, "THIS:Wav", r"agent \S+:Wav in kind: expected a class of \S+ \(nearest: 'Wave'\), got 'Wav'"),
        (
            "class Wave: ...",
            "THIS:Wave",
            r"expected a class with the methods act\(observation, state, rng\), got 'none of",
        ),
        (
            GOOD,
            "THAT:Wave",
            r"module of THAT:Wave in configuration: expected a module that can be imported, .*got 'THAT'",
        ),
        ("import nothing_of_this_name", "THIS:Wave", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("x = 1 / 0", "THIS:Wave", r"got ZeroDivisionError: division by zero \(own_\d+.py, line 1\)"),
        ("def broken(:", "THIS:Wave", "got SyntaxError: invalid syntax"),
        (
            "from THIS import Wave\nclass Wave: ...",
            "THIS:Wave",
            r"got ImportError: cannot import name .*\(circular import\)",
        ),
        ("Wave = 3", "THIS:Wave", "expected a class of"),
        ("raise SystemExit(3)", "THIS:Wave", "got SystemExit: 3"),
        (GOOD, "os:system", "module of os:system in .*: expected a module of yours, .* got 'os'"),
        (GOOD, "antigravity:Wave", "expected a module of yours"),
        (GOOD, "venv.__main__:Wave", "expected a module of yours"),
        (GOOD, "THIS.__main__:Wave", "expected a module of yours"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(text: str, name: str, message: str, tmp_path: Path, write) -> None:
    module = write(text)
    kind = name.replace("THIS", module)
    with pytest.raises(BadInput, match=message) as caught:
        load_modules([kind], tmp_path)
        load_class(kind, what="agent", needs=NEEDS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("class Settings: ...", "expected a frozen dataclass"),
        ("@dataclass\nclass Settings:\n    period: int = 3", "expected a frozen dataclass"),
        ("@dataclass(frozen=True)\nclass Settings:\n    kind: str = 'x'", "expected fields of other names, got 'kind'"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: str, message: str, tmp_path: Path, write) -> None:
    text = f"from dataclasses import dataclass\n{settings}\nclass Wave: ...\nWave.Settings = Settings\n"
    module = write(text)
    load_modules([f"{module}:Wave"], tmp_path)
    with pytest.raises(BadInput, match=message):
        settings_class(load_class(f"{module}:Wave", what="agent", needs={}))


def test_a_module_with_the_name_of_another_is_refused_and_neighbours_hide_nothing(tmp_path: Path, write) -> None:
    (tmp_path / "random.py").write_text("raise RuntimeError('this is not the random that others mean')")
    with pytest.raises(BadInput, match=r"expected another name for .*random\.py: random is loaded already"):
        load_modules(["random:Wave"], tmp_path)
    module = write("import random\nrandom.random()\n" + GOOD.replace("from __future__ import annotations\n", ""))
    load_modules([f"{module}:Wave"], tmp_path)


def test_a_file_imports_only_what_is_trusted() -> None:
    require_trusted(["own:Wave", "own:Search", "other:Task"], ["own", "other:Task"], where="agent.json")
    with pytest.raises(BadInput, match=r"in agent\.json: expected one that you trust: add --trust other:Task"):
        require_trusted(["own:Wave", "other:Task"], ["own:Wave", "other:Tas"], where="agent.json")
