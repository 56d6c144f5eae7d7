"""Classes of small grey images: scikit-learn's digits, letters of matplotlib's fonts, and a user's Omniglot folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from wormwood.envs.few_shot.classification import ImageClasses
from wormwood.envs.few_shot.trials import Floats32
from wormwood.errors import bad_input

__all__ = ["digits", "glyphs", "load_omniglot"]

FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique", "DejaVuSerif", "DejaVuSerif-Bold",
    "DejaVuSerif-Italic", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique",
)  # fmt: skip
"""Those of matplotlib's that have the letters below: ten examples of each."""

LETTERS = (
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπρστφχψω"
    "БДЖИЛФЦЧШЩЪЫЬЭЮЯбгджзлфцчшщъыьэюя0123456789@#%&?!§¶"
)
"""Latin, Greek and Cyrillic letters, figures and signs, without those that look the same in some font."""


def digits(*, held_out: int = 4) -> ImageClasses:
    """Return scikit-learn's 1797 handwritten digits of 8 × 8, in [0, 1]; the last ``held_out`` figures are held out.

    Raises:
        BadInput: ``held_out`` leaves no class to one side.
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    loaded = load_digits()
    images = (loaded.data / 16).astype(np.float32)
    return ImageClasses([images[loaded.target == figure] for figure in range(10)], held_out, name="digits")


def glyphs(*, held_out: int = 30, side: int = 12) -> ImageClasses:
    """Return letters drawn in ten fonts of the DejaVu family, ``side × side`` in [0, 1].

    Classes are dealt once, by a fixed permutation, so that every alphabet is on both sides.

    Args:
        held_out: classes that are never trained on.
        side: pixels of a side.

    Raises:
        BadInput: ``held_out`` leaves no class to one side, or there are no pixels.
    """
    if side < 4:
        raise bad_input("side", where="few-shot glyphs", expected="at least 4 pixels", got=side)
    order = np.random.default_rng(0).permutation(len(LETTERS))
    return ImageClasses([_draw(LETTERS[index], side) for index in order], held_out, name="glyphs")


def _draw(letter: str, side: int) -> Floats32:
    """Return a letter in every font, ``[fonts, side * side]``."""
    import matplotlib
    from PIL import ImageDraw, ImageFont

    folder, large = Path(matplotlib.get_data_path()) / "fonts" / "ttf", 4 * side
    drawn = []
    for name in FONTS:
        font = ImageFont.truetype(str(folder / f"{name}.ttf"), round(0.8 * large))
        image = Image.new("L", (large, large))
        ImageDraw.Draw(image).text((large / 2, large / 2), letter, fill=255, font=font, anchor="mm")
        drawn.append(_pixels(image, side))
    return np.stack(drawn)


def load_omniglot(folder: Path, *, held_out: float = 0.2, side: int = 20) -> ImageClasses:
    """Load a folder of the user's: ``alphabet/character/*.png``, as the published archives unpack.

    Ink becomes 1. Whole alphabets are held out, the last in the order of their names.

    Args:
        folder: such as ``images_background``.
        held_out: share of the alphabets, at least one, that is never trained on.
        side: images are scaled down to ``side × side``.

    Raises:
        BadInput: there is no such folder, fewer than two alphabets, a character without images, or a file that is no
            image.
    """
    where = f"Omniglot folder {folder}"
    if not folder.is_dir():
        raise bad_input("no folder", where=where, expected="one with alphabet/character/*.png", got=str(folder))
    alphabets = sorted(path for path in folder.iterdir() if path.is_dir())
    if len(alphabets) < 2:
        raise bad_input("alphabets", where=where, expected="at least 2 folders of characters", got=len(alphabets))
    classes, counts = list[Floats32](), list[int]()
    for alphabet in alphabets:
        characters = sorted(path for path in alphabet.iterdir() if path.is_dir())
        classes += [_load_character(character, side) for character in characters]
        counts.append(len(characters))
    kept = max(1, round(held_out * len(alphabets)))
    return ImageClasses(classes, sum(counts[-kept:]), name="Omniglot")


def _load_character(folder: Path, side: int) -> Floats32:
    files = sorted(folder.glob("*.png"))
    if not files:
        raise bad_input("character", where=str(folder), expected="at least one .png file", got="none")
    images = []
    for file in files:
        try:
            with Image.open(file, formats=("PNG",)) as image:
                images.append(1 - _pixels(image.convert("L"), side))
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise bad_input("image", where=str(file), expected="a PNG file", got=str(error)) from None
    return np.stack(images)


def _pixels(image: Image.Image, side: int) -> Floats32:
    pixels = np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float32).reshape(-1)
    return (pixels / 255).astype(np.float32)
