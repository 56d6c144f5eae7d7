"""What a boosted policy does over observations that it visits, as numbers and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wormwood.agents.policies.features import FlatFeatures, make_feature_map
from wormwood.agents.policies.forest import forest_of
from wormwood.agents.policies.forest_settings import ForestConfig
from wormwood.agents.policies.interfaces import Arrays, Floats
from wormwood.envs.randomness import report_stream
from wormwood.envs.specs import ActionSpace, EnvironmentSpec, SwimmerSpec
from wormwood.errors import bad_input
from wormwood.trees.explanation import explain
from wormwood.trees.forest import Forest
from wormwood.trees.importance import contribution_importance, split_importance

__all__ = ["Summary", "describe", "feature_names", "output_names", "summarise", "tree_rules", "write_text"]

ROWS = 256
"""Rows of features that are explained."""
CLEAR = 0.5
"""Correlation of a feature with its contribution from which on an output is said to rise or fall with it."""
DESCRIBED_TREES = 5
"""Trees whose rules are written out."""
SHOWN_OUTPUTS, SHOWN_FEATURES, SHOWN_RULES = 8, 3, 4
"""Of which the text says something."""


@dataclass(frozen=True)
class Summary:
    """A forest of D outputs, explained at N rows of F features that the policy visits."""

    environment: str
    """Where it was watched."""
    forest: Forest
    features: tuple[str, ...]
    """[F] names."""
    outputs: tuple[str, ...]
    """[D] names."""
    visited: int
    """Rows from which the N were drawn."""
    rows: Floats
    """``[N, F]``"""
    predicted: Floats
    """``[N, D]`` outputs at the rows."""
    base: Floats
    """``[D]`` what the forest expects of a row of which nothing is known."""
    contributions: Floats
    """``[N, F, D]`` Shapley values."""
    asked: Floats
    """``[F]`` share of each feature in all that a row is asked, which adds up to 1, or 0 where nothing is asked."""

    @property
    def importance(self) -> Floats:
        """``[F, D]`` mean absolute Shapley value of each feature for each output."""
        return contribution_importance(self.contributions)

    @property
    def shares(self) -> Floats:
        """``[F, D]`` the importance as shares of each output, which add up to 1, or 0 where it never changes."""
        shares: Floats = self.importance / _or_one(self.importance.sum(axis=0))
        return shares

    @property
    def directions(self) -> Floats:
        """``[F, D]`` correlation of each feature with its contribution, 0 where one of them never changes."""
        values = self.rows - self.rows.mean(axis=0)
        parts = self.contributions - self.contributions.mean(axis=0)
        lengths = np.linalg.norm(values, axis=0)[:, None] * np.linalg.norm(parts, axis=0)
        directions: Floats = np.einsum("nf,nfd->fd", values, parts) / _or_one(lengths)
        return directions


def summarise(config: ForestConfig, weights: Arrays, *, spec: EnvironmentSpec, observation: Floats) -> Summary:
    """Explain a policy at some of the observations ``[N, D]`` that it visits; N > 0.

    Raises:
        BadInput: there is no observation, or the agent does not fit the environment.
    """
    if not len(observation):
        raise bad_input("observations", where="summary of a policy", expected="at least one", got=0)
    feature_map, forest = make_feature_map(config, spec), forest_of(weights)
    visited = feature_map.features(observation)
    chosen = report_stream(0).permutation(len(visited))[:ROWS]
    rows = visited[np.sort(chosen)]
    explanation, asked = explain(forest, rows), split_importance(forest)
    return Summary(
        environment=spec.label,
        forest=forest,
        features=feature_names(config, spec),
        outputs=output_names(config, spec.actions),
        visited=len(visited),
        rows=rows,
        predicted=forest.predict(rows),
        base=explanation.base,
        contributions=explanation.contributions,
        asked=asked / _or_one(asked.sum()),
    )


def _or_one(numbers: Any) -> Any:
    return np.where(numbers > 0, numbers, 1.0)


# --- names ---


def feature_names(config: ForestConfig, spec: EnvironmentSpec) -> tuple[str, ...]:
    """Name what the forest looks at, in the order of its features."""
    feature_map, layout = make_feature_map(config, spec), spec.layout
    commands = _numbered("command", layout.command.stop - layout.command.start)
    if not isinstance(feature_map, FlatFeatures):
        return ("angle", "angle_before", "angle_behind", "phase", "place", *commands)
    names = list(_numbered("observation", layout.size, always=True))
    if isinstance(spec, SwimmerSpec):
        joints, links = spec.body.joints, spec.body.links
        # The root's heading is the one column that no layout names.
        names = ["heading"] * layout.size
        names[layout.joints] = _numbered("joint", joints, always=True)
        names[layout.command] = commands
        velocities = [f"link_{link}_{part}" for link in range(links) for part in ("velocity_x", "velocity_y", "turn")]
        if layout.velocities.stop - layout.velocities.start != len(velocities):  # gymnasium's: of the coordinates
            velocities = ["velocity_x", "velocity_y", "turn", *_numbered("joint_turn", joints, always=True)]
        names[layout.velocities] = velocities
    return tuple(names[column] for column in feature_map.chosen)


def output_names(config: ForestConfig, actions: ActionSpace) -> tuple[str, ...]:
    """Name the outputs of the forest: means or logits of actions, and the value where it shares the trees."""
    value = ("value",) * config.shares_trees
    if config.features == "joint":
        return ("action", *value)
    if len(actions.choices) <= 1:
        return (*_numbered("action", actions.outputs, always=True), *value)
    choices = [
        f"choice_{choice}_is_{option}" for choice, count in enumerate(actions.choices) for option in range(count)
    ]
    return (*choices, *value)


def _numbered(name: str, count: int, *, always: bool = False) -> list[str]:
    return [name] if count == 1 and not always else [f"{name}_{index}" for index in range(count)]


# --- rules ---


def tree_rules(forest: Forest, tree: int, *, features: Sequence[str], outputs: Sequence[str]) -> list[str]:
    """Write one tree as a rule for each leaf, the one of most rows first.

    Args:
        forest: the forest.
        tree: which of its trees, from 0 on.
        features: [F] their names.
        outputs: names of the first outputs of the forest, about which the rules say what is added to them.
    """
    arrays = {name: values[0] for name, values in forest[tree : tree + 1].arrays().items() if values.ndim > 1}
    inner = len(arrays["features"])
    found: list[tuple[int, str]] = []

    def walk(node: int, conditions: list[_Condition]) -> None:
        if node >= inner:
            changes = zip(outputs, 0.0 - arrays["leaves"][node - inner], strict=False)
            then = ", ".join(f"{name} {change:+.3g}" for name, change in changes)
            found.append((int(arrays["covers"][node]), f"{_joined(conditions, features)}: {then}"))
            return
        feature, threshold = int(arrays["features"][node]), float(arrays["thresholds"][node])
        if feature < 0:
            walk(2 * node + 1, conditions)
            return
        signs = ("!=", "==") if arrays["categorical"][node] else ("<=", ">")
        for child, sign in enumerate(signs, start=2 * node + 1):
            walk(child, [*conditions, (feature, sign, threshold)])

    walk(0, [])
    return [rule for _, rule in sorted(found, key=lambda rule: -rule[0])]


_Condition = tuple[int, str, float]


def _joined(conditions: Sequence[_Condition], features: Sequence[str]) -> str:
    """Return the conditions as text, of each bound of a feature only the tightest."""
    tightest: dict[tuple[int, str, float | None], float] = {}
    for feature, sign, threshold in conditions:
        key = (feature, sign, threshold if sign == "!=" else None)
        old = tightest.get(key, threshold)
        tightest[key] = max(old, threshold) if sign == ">" else min(old, threshold)
    parts = []
    for (feature, sign, _), value in tightest.items():
        low, high = (tightest.get((feature, bound, None)) for bound in (">", "<="))
        if sign in (">", "<=") and low is not None and high is not None:
            parts.append(f"{low:.3g} < {features[feature]} <= {high:.3g}")
        else:
            parts.append(f"{features[feature]} {sign} {value:.3g}")
    return f"if {' and '.join(dict.fromkeys(parts))}" if parts else "always"


# --- the whole ---


def describe(summary: Summary) -> dict[str, Any]:
    """Return a summary as plain values; rows and their contributions are left out."""
    forest, features, outputs = summary.forest, summary.features, summary.outputs
    importance, directions = summary.importance, summary.directions
    ranges = {"lowest": summary.predicted.min(axis=0), "mean": summary.predicted.mean(axis=0)}
    ranges |= {"highest": summary.predicted.max(axis=0), "expected": summary.base}
    return {
        "kind": "forest",
        "environment": summary.environment,
        "trees": len(forest),
        "depth": forest.depth,
        "splits": int((forest.arrays()["features"] >= 0).sum()),
        "features": list(features),
        "outputs": list(outputs),
        "rows": {"visited": summary.visited, "explained": len(summary.rows)},
        "asked_shares": _by(features, summary.asked),
        "mean_absolute_contributions": {name: _by(features, importance[:, at]) for at, name in enumerate(outputs)},
        "directions": {name: _by(features, directions[:, at]) for at, name in enumerate(outputs)},
        "values": {name: {of: float(values[at]) for of, values in ranges.items()} for at, name in enumerate(outputs)},
        "first_trees": [
            tree_rules(forest, tree, features=features, outputs=outputs)
            for tree in range(min(len(forest), DESCRIBED_TREES))
        ],
    }


def _by(names: Sequence[str], values: Floats) -> dict[str, float]:
    return dict(zip(names, values.tolist(), strict=True))


def write_text(summary: Summary) -> str:
    """Return what a person reads first: which features drive each output, and the first tree."""
    forest, outputs = summary.forest, summary.outputs
    lines = [
        f"boosted forest: {len(forest):,} trees of depth {forest.depth}, "
        f"{_counted(len(summary.features), 'feature')}, {_counted(len(outputs), 'output')}",
        f"over {len(summary.rows)} of {summary.visited:,} rows that it visits in {summary.environment}, "
        "each output's range, and what it rises with (↑), falls with (↓) or else depends on (~):",
    ]
    width = max(map(len, outputs[:SHOWN_OUTPUTS]))
    for at, name in enumerate(outputs[:SHOWN_OUTPUTS]):
        low, high = summary.predicted[:, at].min(), summary.predicted[:, at].max()
        lines.append(f"  {name:<{width}}  {low:+8.3f} to {high:+8.3f}  {_drivers(summary, at)}")
    if len(outputs) > SHOWN_OUTPUTS:
        lines.append(f"  … and {len(outputs) - SHOWN_OUTPUTS} more outputs")
    if not len(forest):
        return "\n".join(lines)
    asked = [
        f"{summary.features[feature]} {summary.asked[feature]:.0%}"
        for feature in _largest(summary.asked, 2 * SHOWN_FEATURES)
    ]
    lines.append(f"its splits ask for: {', '.join(asked) or 'nothing'}")
    rules = tree_rules(forest, 0, features=summary.features, outputs=outputs[:SHOWN_FEATURES])
    lines += ["first tree:", *(f"  {rule}" for rule in rules[:SHOWN_RULES])]
    if len(rules) > SHOWN_RULES:
        lines.append(f"  … and {len(rules) - SHOWN_RULES} more rules")
    return "\n".join(lines)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _drivers(summary: Summary, output: int) -> str:
    """Say which features an output comes from, and whether it rises or falls with them."""
    parts = []
    for feature in _largest(summary.shares[:, output], SHOWN_FEATURES):
        direction = summary.directions[feature, output]
        arrow = "↑" if direction > CLEAR else "↓" if direction < -CLEAR else "~"
        parts.append(f"{summary.features[feature]} {arrow} {summary.shares[feature, output]:.0%}")
    return ", ".join(parts) or "nothing"


def _largest(values: Floats, count: int) -> list[int]:
    """Return the indices of the largest values above 0, the largest first."""
    order: list[int] = np.argsort(-values, kind="stable")[:count].tolist()
    return [index for index in order if values[index] > 0]
