"""``import wormwood``: everything that users need by its name, loaded when it is asked for."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import wormwood

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "ray", "mujoco", "numpy", "gymnasium", "stable_baselines3")


def _python(code: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import wormwood; dir(wormwood)", []),
        ("from wormwood import BadInput", []),
        ("from wormwood import TreeConfig", []),
        ("from wormwood import Swim", ["mujoco", "numpy", "gymnasium"]),
    ],
)
def test_an_import_loads_no_more_than_what_was_asked_for(code: str, loaded: list[str], tmp_path: Path) -> None:
    assert _python(f"{code}; import sys; print([n for n in {HEAVY} if n in sys.modules])", tmp_path) == str(loaded)


def test_every_name_can_be_loaded_and_says_what_it_is() -> None:
    for name in wormwood.__all__:
        value = getattr(wormwood, name)
        assert vars(wormwood)[name] is value, "the second time it is there"
        if name != "__version__":
            assert inspect.getdoc(value), name
            assert value.__module__.startswith("wormwood."), name
    assert set(wormwood.__all__) <= set(dir(wormwood))


def test_type_checkers_see_the_names_that_are_loaded() -> None:
    stub = ast.parse((ROOT / "src/wormwood/__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    assert all(alias.asname == alias.name for node in imports for alias in node.names), "which exports it"
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == wormwood._MODULES


def test_a_wrong_name_is_told_the_nearest() -> None:
    for wrong, hint in (("NCAPolicy", " (nearest: 'NCAPPolicy')"), ("zzzzzz", "")):
        with pytest.raises(AttributeError) as error:
            getattr(wormwood, wrong)
        assert str(error.value) == f"module 'wormwood' has no attribute {wrong!r}{hint}"


def test_documents_and_examples_import_from_the_front_door() -> None:
    inner = []
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]:
        text = path.read_text(encoding="utf-8")
        inner += [
            f"{path.name}: {line}" for line in re.findall(r"^\s*(?:from|import) wormwood\..*", text, re.MULTILINE)
        ]
        for names in re.findall(r"^from wormwood import (?:\(([^)]*)\)|(.*))", text, re.MULTILINE):
            assert set(re.findall(r"\w+", "".join(names))) <= set(wormwood.__all__), path.name
    assert inner == []


@pytest.mark.parametrize("code", ["from wormwood.__main__ import main; sys.exit(main())", "from wormwood import Swim"])
def test_another_mujoco_is_refused_in_one_line(code: str) -> None:
    pretend = "import sys, importlib.metadata as m; old = m.version"
    pretend += "\nm.version = lambda name: '4.0.0' if name == 'mujoco' else old(name)"
    command = [sys.executable, "-c", f"{pretend}\n{code}", "list", "bodies"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    line = "mujoco 4.0.0 is installed, and dm-control needs MuJoCo 3: pip install 'mujoco>=3.17,<4'"
    assert done.stderr.splitlines()[-1].endswith(line)
    assert done.returncode == (2 if "main" in code else 1)
    assert len(done.stderr.splitlines()) == 1 or "main" not in code
