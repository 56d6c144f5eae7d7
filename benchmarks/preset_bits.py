"""Trains every preset for two iterations and prints the SHA-256 of its state, so that two checkouts can be compared.

    python benchmarks/preset_bits.py > before.txt      # in one checkout
    python benchmarks/preset_bits.py --against before.txt   # in the other

Each run goes through the command `wormwood`, so the script does not depend on how the package is laid out inside.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = Path(sys.executable).with_name("wormwood")


def presets() -> list[str]:
    listed = subprocess.run([COMMAND, "list", "presets", "--json"], check=True, capture_output=True, text=True).stdout
    return [row["name"] for row in json.loads(listed)["presets"]]


def state_sha256(preset: str) -> str:
    """Return the hash of a preset's state after two iterations in one process."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["train", preset, "--out", f"{folder}/run", "--json"]
        words += ["--set", "iterations=2", "--set", "evaluation_episodes=1", "--set", "evaluate_every=0"]
        subprocess.run([COMMAND, *words], check=True, capture_output=True, text=True)
        summary = json.loads(Path(folder, "run", "summary.json").read_text(encoding="utf-8"))
    return str(summary["state_sha256"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="what this script printed in another checkout")
    options = parser.parse_args()
    before = {}
    if options.against:
        before = dict(line.split() for line in options.against.read_text(encoding="utf-8").splitlines())
    changed = 0
    for preset in presets():
        found = state_sha256(preset)
        differs = bool(before) and before.get(preset) != found
        changed += differs
        print(preset, found, *(["CHANGED"] if differs else []), flush=True)
    if options.against:
        print(f"{changed} presets changed", file=sys.stderr)
    return changed > 0


if __name__ == "__main__":
    sys.exit(main())
