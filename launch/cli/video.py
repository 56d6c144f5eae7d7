"""The verb `wormwood video`."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any

from wormwood.envs.specs import require_swimmer
from wormwood.launch.api import spec_for
from wormwood.launch.cli.arguments import AGENT_HELP, add_trust, add_verb, local_path, seconds, seed
from wormwood.launch.cli.console import print_json, print_text, progress_bar
from wormwood.launch.inspect.film import check_film, write_film
from wormwood.launch.run.agent_files import load_agent

__all__ = ["add_video", "video_command"]


def add_video(verbs: Any) -> None:
    """Add the verb to the parsers of all verbs."""
    example = "wormwood video ncap --body swimmer-12 --out worm.gif"
    summary = "draw an agent on a held-out start as MP4, GIF or PNG"
    parser = add_verb(verbs, "video", video_command, summary, example)
    parser.add_argument("agent", help=AGENT_HELP)
    parser.add_argument("--body", action="once", help="a name, a YAML or an MJCF file; default: the agent's own")
    parser.add_argument("--task", help="a name of `wormwood list tasks`; default: the agent's own")
    parser.add_argument("--seconds", type=seconds, default=12.0, help="simulated time; default 12")
    parser.add_argument("--seed", type=seed, default=0, help="of the held-out start; default 0")
    parser.add_argument(
        "--out", type=local_path, required=True, help="a .mp4, .gif or .png file; a .png shows the way as one picture"
    )
    add_trust(parser)


def video_command(options: argparse.Namespace) -> None:
    """Draw an agent on a held-out start."""
    agent, out = load_agent(options.agent, trust=options.trust), Path(options.out)
    check_film(out)
    spec = require_swimmer(spec_for(agent, options.body, options.task), where="video")
    quiet = options.json or out.suffix.lower() == ".png"  # one picture is drawn at once
    with contextlib.nullcontext(lambda share: None) if quiet else progress_bar("drawing", 1.0) as show:
        seconds = write_film(agent, spec, out, seconds=options.seconds, seed=options.seed, progress=show)
    if options.json:
        print_json({"agent": agent.name, "body": spec.body.name, "out": str(out), "seconds": seconds})
    else:
        print_text(f"wrote {out}")
