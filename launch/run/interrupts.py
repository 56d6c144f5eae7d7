"""Ctrl-C and SIGTERM, put off while something must not be left half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

__all__ = ["interrupts_deferred"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let the block finish before a Ctrl-C or SIGTERM that arrives meanwhile takes effect.

    Python delivers signals to the main thread alone: in others there is nothing to put off.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    before = {number: handler for number in SIGNALS if callable(handler := signal.getsignal(number))}
    for number in before:
        signal.signal(number, lambda *event: arrived.append(event))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for event in arrived[:1]:
        before[signal.Signals(event[0])](*event)
