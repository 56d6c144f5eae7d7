"""The command `wormwood`: arguments, exit codes and errors. Each verb has a module of its own."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

import wormwood
from wormwood.errors import BadInput
from wormwood.launch.bench.trees_peers import PeerError
from wormwood.launch.cli.arguments import Parser
from wormwood.launch.cli.bench import add_bench
from wormwood.launch.cli.cluster import add_cluster
from wormwood.launch.cli.console import notes_of_old_names
from wormwood.launch.cli.evaluate import add_evaluate
from wormwood.launch.cli.inspect import add_inspect
from wormwood.launch.cli.listing import add_list
from wormwood.launch.cli.status import add_status
from wormwood.launch.cli.train import add_train
from wormwood.launch.cli.transfer import add_transfer
from wormwood.launch.cli.video import add_video
from wormwood.launch.clusters.api import ClusterError
from wormwood.launch.run.executors import WorkerError
from wormwood.launch.run.rollouts import NonFiniteError
from wormwood.launch.run.service import ServiceLostError
from wormwood.launch.run.training import Interrupted
from wormwood.launch.storage.checkpoints import CheckpointError
from wormwood.launch.storage.mirrors import StorageError

__all__ = ["main", "make_parser"]

ADD_VERBS = (
    add_train,
    add_status,
    add_evaluate,
    add_inspect,
    add_video,
    add_list,
    add_bench,
    add_transfer,
    add_cluster,
)
"""What adds each verb, in the order of `wormwood --help`."""

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EPIPE, errno.EIO}
"""What the operating system says where it takes no more output."""


def make_parser() -> Parser:
    """Return the parser of all verbs; each sets ``run`` to the function that does it, and ``parser`` to its own.

    Jobs of a cluster are arguments of these verbs, too: ``parse`` reads those.
    """
    parser = Parser(prog="wormwood", description=(wormwood.__doc__ or "").split("\n")[0])
    parser.set_defaults(parse=parser.parse_known_args)
    parser.add_argument("--version", action="version", version=f"wormwood {wormwood.__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="verb", required=True, parser_class=Parser)
    for add in ADD_VERBS:
        add(verbs)
    return parser


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
        with notes_of_old_names():
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
