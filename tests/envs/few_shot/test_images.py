"""Images of classes: digits, letters of fonts, and a user's folder."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wormwood.envs.few_shot.images import FONTS, LETTERS, digits, glyphs, load_omniglot
from wormwood.errors import BadInput


def test_digits_are_all_there() -> None:
    classes = digits()
    assert [len(images) for images in classes.images] == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert classes.size == 64
    assert classes.images[0].min() == 0
    assert classes.images[0].max() == 1


def test_letters_differ_and_every_font_draws_them() -> None:
    classes = glyphs(side=8)
    assert len(classes.images) == len(LETTERS) == len(set(LETTERS))
    images = np.stack(classes.images)
    assert images.shape == (len(LETTERS), len(FONTS), 64)
    assert images.max(axis=2).min() > 0.3  # none is blank
    # A font without a letter draws a box, the same for all: no two letters are the same.
    assert all(len(np.unique(images[:, font], axis=0)) == len(LETTERS) for font in range(len(FONTS)))


def _write(folder: Path, shade: int) -> None:
    folder.mkdir(parents=True)
    for number in range(2):
        Image.new("1", (105, 105), shade).save(folder / f"{number}.png")


def test_an_omniglot_folder_is_loaded_with_whole_alphabets_held_out(tmp_path: Path) -> None:
    for alphabet, characters in (("Aurek", 3), ("Braille", 2), ("Cyrillic", 4)):
        for number in range(characters):
            _write(tmp_path / alphabet / f"character{number:02}", shade=number == 0)
    classes = load_omniglot(tmp_path, side=10)
    assert len(classes.images) == 9
    assert classes.held_out == 4
    assert [float(images.mean()) for images in classes.images] == [0, 1, 1, 0, 1, 0, 1, 1, 1]  # ink is 1
    assert classes.images[0].shape == (2, 100)


def test_folders_that_are_none_are_bad_input_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^no folder in Omniglot folder .*none: expected one with alphabet/character"):
        load_omniglot(tmp_path / "none")
    (tmp_path / "one").mkdir()
    with pytest.raises(BadInput, match=r"^alphabets in .*: expected at least 2 folders of characters, got 1"):
        load_omniglot(tmp_path)
    (tmp_path / "two" / "character01").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"^character in .*character01: expected at least one \.png file, got 'none'"):
        load_omniglot(tmp_path)
    (tmp_path / "two" / "character01" / "a.png").write_text("no image")
    with pytest.raises(BadInput, match=r"^image in .*a\.png: expected a PNG file"):
        load_omniglot(tmp_path)


def test_importing_tasks_loads_neither_torch_nor_matplotlib() -> None:
    loaded = "[name for name in ('torch', 'matplotlib.pyplot', 'sklearn') if name in sys.modules]"
    script = f"import sys, wormwood.envs.few_shot.images, wormwood.envs.few_shot.regression; print({loaded})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
