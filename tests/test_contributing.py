"""The recipes of CONTRIBUTING.md run as they are written, in an empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

RECIPES = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## Adding to it")[1]


def _recipes() -> dict[str, list[tuple[str, str]]]:
    """Return the blocks of each recipe: language and text."""
    sections = re.split(r"^### ", RECIPES, flags=re.MULTILINE)[1:]
    blocks = {text.split("\n")[0]: re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL) for text in sections}
    return {title: found for title, found in blocks.items() if found}


def test_there_is_a_recipe_for_everything() -> None:
    assert list(_recipes()) == ["A body", "A preset", "A task", "A task family", "An agent", "A learner"]


@pytest.mark.parametrize(
    "title",
    [
        "An agent",  # the others take as long, and fail for the same reasons
        *(pytest.param(title, marks=pytest.mark.slow) for title in _recipes() if title not in ("A preset", "An agent")),
    ],
)
def test_a_recipe_runs_as_it_is_written(title: str, tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "XDG_STATE_HOME": str(tmp_path / "state")}
    # Others build on the preset.
    for language, text in [*_recipes()["A preset"], *_recipes()[title]]:
        if language == "bash":
            done = subprocess.run(
                ["bash", "-ec", text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        else:
            name = text.split("\n")[0].removeprefix("# ")
            (tmp_path / name).write_text(text, encoding="utf-8")
