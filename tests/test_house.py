"""The house: what docs/architecture.md names is there, rooms are small, and public functions state shapes."""

import ast
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def house() -> ModuleType:
    spec = importlib.util.spec_from_file_location("house", ROOT / "benchmarks" / "house.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["house"] = module
    spec.loader.exec_module(module)
    return module


def test_what_the_architecture_names_is_there() -> None:
    cells = re.findall(r"^\| (`[\w/]+\.py`.*?) \|", ARCHITECTURE, flags=re.MULTILINE)
    found = 0
    for token in re.findall(
        r"`([^`]+)`", " ".join([*cells, *re.findall(r"`launch/run/trust.py` `\w+`", ARCHITECTURE)])
    ):
        if token.endswith(".py"):
            source = (ROOT / token).read_text(encoding="utf-8")
            continue
        for part in token.split("."):
            assert re.search(rf"\b{part}\b", source), f"{token} is not in its file"
            found += 1
    assert found >= 20
    for path in re.findall(r"`?((?:tests|benchmarks)/[\w/]+\.py)", ARCHITECTURE):
        assert (ROOT / path).is_file()


def test_no_import_climbs_and_the_room_that_trains_is_small(house: ModuleType) -> None:
    floors = {room: number for number, floor in enumerate(house.FLOORS) for room in floor}
    pairs = house.imports_between_rooms()
    assert len(pairs) > 40
    assert [pair for pair in pairs if floors[pair[0]] > floors[pair[1]]] == []
    assert len(list((ROOT / "launch" / "run").glob("*.py"))) <= 30


def test_files_and_functions_are_short(house: ModuleType) -> None:
    for path in house.sources():
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                documented = ast.get_docstring(node, clean=False)
                length = (node.end_lineno or 0) - node.lineno + 1 - (documented.count("\n") + 1 if documented else 0)
                assert length <= 60, f"{path}:{node.lineno}"


def test_public_functions_with_arrays_state_shapes(house: ModuleType) -> None:
    counted, stated, missing = house.stated_shapes()
    assert counted > 200
    assert stated >= 0.95 * counted, "\n".join(missing)
