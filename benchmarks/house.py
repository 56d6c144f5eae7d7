"""Measures the house: rooms, lines, hops, and how many public functions with arrays state shapes.

python benchmarks/house.py             # prints the figures
python benchmarks/house.py --missing   # also names the functions that state no shape
python benchmarks/house.py --draw docs/pictures/rooms.png
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import grimp
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
ARRAYS = re.compile(r"\b(NDArray|Floats|Tensor|Words|Singles|ndarray)\b")
NAMES = r"(?![^\]]*\w \w+ \w)[a-zθ*][\w, *.…+]*"
SHAPE = re.compile(rf"(?<![\w\]])\[(?:[A-Z.…1-9][^\]]*|{NAMES})\]|\bany shape\b|\bscalars?\b|\bone number\b")
POINTER = re.compile(r"(?:[Ss]ee|what) ``([\w.]+)``")
"""Names the function that says it: "see ``Policy.act``"."""
FLOORS = (
    ("launch.cli", "launch.api"),
    ("launch.clusters", "launch.bench"),
    ("launch.transfer", "launch.inspect", "launch.distribute"),
    ("launch.run",),
    ("launch.storage",),
    ("agents.learners",),
    ("agents.stable_baselines3",),
    ("agents.learning",),
    ("agents.references",),
    ("agents.policies",),
    ("envs.faces", "trees"),
    ("envs.families", "envs.pictures", "envs.few_shot"),
    ("envs",),
    ("configs",),
    ("errors",),
)
"""The rooms of the package, the highest floor first: imports run down. ``envs`` is its core of single files."""
COLORS = {"launch": "#4878a8", "agents": "#4f9153", "envs": "#b8860b", "trees": "#8c564b"}
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

    A docstring may point to a function that states them. A method without a docstring is described by the method of
    that name of a protocol or a base class.
    """
    found = [
        (path, name, function, ast.get_docstring(function))
        for path in sources()
        if not str(path.relative_to(ROOT)).startswith(("benchmarks/", "examples/", "launch/bench/"))
        for name, function, _ in public_functions(ast.parse(path.read_text(encoding="utf-8")))
    ]
    told = {name for _, name, _, text in found if text and SHAPE.search(text)}
    described = {name.rpartition(".")[2] for name in told if "." in name}

    def is_stated(name: str, text: str | None) -> bool:
        owner, _, own = name.rpartition(".")
        if not text:
            return own in described
        return name in told or any({target, f"{owner}.{target}"} & told for target in POINTER.findall(text))

    counted = [entry for entry in found if takes_arrays(entry[2])]
    missing = [
        f"{path.relative_to(ROOT)}:{function.lineno} {name}"
        for path, name, function, text in counted
        if not is_stated(name, text)
    ]
    return len(counted), len(counted) - len(missing), missing


def room_of(module: str) -> str:
    """Return the room of a module of the package."""
    name = module.removeprefix("wormwood.")
    rooms = [room for floor in FLOORS for room in floor if name == room or name.startswith(f"{room}.")]
    return max(rooms, key=len, default="")


def imports_between_rooms() -> dict[tuple[str, str], int]:
    """Return how many imports there are from one room to another, those inside functions among them."""
    graph = grimp.build_graph("wormwood", exclude_type_checking_imports=True)
    counts: Counter[tuple[str, str]] = Counter()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            rooms = room_of(importer), room_of(imported)
            # The package envs itself only registers its faces with gymnasium.
            if all(rooms) and rooms[0] != rooms[1] and importer != "wormwood.envs":
                counts[rooms] += 1
    return dict(counts)


def direct(pairs: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs that do not follow from others: a room needs no arrow to what its neighbours lead to."""
    below: dict[str, set[str]] = {}
    for above, under in pairs:
        below.setdefault(above, set()).add(under)

    def reached(room: str) -> set[str]:
        return {room}.union(*(reached(under) for under in below.get(room, ())))

    return [(a, b) for a, b in pairs if not any(b in reached(other) for other in below[a] - {b})]


def draw(out: Path) -> None:
    """Draw the rooms floor by floor, with arrows to the rooms that each one imports."""
    places = {room: (k - (len(floor) - 1) / 2, -n) for n, floor in enumerate(FLOORS) for k, room in enumerate(floor)}
    sizes: Counter[str] = Counter()
    files: Counter[str] = Counter()
    for path in sources():
        room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts).removeprefix("src.wormwood."))
        sizes[room] += path.read_text(encoding="utf-8").count("\n")
        files[room] += 1
    figure, axes = plt.subplots(figsize=(8, 11))
    for above, below in direct(imports_between_rooms()):
        arrow = {"arrowstyle": "-|>", "color": "0.5", "shrinkA": 14, "shrinkB": 24}
        axes.annotate("", places[below], places[above], arrowprops=arrow, zorder=1)
    for room, (x, y) in places.items():
        color = COLORS.get(room.partition(".")[0], "0.35")
        text = f"{room}\n{files[room]} files, {sizes[room]:,} lines"
        box = {"boxstyle": "round,pad=0.45", "facecolor": color, "edgecolor": "white"}
        axes.text(x, y, text, ha="center", va="center", color="white", fontsize=8.5, bbox=box, zorder=2)
    axes.set(xlim=(-1.6, 1.6), ylim=(-len(FLOORS) + 0.4, 0.6))
    axes.axis("off")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--missing", action="store_true", help="name the functions that state no shape")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="draw the rooms and what they import")
    options = parser.parse_args()
    if options.draw:
        draw(options.draw)
    files = sources()
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in files}
    run = [path for path in files if path.parent == ROOT / "launch" / "run"]
    counted, stated, missing = stated_shapes()
    print(
        f"lines of Python outside tests/: {sum(lines.values()):,} in {len(files)} files, at most {max(lines.values())}"
    )
    print(f"files in launch/run, the room that runs a training: {len(run)}")
    print(f"public functions with arrays that state shapes: {stated} of {counted}, {stated / counted:.0%}")
    floors = {room: number for number, floor in enumerate(FLOORS) for room in floor}
    upward = {pair: count for pair, count in imports_between_rooms().items() if floors[pair[0]] > floors[pair[1]]}
    print(f"imports from a room to one on a higher floor: {sum(upward.values())}", *upward)
    if options.missing:
        print("\n".join(missing))


if __name__ == "__main__":
    main()
