"""The command `wormwood`: arguments, exit codes and errors. What the verbs do is in ``commands.py``."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any

import wormwood
from wormwood.errors import BadInput
from wormwood.launch.bench.trees_peers import PeerError
from wormwood.launch.cli import commands
from wormwood.launch.cli.arguments import AGENT_HELP, Parser, add_verb, episodes, seconds, seed, workers
from wormwood.launch.cli.cluster import add_cluster
from wormwood.launch.cli.listing import LISTS, list_command
from wormwood.launch.cli.transfer import add_transfer
from wormwood.launch.clusters.api import ClusterError
from wormwood.launch.run.checkpoints import CheckpointError
from wormwood.launch.run.executors import WorkerError
from wormwood.launch.run.rollouts import NonFiniteError
from wormwood.launch.run.service import ServiceLostError
from wormwood.launch.run.storage import StorageError
from wormwood.launch.run.training import Interrupted

__all__ = ["main", "make_parser"]

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE, errno.EIO}
"""What the operating system says where it takes no more output."""


def make_parser() -> Parser:
    """Return the parser of all verbs; each sets ``run`` to the function that does it, and ``parser`` to its own.

    Jobs of a cluster are arguments of these verbs, too: ``parse`` reads those.
    """
    parser = Parser(prog="wormwood", description=wormwood.__doc__)
    parser.set_defaults(parse=parser.parse_known_args)
    parser.add_argument("--version", action="version", version=f"wormwood {wormwood.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="verb", required=True, parser_class=Parser)
    own = (_add_train, _add_status, _add_evaluate, _add_inspect, _add_video, _add_list, _add_bench)
    for add in (*own, add_transfer, add_cluster):
        add(verbs)
    return parser


def _add_train(verbs: Any) -> None:
    example = "wormwood train swim-ncap-cma --workers 2 --set body=swimmer-12"
    parser = add_verb(verbs, "train", commands.train_command, "train an agent, or go on with a run", example)
    parser.add_argument("preset", nargs="?", help="a name of `wormwood list presets`, or a YAML file")
    parser.add_argument("--seed", type=seed, help="of all randomness; default: the preset's, which is 0")
    parser.add_argument("--workers", type=workers, default=0, help="Ray actors that collect experience; 0 uses none")
    parser.add_argument("--address", default="local", help="of a running Ray cluster; default: one of its own")
    parser.add_argument("--out", help="folder of the run, or a URL; default: a new one in runs/")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out, from its newest checkpoint")
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's event files into the run, too")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY.PATH=VALUE", help="change the preset"
    )


def _add_status(verbs: Any) -> None:
    parser = add_verb(verbs, "status", commands.status_command, "show how a run is", "wormwood status runs/worm")
    parser.add_argument("run_folder", metavar="run", help="the folder of a run, which may be going on")


def _add_evaluate(verbs: Any) -> None:
    example = "wormwood evaluate ncap --body swimmer-6 swimmer-12"
    parser = add_verb(
        verbs, "evaluate", commands.evaluate_command, "play held-out episodes on one or more bodies", example
    )
    parser.add_argument("agent", help=AGENT_HELP)
    parser.add_argument("--body", nargs="+", default=[], help="names, YAML or MJCF files; default: the agent's own")
    parser.add_argument("--task", help="a name of `wormwood list tasks`; default: the agent's own")
    parser.add_argument("--episodes", type=episodes, default=10, help="held-out starts; default 10")
    parser.add_argument("--seed", type=seed, default=0, help="of the held-out starts; default 0")
    parser.add_argument("--plot", metavar="FILE", help="trials: a .png of the return of each episode of the trial")


def _add_inspect(verbs: Any) -> None:
    example = "wormwood inspect ncap --out circuit"
    parser = add_verb(verbs, "inspect", commands.inspect_command, "show what an agent is made of", example)
    parser.add_argument("agent", help=AGENT_HELP)
    parser.add_argument("--body", help="a name, a YAML or an MJCF file; default: the agent's own")
    parser.add_argument("--out", help="folder for JSON and picture; default: print only")


def _add_video(verbs: Any) -> None:
    example = "wormwood video ncap --body swimmer-12 --out worm.gif"
    parser = add_verb(
        verbs, "video", commands.video_command, "draw an agent on a held-out start as MP4, GIF or PNG", example
    )
    parser.add_argument("agent", help=AGENT_HELP)
    parser.add_argument("--body", help="a name, a YAML or an MJCF file; default: the agent's own")
    parser.add_argument("--task", help="a name of `wormwood list tasks`; default: the agent's own")
    parser.add_argument("--seconds", type=seconds, default=12.0, help="simulated time; default 12")
    parser.add_argument("--seed", type=seed, default=0, help="of the held-out start; default 0")
    parser.add_argument("--out", required=True, help="a .mp4, .gif or .png file; a .png shows the way as one picture")


def _add_list(verbs: Any) -> None:
    parser = add_verb(verbs, "list", list_command, "list what there is", "wormwood list presets")
    parser.add_argument("what", metavar="list", choices=tuple(LISTS))


def _add_bench(verbs: Any) -> None:
    parser = add_verb(verbs, "bench", commands.bench_command, "measure speed side by side", "wormwood bench rollout")
    parser.add_argument("what", metavar="benchmark", choices=tuple(commands.BENCHMARKS))
    parser.add_argument("--seconds", type=seconds, default=40.0, help="about how long to measure; default 40")
    parser.add_argument(
        "--peers",
        metavar="PYTHON",
        help="trees: a Python with gbrl and xgboost, default $WORMWOOD_PEERS, or neither; train: one with RLlib",
    )
    parser.add_argument(
        "--what", dest="experiment", default="few-shot", help="memory: which experiment; default few-shot"
    )
    parser.add_argument("--seeds", type=episodes, default=5, help="memory: how many seeds, from 0; default 5")


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 bad input, 130 interrupted."""
    # Schedulers of clusters end jobs with SIGTERM: leave a checkpoint then, too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if sys.stdout is None:
            raise BrokenPipeError(errno.EPIPE, "standard output is closed")
        options, unknown = make_parser().parse_known_args(arguments)
        if unknown:
            options.parser.refuse(unknown[0])
        options.run(options)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return _explain(error)
    return DONE


TOLD = (
    BadInput,
    CheckpointError,
    ClusterError,
    NonFiniteError,
    PeerError,
    ServiceLostError,
    StorageError,
    WorkerError,
)
"""Errors whose message is all that the user has to know."""


def _explain(error: BaseException) -> int:
    """Print what went wrong, in one line where it is not a mistake of ours or of the user's code."""
    no_room = isinstance(error, OSError) and error.errno in NO_ROOM
    line = " ".join(str(error).splitlines())  # a name of the user's may have several
    if isinstance(error, KeyboardInterrupt):
        print(f"wormwood: {line if isinstance(error, Interrupted) else 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    if no_room:
        _give_up_stdout()
    if no_room or isinstance(error, TOLD):
        print(f"wormwood: {line}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, BadInput) else FAILED
    traceback.print_exception(error)
    return FAILED


def _give_up_stdout() -> None:
    """Let go of what stdout does not take: Python would try again when it ends, and complain a second time."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
