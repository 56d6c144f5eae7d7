"""The verb `wormwood inspect`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from wormwood.launch.api import spec_for
from wormwood.launch.cli.arguments import AGENT_HELP, add_trust, add_verb, local_path
from wormwood.launch.cli.console import print_json, print_text
from wormwood.launch.run.agent_files import load_agent

__all__ = ["add_inspect", "inspect_command"]


def add_inspect(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    example = "wormwood inspect ncap --out circuit"
    parser = add_verb(verbs, "inspect", inspect_command, "show what an agent is made of", example)
    parser.add_argument("agent", help=AGENT_HELP)
    parser.add_argument("--body", action="once", help="a name, a YAML or an MJCF file; default: the agent's own")
    parser.add_argument("--out", type=local_path, help="folder for JSON and picture; default: print only")
    add_trust(parser)


def inspect_command(options: argparse.Namespace) -> None:
    """Show what an agent is made of, as JSON and picture, and a forest as source as well."""
    from wormwood.launch.inspect.inspection import inspect_agent

    agent = load_agent(options.agent, trust=options.trust)
    inspection = inspect_agent(agent, spec_for(agent, options.body))
    files = inspection.write(Path(options.out)) if options.out else []
    if options.json:
        print_json(inspection.described)
        return
    print_text(inspection.summary)
    for file in files:
        print_text(f"wrote {file}")
    if not files:
        print_text(f"for JSON and picture: wormwood inspect {options.agent} --out DIR")
