"""The verb `wormwood transfer`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from wormwood.launch.cli.arguments import (
    AGENT_HELP,
    add_trust,
    add_verb,
    add_workers,
    check_workers,
    episodes,
    local_path,
    number,
    seed,
)
from wormwood.launch.cli.console import note, print_json, print_table, print_text, progress_bar
from wormwood.launch.transfer.plan import SPECIALISTS, STANDARD, THRESHOLD, ReportPlan
from wormwood.launch.transfer.report import Report, make_report
from wormwood.launch.transfer.results import ROW_KEYS
from wormwood.launch.transfer.suites import suite_names

__all__ = ["add_transfer", "transfer_command"]


def add_transfer(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    example = "wormwood transfer ncap random --suite quick"
    summary = "measure what agents keep on bodies that they never saw"
    parser = add_verb(verbs, "transfer", transfer_command, summary, example)
    parser.add_argument(
        "agents", nargs="+", metavar="agent", help=f"{AGENT_HELP}; or a group of training runs as NAME=PATTERN"
    )
    suites = ", ".join(suite_names())
    parser.add_argument("--suite", help=f"one of {suites}, or a YAML file; default {STANDARD}")
    parser.add_argument("--seeds", type=episodes, help="held-out starts on each body; default 10")
    parser.add_argument("--seed", type=seed, help="of the held-out starts; default 0")
    add_workers(parser, "Ray workers that measure")
    parser.add_argument("--out", help="folder of the report; default: a new one in runs/")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the report in --out, which more agents may join"
    )
    parser.add_argument("--adapt", choices=("no", "pad"), help="pad agents that do not fit a body, or (no) mark them")
    parser.add_argument("--retention", action="store_true", help="compare with specialists, trained on each body")
    parser.add_argument(
        "--fine-tune", nargs="+", type=_share, default=[], metavar="SHARE", help="of the budget; implies --retention"
    )
    parser.add_argument(
        "--threshold", type=_share, metavar="SHARE", help=f"of a specialist's return, to race to; default {THRESHOLD}"
    )
    parser.add_argument("--specialists", type=local_path, help=f"folder of training runs; default {SPECIALISTS}")
    add_trust(parser)


_share = functools.partial(number, parse=float, what="a share", least=1e-6, most=100.0)


def transfer_command(options: argparse.Namespace) -> None:
    """Measure agents on the bodies of a suite, and write a report.

    Raises:
        BadInput: an agent, the suite or the output folder is wrong.
        Interrupted: the user stopped it; the message says how to go on.
    """
    check_workers(options)
    given: dict[str, Any] = {field.name: getattr(options, field.name) for field in dataclasses.fields(ReportPlan)}
    lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
    plan = ReportPlan(**{**given, **lists})
    report = make_report(plan) if options.json else make_report(plan, bar=progress_bar)
    if options.json:
        rows = [{key: row[key] for key in ROW_KEYS} for row in report.results.rows]
        print_json({"report": str(report.page), "rows": rows})
        return
    for text in report.notes:
        note(text)
    _print(report)


def _print(report: Report) -> None:
    """Print a table of bodies, what intervals and marks mean, what could not be measured, and where the report is."""
    results = report.results
    columns = ["agent", "body", "label", "return", "95 % interval", "speed (m/s)"]
    cells = [_cells(row) for row in results.rows]
    if any(row["adapted"] for row in results.rows):
        columns, cells = [*columns, "acts"], [[*line, _how(row)] for line, row in zip(cells, results.rows, strict=True)]
    if any(row["retention"] is not None for row in results.rows):
        columns, cells = (
            [*columns, "retention"],
            [[*line, _retention(row)] for line, row in zip(cells, results.rows, strict=True)],
        )
    title = f"suite {results.suite.name}: interquartile mean, of at most {results.suite.task.horizon}"
    print_table(title, columns, cells)
    note("; ".join(f"{agent}: {_basis(len(results.runs(agent)))}" for agent in results.agents))
    for agent in results.agents:
        reasons = [row["reason"] for row in results.rows if row["agent"] == agent and row["reason"]]
        if reasons:
            note(f"{agent} cannot act on {len(reasons)} bodies ({reasons[0]}); to pad and truncate it: --adapt pad")
    for row in results.rows:
        if row["unstable"]:
            where, starts, step = f"{row['agent']} on {row['body']}", row["unstable"], row["unstable_step"]
            note(f"{where}: unstable in {starts} starts, from step {step}; they count as they ended")
    print_text(f"report: {report.page}")


def _cells(row: Mapping[str, Any]) -> list[str]:
    names = [row["agent"], row["body"], row["label"]]
    if row["return_iqm"] is None:
        return [*names, "", "cannot act", ""]
    interval = f"{row['return_low']:z.0f} to {row['return_high']:z.0f}"
    return [*names, f"{row['return_iqm']:z.1f}", interval, f"{row['speed_mean']:z.3f}"]


def _how(row: Mapping[str, Any]) -> str:
    return "padded" if row["adapted"] else ""


def _retention(row: Mapping[str, Any]) -> str:
    if row["retention"] is None:
        return ""
    return f"{row['retention']:z.2f} ({row['retention_low']:z.2f} to {row['retention_high']:z.2f})"


def _basis(runs: int) -> str:
    return f"intervals over {runs} training runs" if runs > 1 else "intervals over the starts of one policy"
