"""The report as one HTML page that needs nothing else: no network, no script, no colour vision."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from wormwood.launch.transfer.comparison import Comparison
from wormwood.launch.transfer.figures import cell_colours
from wormwood.launch.transfer.results import GRAVITY, Results
from wormwood.launch.transfer.statistics import Interval
from wormwood.launch.transfer.suites import LABELS

__all__ = ["Illustration", "write_page"]

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; color: #1a1a1a;
  background: #fff; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: right; vertical-align: top; font-weight: normal; }
th, td { overflow-wrap: normal; } tbody th { min-width: 6.5rem; }
th[scope=row], th.text, td.text { text-align: left; }
thead th { font-weight: 600; border-bottom: 2px solid #1a1a1a; vertical-align: bottom; }
tbody tr { border-bottom: 1px solid #ddd; }
.map td { text-align: center; min-width: 3.6rem; line-height: 1.15; }
.map td small { display: block; font-size: .72rem; }
.map td.none { background: repeating-linear-gradient(45deg, #fff 0 5px, #ddd 5px 6px); color: #000; }
.map tr.group th { font-weight: 600; background: #eee; }
small, .note, figcaption { color: #444; }
td small { color: inherit; white-space: nowrap; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; } img { max-width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; }
pre { background: #f3f3f3; padding: .75rem; white-space: pre-wrap; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; }
@media (max-width: 30rem) {
  body { padding: .5rem; } th, td { padding: .2rem .3rem; } .map td { min-width: 3rem; }
  .long thead { display: none; } .long, .long tbody, .long tr, .long th, .long td { display: block; }
  .long tr { padding: .4rem 0; }
  .long th { font-weight: 600; } .long td { display: flex; justify-content: space-between; gap: 1rem; }
  .long td::before { content: attr(data-label); color: #444; text-align: left; }
}
"""


@dataclass(frozen=True)
class Illustration:
    """A picture and what it shows."""

    png: bytes
    caption: str


def write_page(
    results: Results,
    *,
    command: str,
    versions: Mapping[str, str],
    curves: Sequence[Illustration],
    profile: Illustration,
    films: Sequence[Illustration],
    notes: Sequence[str] = (),
) -> str:
    """Return the text of the page.

    Args:
        results: what was measured.
        command: what the user typed.
        versions: by package.
        curves: one figure for each axis.
        profile: the performance profile.
        films: one strip for each body and agent.
        notes: what else a reader must know.
    """
    suite, starts = results.suite, max((len(o.returns) for o in results.outcomes.values()), default=0)
    most = suite.task.horizon
    parts = [
        f"<h1>Transfer of {escape(', '.join(results.agents))}: suite {escape(suite.name)}</h1>",
        f"<p>{len(suite.bodies)} bodies, {starts} held-out starts on each, the same for every agent. Task "
        f"{escape(suite.task.name)}, {most} control steps, so that an episode returns at most {most}. Nothing was "
        "learned on these bodies but where it says so.</p>",
        "".join(f"<p class=note>{escape(note)}</p>" for note in notes),
        "<h2>Summary</h2>",
        _summary(results),
        _improvements(results),
        "<h2>Every body</h2>",
        _heat_map(results),
        _reasons(results),
        *(["<h2>Retention and fine-tuning</h2>", _comparisons(results)] if results.comparisons else []),
        *(["<h2>Along each axis</h2>", _figures(curves)] if curves else []),
        "<h2>Performance profile</h2>",
        _figures([profile]),
        "<h2>How they swim</h2>",
        _figures(films),
        "<h2>All numbers</h2>",
        _numbers(results),
        "<h2>How this was made</h2>",
        f"<pre>{escape(command)}</pre>",
        f"<p>Held-out starts 0 to {starts - 1} of seed {results.seed}; resamples of seed {results.seed}. "
        f"{escape(', '.join(f'{name} {version}' for name, version in versions.items()))}.</p>",
        _definitions(most),
    ]
    title = f"Transfer: {escape(', '.join(results.agents))} on {escape(suite.name)}"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, kind: str = "") -> str:
    """Return a table of cells that are HTML already; the first column names its row."""
    top = "".join(f"<th scope=col{' class=text' if k == 0 else ''}>{cell}</th>" for k, cell in enumerate(head))
    # On a phone a long row is a list, whose entries are labelled.
    labels = [f' data-label="{cell}"' if kind == "long" else "" for cell in head[1:]]
    body = "".join(
        f"<tr><th scope=row>{row[0]}</th>"
        + "".join(f"<td{label}><span>{cell}</span></td>" for label, cell in zip(labels, row[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    return f'<div class=scroll><table class="{kind}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _percent(interval: Interval) -> str:
    return f"{interval.estimate:z.0%}<br><small>{interval.low:z.0%} to {interval.high:z.0%}</small>"


def _summary(results: Results) -> str:
    present = [label for label in ("all", *LABELS) if label in results.summary[0]]
    rows = [[label, *(_percent(line[label]) for line in results.summary)] for label in present]
    rows.append(["optimality gap", *(f"{line['optimality_gap']:z.0%}" for line in results.summary)])
    bodies = len(results.suite.bodies)
    rows.append(["can act on", *(f"{line['bodies']} of {bodies}" for line in results.summary)])
    rows.append(["interval over", *(_counted(results, agent) for agent in results.agents)])
    return (
        "<p>Interquartile mean of the returns as a share of the most possible, with its 95&nbsp;% interval. A body "
        "that an agent cannot act on counts as 0. An interval over training runs tells how another run would do; one "
        "over the starts of one policy does not.</p>" + _table(["bodies", *map(escape, results.agents)], rows)
    )


def _counted(results: Results, agent: str) -> str:
    runs = len(results.runs(agent))
    return "starts" if runs == 1 else f"{runs} runs"


def _improvements(results: Results) -> str:
    if len(results.agents) < 2:
        return ""
    rows = [[f"{escape(a)} over {escape(b)}", _percent(interval)] for a, b, interval in results.improvements]
    return "<p>How likely the first does better than the second on a body of the suite:</p>" + _table(
        ["pair", "probability of improvement"], rows
    )


def _heat_map(results: Results) -> str:
    head = "".join(f"<th scope=col>{escape(agent)}</th>" for agent in results.agents)
    lines = []
    for label in LABELS:
        entries = [entry for entry in results.suite.bodies if entry.label == label]
        if entries:
            lines.append(
                f"<tr class=group><th scope=rowgroup colspan={len(results.agents) + 1} class=text>{label}</th></tr>"
            )
        for entry in entries:
            cells = "".join(_cell(results, results.by_name[agent, entry.body.name]) for agent in results.agents)
            lines.append(f"<tr><th scope=row>{escape(entry.body.name)}</th>{cells}</tr>")
    return (
        "<p>Interquartile mean of the return, and under it the mean forward speed in cm/s. The lighter, the better.</p>"
        "<div class=scroll><table class=map><thead><tr><th scope=col class=text>body</th>"
        f"{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _cell(results: Results, row: Mapping[str, Any]) -> str:
    if row["return_iqm"] is None:
        return "<td class=none>cannot act</td>"
    back, text = cell_colours(row["return_iqm"] / results.suite.task.horizon)
    padded = (" *" if row["adapted"] else "") + (" !" if row["unstable"] else "")
    speed = f"<small>{100 * row['speed_mean']:z.1f}</small>"
    return f'<td style="background:{back};color:{text}">{row["return_iqm"]:z.0f}{padded}{speed}</td>'


def _comparisons(results: Results) -> str:
    """Return one table for each agent beside its specialists."""
    tables = []
    for agent in dict.fromkeys(agent for agent, _ in results.comparisons):
        compared = [comparison for (name, _), comparison in results.comparisons.items() if name == agent]
        shares = list(dict.fromkeys(share for comparison in compared for share in comparison.tuned))
        head = ["body", "zero-shot", "specialist", "best here", "retention", "jumpstart"]
        head += [f"tuned {share:.4g}" for share in shares]
        head += ["threshold", "steps tuned", "steps from scratch"] if shares else []
        rows = [_comparison_row(results, comparison, shares) for comparison in compared]
        tables.append(f"<h3>{escape(agent)}</h3>" + _table(head, rows, kind="long"))
    return (
        "<p>Interquartile means of the returns on the same starts, in brackets their 95&nbsp;% intervals. The "
        "specialist was trained from scratch on the body, with the agent's preset, seed and budget; <b>best here</b> "
        "is the best return on the body in this report. <b>Retention</b> is zero-shot over specialist, "
        "<b>jumpstart</b> zero-shot less untrained. <b>Tuned</b> is after fine-tuning for that share of the budget, "
        "and <b>steps</b> count until the return reached the threshold: a share of the specialist's. Of several runs "
        "each has a specialist and a threshold of its own; steps are their median.</p>" + "".join(tables)
    )


def _comparison_row(results: Results, comparison: Comparison, shares: Sequence[float]) -> list[str]:
    known = [row["return_iqm"] for row in results.rows if row["body"] == comparison.body]
    for other in results.comparisons.values():
        if other.body == comparison.body:
            known += [other.specialist, *(interval.estimate for interval in other.tuned.values())]
    row = [
        escape(comparison.body),
        _number(comparison.zero_shot, "z.0f"),
        _number(comparison.specialist, "z.0f"),
        _number(max(score for score in known if score is not None), "z.0f"),
        _interval(comparison.retention, "z.2f"),
        _interval(comparison.jumpstart, "z.0f"),
        *(_interval(comparison.tuned.get(share), "z.0f") for share in shares),
    ]
    if shares:
        row += [
            _number(comparison.threshold, "z.0f"),
            _steps(comparison.steps_tuned),
            _steps(comparison.steps_from_scratch),
        ]
    return row


def _interval(interval: Interval | None, form: str) -> str:
    if interval is None:
        return "–"
    return f"{interval.estimate:{form}} <small>({interval.low:{form}} to {interval.high:{form}})</small>"


def _steps(steps: Sequence[int | None]) -> str:
    """Return the median over runs, of which those that never arrived count as later than all others."""
    arrived = sorted(count for count in steps if count is not None)
    middle = (len(steps) - 1) // 2
    median = f"{arrived[middle]:,d}" if middle < len(arrived) else "–"
    return median if len(steps) == 1 else f"{median} <small>({len(arrived)} of {len(steps)} runs)</small>"


def _reasons(results: Results) -> str:
    texts = []
    if any(row["adapted"] for row in results.rows):
        texts.append(
            "* Padded: it acts as on its own body. From the head on, joints and links read what the other body's do; "
            "those that are missing read 0, and those beyond are not read and get no torque."
        )
    for agent in results.agents:
        reasons = [row["reason"] for row in results.rows if row["agent"] == agent and row["reason"]]
        if reasons:
            texts.append(f"{agent} cannot act on {len(reasons)} bodies; the first time because: {reasons[0]}")
    return "".join(f"<p class=note>{escape(text)}</p>" for text in texts)


def _figures(pictures: Sequence[Illustration]) -> str:
    shown = []
    for picture in pictures:
        data, caption = base64.b64encode(picture.png).decode(), escape(picture.caption)
        image = f'<img src="data:image/png;base64,{data}" alt="{caption}">'
        shown.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    return f"<div class=figures>{''.join(shown)}</div>"


def _numbers(results: Results) -> str:
    kept = any(row["retention"] is not None for row in results.rows)
    head = ["body", "return", "95&nbsp;% interval", "cm/s", "body lengths/s", "cost of transport"]
    broke = any(row["unstable"] for row in results.rows)
    head += (["retention"] if kept else []) + (["unstable"] if broke else [])
    tables = []
    for agent in results.agents:
        rows = [
            [
                escape(row["body"]) + (" *" if row["adapted"] else ""),
                _number(row["return_iqm"], "z.1f"),
                "–" if row["return_low"] is None else f"{row['return_low']:z.0f} to {row['return_high']:z.0f}",
                _number(None if row["speed_mean"] is None else 100 * row["speed_mean"], "z.2f"),
                _number(row["body_lengths_per_second"], "z.3f"),
                _number(row["cost_of_transport"], ".3g"),
                *([_number(row["retention"], "z.2f")] if kept else []),
                *([_unstable(row)] if broke else []),
            ]
            for row in results.rows
            if row["agent"] == agent
        ]
        tables.append(f"<details><summary>{escape(agent)}</summary>{_table(head, rows, kind='long')}</details>")
    return "".join(tables)


def _unstable(row: Mapping[str, Any]) -> str:
    return f"{row['unstable']} starts, from step {row['unstable_step']}" if row["unstable"] else ""


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _definitions(most: int) -> str:
    meanings = {
        "Interquartile mean": "the mean of the middle half of the returns: of one policy those of its starts, of "
        "several training runs the mean returns of the runs. Its interval is the 95&nbsp;% percentile "
        "bootstrap over starts or runs, stratified by body.",
        "Optimality gap": f"how far returns fall short of {most}, on average.",
        "Performance profile": "which share of starts, or of runs, returned more than a threshold, each body with the "
        "same weight.",
        "Cost of transport": f"work of the motors over weight times forward distance, without a unit; weight at "
        f"{GRAVITY} m/s².",
        "Retention": "zero-shot return as a share of that of a specialist, which was trained on the body with the same "
        "preset and budget.",
        "Home, interpolation, extrapolation, combination": "the body of training; near it and far from it along one "
        "axis; several changes at once.",
    }
    listed = "".join(f"<dt>{term}</dt><dd>{meaning}</dd>" for term, meaning in meanings.items())
    return f"<dl>{listed}</dl>"
