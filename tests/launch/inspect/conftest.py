"""Circuits to inspect: those that tests of agents hold against plain loops."""

import importlib.util
from pathlib import Path

_spec = importlib.util.spec_from_file_location("circuit_cases", Path(__file__).parents[2] / "agents" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
draw_case, slow_actions = _module.draw_case, _module.slow_actions
