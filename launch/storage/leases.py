"""Claims of folders at URLs: one writer at a time, by a small file with a lease that ends unless it is renewed."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

from wormwood.errors import BadInput
from wormwood.launch.storage.json_files import parse_json

__all__ = ["CLAIM", "Claim"]

CLAIM = ".claim"
"""The file, in the folder that is claimed."""
LEASE = 60.0
"""Seconds after which a claim that was not renewed is nobody's."""
SETTLE = 1.0
"""Seconds after which a claim that was taken over is read again: of two who did so, the last one has it."""


class Claim:
    """A folder at a URL, held for writing until ``release``, or until its process ends.

    A new claim is made by a write that fails where there is a file, on storages that have one (local file systems and
    S3). One whose lease is over, or whose process was of this machine and is no more, is taken over.
    """

    def __init__(self, files: Any, root: str, url: str) -> None:
        """Take the folder ``root`` of an fsspec file system.

        Raises:
            BadInput: another process holds it.
            OSError: the storage refuses to be written.
        """
        self._files, self._path, self._url = files, f"{root}/{CLAIM}", url
        self._owner = {"holder": secrets.token_hex(16), "host": socket.gethostname(), **_process(os.getpid())}
        self._take()
        self.lost = False
        """Whether another process has taken the folder over, as after a machine slept for longer than the lease."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give the folder back."""
        self._ended.set()
        self._thread.join(timeout=LEASE)
        with contextlib.suppress(Exception):  # each file system raises its own; the lease ends by itself
            if self._is_ours():
                self._files.rm_file(self._path)
                if _is_local(self._files):
                    Path(self._path).parent.rmdir()  # where nothing else came to be in it

    def _take(self) -> None:
        held = self._read()
        if held is None and not self._create():
            held = self._read()
        elif held is not None and not _is_live(held):
            self._write()
            time.sleep(SETTLE)
        if not self._is_ours():
            raise BadInput(f"the run {self._url} is being written by {_describe(self._read() or held or {})}")

    def _renew(self) -> None:
        while not self._ended.wait(LEASE / 4):
            with contextlib.suppress(Exception):  # the network may come back before the lease ends
                self.lost = not self._is_ours()
                if self.lost:
                    return
                self._write()

    def _is_ours(self) -> bool:
        return bool((self._read() or {}).get("holder") == self._owner["holder"])

    def _read(self) -> dict[str, Any] | None:
        """Return the claim there is; an empty one where it cannot be understood, and None where there is none."""
        try:
            self._files.invalidate_cache()
            claim = parse_json(self._files.cat_file(self._path))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return claim if isinstance(claim, dict) else {}

    def _content(self) -> bytes:
        return json.dumps({**self._owner, "until": time.time() + LEASE}).encode()

    def _create(self) -> bool:
        """Write a claim where there is none; return False where there is one by now."""
        try:
            if _is_local(self._files):
                self._create_local()
            else:
                self._files.pipe_file(self._path, self._content(), mode="create")
        except FileExistsError:
            return False
        except Exception as error:  # of S3, which says so in its own way
            if "Precondition" in f"{type(error).__name__} {error}" or self._read() is not None:
                return False
            raise
        return True

    def _create_local(self) -> None:
        """A link to a whole file: nobody reads a claim that is only half written."""
        path = Path(self._path)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{CLAIM}-{self._owner['holder']}")
        aside.write_bytes(self._content())
        try:
            os.link(aside, path)
        finally:
            aside.unlink()

    def _write(self) -> None:
        if _is_local(self._files):
            aside = Path(f"{self._path}-{self._owner['holder']}")
            aside.write_bytes(self._content())
            aside.replace(self._path)
        else:
            self._files.pipe_file(self._path, self._content())


def _is_local(files: Any) -> bool:
    protocols = files.protocol if isinstance(files.protocol, tuple) else (files.protocol,)
    return "file" in protocols


def _process(pid: int) -> dict[str, Any]:
    """Return what tells a process from all others: its number, when it began, and the machine or container it is in."""
    try:
        began = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        space = os.stat("/proc/self/ns/pid").st_ino
    except (OSError, IndexError):
        began, boot, space = "", "", 0
    return {"process": pid, "began": began, "machine": f"{boot}/{space}" if boot else ""}


def _is_live(claim: dict[str, Any]) -> bool:
    """Return whether a claim still holds: its lease is not over, and its process is not known to have ended."""
    until, pid = claim.get("until"), claim.get("process")
    if not isinstance(until, int | float) or not isinstance(pid, int):
        return False
    machine = _process(os.getpid())["machine"]
    if machine and claim.get("machine") == machine:
        return bool(_process(pid)["began"] == claim.get("began"))
    return time.time() < until


def _describe(claim: dict[str, Any]) -> str:
    until = claim.get("until")
    left = max(0, round(until - time.time())) if isinstance(until, int | float) else 0
    return (
        f"process {claim.get('process', '?')} on {claim.get('host', '?')}; "
        f"its claim is renewed, or ends in {left} s: wait, or choose another --out"
    )
