"""Damaged files of every kind: refused in one line or read, never a traceback, never another result unnoticed."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "mutations.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = sys.modules["mutations"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutations = _load()


def _faults(name: str, seeds: range) -> list[str]:
    return [outcome for outcome in mutations.count_outcomes(mutations.KINDS[name], seeds) if "FAULT" in outcome]


@pytest.mark.parametrize("name", mutations.KINDS)
def test_hundreds_of_mutations_are_refused_or_read(name: str) -> None:
    assert not _faults(name, range(10**6, 10**6 + 100))


@pytest.mark.slow
@pytest.mark.parametrize("name", mutations.KINDS)
def test_thousands_of_mutations_are_refused_or_read(name: str) -> None:
    assert not _faults(name, range(-(-10_000 // len(mutations.KINDS))))
