"""The verb `wormwood transfer`."""

from __future__ import annotations

import argparse
import dataclasses
import functools
from typing import Any

from wormwood.launch.cli.arguments import AGENT_HELP, add_trust, add_verb, episodes, number, seed, workers
from wormwood.launch.cli.console import note, print_json, print_table, print_text, progress_bar
from wormwood.launch.transfer.report import SPECIALISTS, Report, ReportPlan, make_report
from wormwood.launch.transfer.results import ROW_KEYS
from wormwood.launch.transfer.suites import suite_names

__all__ = ["add_transfer", "transfer_command"]


def add_transfer(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    example = "wormwood transfer ncap random --suite quick"
    summary = "measure what agents keep on bodies that they never saw"
    parser = add_verb(verbs, "transfer", transfer_command, summary, example)
    parser.add_argument("agents", nargs="+", metavar="agent", help=AGENT_HELP)
    suites = ", ".join(suite_names())
    parser.add_argument("--suite", default="standard", help=f"one of {suites}, or a YAML file; default standard")
    parser.add_argument("--seeds", type=episodes, default=10, help="held-out starts on each body; default 10")
    parser.add_argument("--seed", type=seed, default=0, help="of the held-out starts; default 0")
    parser.add_argument("--workers", type=workers, default=0, help="Ray workers that measure; 0 uses none")
    parser.add_argument("--address", default="local", help="of a running Ray cluster; default: one of its own")
    parser.add_argument("--out", help="folder of the report; default: a new one in runs/")
    parser.add_argument("--resume", action="store_true", help="go on with the report in --out")
    parser.add_argument(
        "--adapt", choices=("no", "pad"), default="no", help="pad agents that do not fit a body, or (no) mark them"
    )
    parser.add_argument("--retention", action="store_true", help="compare with specialists, trained on each body")
    parser.add_argument(
        "--fine-tune", nargs="+", type=_share, default=[], metavar="SHARE", help="of the budget; implies --retention"
    )
    parser.add_argument("--specialists", default=SPECIALISTS, help=f"folder of training runs; default {SPECIALISTS}")
    add_trust(parser)


_share = functools.partial(number, parse=float, what="a share of the budget", least=1e-6, most=100.0)


def transfer_command(options: argparse.Namespace) -> None:
    """Measure agents on the bodies of a suite, and write a report.

    Raises:
        BadInput: an agent, the suite or the output folder is wrong.
        Interrupted: the user stopped it; the message says how to go on.
    """
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
    """Print a table of bodies, the reasons of what could not be measured, and where the report is."""
    results = report.results
    columns = ["agent", "body", "label", "return", "95 % interval", "speed (m/s)", "retention"]
    shown = [
        [
            row["agent"],
            row["body"],
            row["label"],
            "" if row["return_iqm"] is None else f"{row['return_iqm']:.1f}",
            "cannot act" if row["return_iqm"] is None else f"{row['return_low']:.0f} to {row['return_high']:.0f}",
            "" if row["speed_mean"] is None else f"{row['speed_mean']:.3f}",
            "" if row["retention"] is None else f"{row['retention']:.2f}",
        ]
        for row in results.rows
    ]
    title = f"suite {results.suite.name}: interquartile mean over starts, of at most {results.suite.task.horizon}"
    print_table(title, columns, shown)
    for agent in results.agents:
        reasons = [row["reason"] for row in results.rows if row["agent"] == agent and row["reason"]]
        if reasons:
            note(f"{agent} cannot act on {len(reasons)} bodies ({reasons[0]}); to pad and truncate it: --adapt pad")
    print_text(f"report: {report.page}")
