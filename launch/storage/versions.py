"""The package versions of a node, which must be those of every other: results depend on them to the bit.

As a program, it prints them, or with ``--expect numpy=2.3,...`` compares them, for nodes that join by a script.
"""

from __future__ import annotations

import functools
import platform
import sys
from collections.abc import Mapping
from importlib import metadata

import wormwood
from wormwood.errors import bad_input

__all__ = ["LEAST_RAY", "check_versions", "format_versions", "installed_versions", "require_ray"]

LEAST_RAY = (2, 54)
"""Earlier ones let strangers in: CVE-2023-48022, CVE-2026-27482."""

_PACKAGES = ("ray", "numpy", "numba", "torch", "xgboost", "mujoco", "gymnasium", "stable-baselines3", "cmaes")


@functools.cache
def installed_versions() -> dict[str, str]:
    """Return the version of each package that a result depends on, of Python and of the processor's family."""
    versions = {"wormwood": wormwood.__version__, "python": platform.python_version(), "machine": platform.machine()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "none"
    return versions


def require_ray(version: str, *, where: str) -> None:
    """Check that Ray is there and not too old.

    Raises:
        BadInput: it is not.
    """
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers < LEAST_RAY:
        least = ".".join(map(str, LEAST_RAY))
        raise bad_input(
            "ray", where=where, expected=f"version {least} or newer, which keeps strangers out", got=version
        )


def check_versions(expected: Mapping[str, str], found: Mapping[str, str], *, where: str) -> None:
    """Compare the versions of a node with those of the cluster.

    Builds of one version, such as 2.13.0+cpu and 2.13.0+cu130, may join: a warning says that bits may differ.

    Raises:
        BadInput: naming the first package that differs.
    """
    for name, version in expected.items():
        got = found.get(name, "none")
        if got != version and got.partition("+")[0] == version.partition("+")[0]:
            print(f"wormwood: {name} in {where} is {got}, the head has {version}: bits may differ", file=sys.stderr)
        elif got != version:
            raise bad_input(f"version of {name}", where=where, expected=f"{version}, as on the head", got=got)


def format_versions(versions: Mapping[str, str]) -> str:
    """Return the versions as one word for a command line."""
    return ",".join(f"{name}={version}" for name, version in versions.items())


def main(arguments: list[str]) -> int:
    """Print the versions, or compare them; return 0 or, where they differ, 2."""
    found = installed_versions()
    if arguments[:1] != ["--expect"]:
        print(format_versions(found))
        return 0
    expected = dict(pair.split("=", 1) for pair in arguments[1].split(","))
    try:
        check_versions(expected, found, where=platform.node())
    except ValueError as error:
        print(f"wormwood: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
