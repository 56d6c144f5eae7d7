"""What is in a zip of Stable-Baselines3, without decoding anything that could hold a command.

Such a zip keeps some fields pickled: they are never decoded. ``policy.pth`` is read with ``weights_only=True``, and of
``data`` the plain JSON that Stable-Baselines3 writes beside each pickled field.
"""

from __future__ import annotations

import json
import re
import stat
import warnings
import zipfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from wormwood.agents.policies.interfaces import Arrays
from wormwood.errors import bad_input

__all__ = ["ZipContents", "read_normalization", "read_zip"]

TENSORS, SETTINGS = "policy.pth", "data"
LARGEST_TENSORS, LARGEST_SETTINGS = 2**30, 2**26
"""Bytes of each, unpacked."""
LARGEST_NORMALIZATION = 2**20
"""Bytes of the means and variances of observations."""


@dataclass(frozen=True)
class ZipContents:
    """What can be read of a model without running anything."""

    tensors: Arrays
    """Of the policy and its critics, by name."""
    settings: dict[str, Any]
    """The plain JSON of its fields."""


def read_zip(source: Path | BytesIO, *, where: str) -> ZipContents:
    """Return the tensors and the settings of a zip of Stable-Baselines3.

    Args:
        source: the file, or what it holds.
        where: its name, for messages.

    Raises:
        BadInput: it is no such zip, is no regular file, or unpacks to more than a policy takes.
    """
    expected = f"a zip that Stable-Baselines3 saved, with a {TENSORS} of weights alone"
    try:
        if isinstance(source, Path):
            _require_regular(source)
        with zipfile.ZipFile(source) as archive:
            tensors = _member(archive, TENSORS, LARGEST_TENSORS)
            settings = json.loads(_member(archive, SETTINGS, LARGEST_SETTINGS))
        if not isinstance(settings, dict):
            raise ValueError(f"{SETTINGS} is a {type(settings).__name__}")
        return ZipContents(_read_tensors(tensors), settings)
    except Exception as error:
        # Whatever a damaged or malicious file makes of the readers, it is the file that is wrong. The first sentence
        # says what: torch goes on with how to trust the file all the same.
        summary = re.split(r"\.\s|\n", str(error).strip())[0] or type(error).__name__
        raise bad_input("unreadable zip", where=where, expected=expected, got=summary) from error


def read_normalization(path: Path) -> Arrays:
    """Return ``mean [D]``, ``deviation [D]`` and ``clip []`` of the observations that a policy was trained on.

    The file is what ``numpy.savez(path, mean=v.obs_rms.mean, var=v.obs_rms.var, clip=v.clip_obs, epsilon=v.epsilon)``
    writes of a ``VecNormalize`` v.

    Raises:
        BadInput: it is no such file.
    """
    line = "numpy.savez(FILE, mean=v.obs_rms.mean, var=v.obs_rms.var, clip=v.clip_obs, epsilon=v.epsilon)"
    expected = f"an .npz that {line} wrote of the VecNormalize v"
    try:
        _require_regular(path)
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST_NORMALIZATION:
                raise ValueError(f"more than {LARGEST_NORMALIZATION} bytes")
        with np.load(path, allow_pickle=False) as file:
            mean, var, clip, epsilon = (np.asarray(file[name], float) for name in ("mean", "var", "clip", "epsilon"))
        fits = mean.ndim == 1 and mean.shape == var.shape and clip.shape == epsilon.shape == ()
        if not fits or not all(np.isfinite(x).all() for x in (mean, var, clip, epsilon)):
            raise ValueError(f"mean {mean.shape}, var {var.shape}, clip {clip.shape}, epsilon {epsilon.shape}")
        if clip <= 0 or (var + epsilon <= 0).any():
            raise ValueError("a clip or a variance that is not positive")
    except Exception as error:
        summary = str(error).strip().split("\n")[0]
        raise bad_input("normalize", where=str(path), expected=expected, got=summary) from error
    return {"mean": mean, "deviation": np.sqrt(var + epsilon), "clip": clip}


def _require_regular(path: Path) -> None:
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("no regular file")


def _member(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    if archive.getinfo(name).file_size > largest:
        raise ValueError(f"{name} of more than {largest} bytes")
    return archive.read(name)


def _read_tensors(data: bytes) -> Arrays:
    # torch is slow to load: only who reads its files waits for it.
    import torch

    # Other formats of torch make room for whatever size they claim.
    with zipfile.ZipFile(BytesIO(data)) as records:
        if sum(record.file_size for record in records.infolist()) > LARGEST_TENSORS:
            raise ValueError(f"{TENSORS} that unpacks to more than {LARGEST_TENSORS} bytes")
    with warnings.catch_warnings(action="ignore"):  # of formats that are refused anyway
        found = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(found, dict):
        raise ValueError(f"{TENSORS} is a {type(found).__name__}")
    tensors = {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}
    for name, value in tensors.items():
        # A view may repeat one number without end.
        if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise ValueError(f"tensor {name} of shape {tuple(value.shape)} with fewer numbers than that")
    if sum(value.numel() * value.element_size() for value in tensors.values()) > LARGEST_TENSORS:
        raise ValueError(f"tensors of more than {LARGEST_TENSORS} bytes")  # they may share what they are views of
    return {name: value.detach().to(torch.float64).numpy() for name, value in tensors.items()}
