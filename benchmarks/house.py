"""Measures the house: rooms, lines, hops, and how many public functions with arrays state shapes.

    python benchmarks/house.py             # prints the figures
    python benchmarks/house.py --missing   # also names the functions that state no shape
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ARRAYS = re.compile(r"\b(NDArray|Floats|Tensor|Words|Singles|ndarray)\b")
SHAPE = re.compile(r"\[[A-Z.…2-9][^\]]*\]|\[[a-zθ*.][\w, *.…+]*\]|scalar|one number")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    """Return the Python files outside of tests/."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split() if not name.startswith("tests/") and (ROOT / name).is_file()]


def public_functions(tree: ast.Module) -> Iterator[tuple[str, Function, ast.ClassDef | None]]:
    """Give the name, the node and the class of each public function and method."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node.name, node, None
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            methods = (entry for entry in node.body if isinstance(entry, Function) and not entry.name.startswith("_"))
            yield from ((f"{node.name}.{method.name}", method, node) for method in methods)


def takes_arrays(function: Function) -> bool:
    """Return whether an argument, or what is returned, is an array."""
    arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    annotations = [argument.annotation for argument in arguments] + [function.returns]
    return any(ARRAYS.search(ast.unparse(annotation)) for annotation in annotations if annotation is not None)


def stated_shapes() -> tuple[int, int, list[str]]:
    """Return how many public functions have arrays, how many state shapes, and the names of those that do not.

    A method without a docstring is described by the method of that name of a protocol or a base class.
    """
    found = [
        (path, name, function, ast.get_docstring(function))
        for path in sources()
        if not str(path.relative_to(ROOT)).startswith(("benchmarks/", "examples/", "launch/bench/"))
        for name, function, _ in public_functions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    described = {name.rpartition(".")[2] for _, name, _, text in found if text and "." in name and SHAPE.search(text)}
    counted = [entry for entry in found if takes_arrays(entry[2])]
    missing = [
        f"{path.relative_to(ROOT)}:{function.lineno} {name}"
        for path, name, function, text in counted
        if not (SHAPE.search(text) if text else name.rpartition(".")[2] in described)
    ]
    return len(counted), len(counted) - len(missing), missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missing", action="store_true", help="name the functions that state no shape")
    options = parser.parse_args()
    files = sources()
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in files}
    run = [path for path in files if path.parent == ROOT / "launch" / "run"]
    counted, stated, missing = stated_shapes()
    print(f"lines of Python outside tests/: {sum(lines.values()):,} in {len(files)} files, at most {max(lines.values())}")
    print(f"files in launch/run, the room that runs a training: {len(run)}")
    print(f"public functions with arrays that state shapes: {stated} of {counted}, {stated / counted:.0%}")
    if options.missing:
        print("\n".join(missing))


if __name__ == "__main__":
    main()
