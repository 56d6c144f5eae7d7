"""The package as it is installed and built, and the rules that hold for every file."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata, resources
from pathlib import Path

import pytest
import yaml

import wormwood

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("agents", "configs", "envs", "launch", "trees")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
"""Without the docstring."""


def _run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command to its end; where it fails, so does the test, with what the command printed."""
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _python(code: str, cwd: Path) -> str:
    """Run code in a fresh interpreter that sees only what is installed."""
    return _run(sys.executable, "-I", "-c", code, cwd=cwd).strip()


def _tool(name: str) -> Path:
    return Path(sys.executable).parent / name


def _listed_files() -> list[Path]:
    """The files git tracks, and those it would track if they were added now."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = _run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def _sources() -> list[Path]:
    """Every module of the package, by its real place."""
    modules = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return sorted([*(ROOT / "src/wormwood").glob("*.py"), *modules])


def _packed_name(path: Path) -> str:
    """Where a file of the source tree lies in the installed package."""
    inner = path.relative_to(ROOT / "src/wormwood" if path.is_relative_to(ROOT / "src") else ROOT)
    return f"wormwood/{inner.as_posix()}"


def _module_name(path: Path) -> str:
    return _packed_name(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


# --- where the package is found


def test_imports_from_a_foreign_directory_with_folders_of_the_same_names(tmp_path):
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("raise ImportError('a folder of the user')")
    names = ", ".join(f"wormwood.{folder}" for folder in FOLDERS)
    code = f"import sys; sys.path.insert(0, ''); import {names}; print(wormwood.envs.__name__)"
    assert _python(code, cwd=tmp_path) == "wormwood.envs"


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_package_links_to_the_folders_at_the_root(folder):
    link = ROOT / "src" / "wormwood" / folder
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{folder}"
    assert link.resolve() == (ROOT / folder).resolve()
    assert (link / "__init__.py").is_file()


def test_git_keeps_the_links_as_links():
    if not (ROOT / ".git").exists() or not _run("git", "ls-files", "src"):
        pytest.skip("nothing is committed here")
    modes = {
        line.split("\t")[1]: line.split()[0] for line in _run("git", "ls-files", "-s", "src/wormwood").splitlines()
    }
    assert {modes.get(f"src/wormwood/{folder}") for folder in FOLDERS} == {"120000"}


def test_the_version_is_a_literal_and_the_installed_one():
    tree = ast.parse((ROOT / "src/wormwood/__init__.py").read_text(encoding="utf-8"))
    values = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__version__"]
    ]
    assert [ast.literal_eval(value) for value in values] == [wormwood.__version__]
    assert metadata.version("wormwood") == wormwood.__version__


def test_the_command_is_installed():
    (script,) = (point for point in metadata.distribution("wormwood").entry_points if point.name == "wormwood")
    assert script.group == "console_scripts"
    assert script.value == "wormwood.__main__:main"
    assert callable(script.load())


def test_presets_are_package_data_and_valid_yaml():
    presets = resources.files("wormwood.configs")
    for folder in ("bodies", "train"):
        files = [entry for entry in presets.joinpath(folder).iterdir() if entry.name.endswith(".yaml")]
        assert files, f"configs/{folder} holds no preset"
        for file in files:
            assert isinstance(yaml.safe_load(file.read_text(encoding="utf-8")), dict), file.name


# --- what an import brings along


@pytest.mark.parametrize("module", ["wormwood", "wormwood.envs", "wormwood.trees", "wormwood.launch.run.rollouts"])
def test_a_rollout_worker_loads_no_torch(module, tmp_path):
    heavy = ["torch", "stable_baselines3", "ray"]
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    assert _python(code, cwd=tmp_path) == "[]"


# --- the rules for every file


def test_ruff_finds_nothing():
    _run(_tool("ruff"), "check", ".")


def test_types_are_strict():
    checked = re.search(r"(\d+) source files", _run(_tool("mypy")))
    assert checked is not None
    assert int(checked[1]) >= len(_sources()), "mypy sees the modules behind the symlinks"


def test_imports_run_one_way():
    _run(_tool("lint-imports"), "--no-logo")


def test_the_import_rules_see_every_module(tmp_path):
    """The linter follows the symlinks: were they skipped, every contract would hold for an empty package."""
    code = "import grimp; print(*grimp.build_graph('wormwood', cache_dir=None).modules)"
    names = {_module_name(path) for path in _sources()}
    assert set(_python(code, cwd=tmp_path).split()) == names


def test_every_folder_of_modules_is_a_package():
    """Setuptools leaves out a folder without an __init__.py, and the installed package is incomplete."""
    assert [path for path in _sources() if not (path.parent / "__init__.py").is_file()] == []


def test_files_and_functions_fit_the_eye():
    too_long = []
    for path in _sources():
        text = path.read_text(encoding="utf-8")
        if (lines := text.count("\n")) > MAX_FILE_LINES:
            too_long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (lines := _body_lines(node)) > MAX_FUNCTION_LINES
            ):
                too_long.append(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines")
    assert not too_long, "\n".join(too_long)


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    is_docstring = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_no_file_names_a_place_on_one_machine():
    """Absolute paths work on one machine only. A container's own /home/ray is the same everywhere."""
    places = [r"(?:home|Users)/(?!ray\b|USER\b|you\b)\w+", r"root/\w+"]
    places += [re.escape(str(place).lstrip("/")) + r"\b" for place in (ROOT, Path.home()) if len(place.parts) > 2]
    pattern = re.compile(r"(?<![\w.~:/-])/(?:" + "|".join(places) + ")")
    found = []
    for path in _listed_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert not found, "\n".join(found)


def test_every_requirement_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[\w.]+", pin)] == []
    pinned = {pin.partition("==")[0] for pin in pins}
    required = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in required}
    assert names <= pinned


# --- the wheel


@pytest.mark.slow
def test_a_wheel_built_through_an_sdist_is_complete(tmp_path):
    tree = tmp_path / "tree"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in (*FOLDERS, "src"):
        shutil.copytree(ROOT / folder, tree / folder, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    _build("sdist", tree, tmp_path)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        sdist.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    _build("wheel", unpacked, tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    presets = (ROOT / "configs").rglob("*.yaml")
    typing = [ROOT / "src/wormwood" / name for name in ("py.typed", "__init__.pyi")]
    expected = {_packed_name(path) for path in [*_sources(), *presets, *typing]}
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected


def _build(kind: str, tree: Path, out: Path) -> None:
    """Build with the setuptools that is installed, so without a network."""
    code = f"from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})"
    _run(sys.executable, "-c", code, cwd=tree)


# --- the lock file


def _pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==([^\s;]+)", text, flags=re.MULTILINE))


def test_the_lock_has_hashes_of_everything_and_the_versions_that_the_tests_pass_with():
    text = (ROOT / "requirements.lock").read_text()
    locked = _pins(text)
    entries = re.split(r"\n(?=[a-z])", text.split("\n", 2)[2].strip())
    assert len(entries) == len(locked)
    for entry in entries:
        assert re.fullmatch(r"[a-z0-9.-]+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", entry), entry.splitlines()[0]
    pinned = _pins((ROOT / "constraints.txt").read_text())
    assert {name: pinned[name] for name in locked.keys() & pinned.keys()} == {
        name: version for name, version in locked.items() if name in pinned
    }
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[\[<>=!~ ]", each)[0].lower() for each in needed} <= locked.keys()
