"""Writes requirements.lock: every package that an installation needs, with the SHA-256 of all files of its version.

`make lock` runs it. Versions are those of constraints.txt; pip finds what else is needed on this platform, from PyPI
alone, and PyPI says which files there are.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
INDEX = "https://pypi.org/simple"
HEADER = """\
# What an installation on Linux needs, with the SHA-256 of each file of each version; `make lock` writes it.
# pip install --require-hashes -r requirements.lock && pip install --no-deps --no-build-isolation .
"""


def resolve() -> Iterator[tuple[str, str]]:
    """Yield name and version of every package that pip would install."""
    # Nothing of this machine's own settings: the file is for others.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {name: os.environ[name] for name in ("PIP_CERT",) if name in os.environ}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        options = ["--quiet", "--dry-run", "--ignore-installed", "--report", str(report), "--index-url", INDEX]
        command = [sys.executable, "-m", "pip", "install", *options, "-c", "constraints.txt", "."]
        subprocess.run(command, cwd=ROOT, env=environment | {"PIP_CONFIG_FILE": os.devnull}, check=True)
        for found in json.loads(report.read_text())["install"]:
            if found["metadata"]["name"] != "wormwood":
                yield re.sub(r"[-_.]+", "-", found["metadata"]["name"]).lower(), found["metadata"]["version"]


def hashes(package: tuple[str, str]) -> list[str]:
    """Return the SHA-256 of each file of a package's version."""
    name, version = package
    request = urllib.request.Request(f"{INDEX}/{name}/", headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        files = json.load(answer)["files"]
    found = sorted(file["hashes"]["sha256"] for file in files if version_of(file["filename"]) == Version(version))
    if not found:
        raise SystemExit(f"{INDEX} has no file of {name} {version}")
    return found


def version_of(filename: str) -> Version | None:
    """Return the version that a file is of; None of one that pip does not install from."""
    try:
        return parse_wheel_filename(filename)[1] if filename.endswith(".whl") else parse_sdist_filename(filename)[1]
    except ValueError:
        return None


def main() -> None:
    """Write the file."""
    packages = sorted(resolve())
    with ThreadPoolExecutor(8) as threads:
        lines = [
            " \\\n    ".join([f"{name}=={version}", *(f"--hash=sha256:{digest}" for digest in digests)])
            for (name, version), digests in zip(packages, threads.map(hashes, packages), strict=True)
        ]
    (ROOT / "requirements.lock").write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
