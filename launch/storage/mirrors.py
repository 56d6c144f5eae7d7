"""Folders at a URL: run folders that outlive the machine that writes them, on whatever fsspec can reach."""

from __future__ import annotations

import contextlib
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from wormwood.errors import BadInput, bad_input
from wormwood.launch.storage.leases import Claim

__all__ = ["Mirror", "StorageError", "check_out", "has_run", "is_url", "local_copy"]

Result = TypeVar("Result")

PAUSES = (0.0, 1.0, 5.0, 15.0)
"""Seconds before each attempt to send something."""
CONTACT = 8.0
"""Seconds within which a place has to answer for the first time."""
PATIENCE = {"connect_timeout": 3, "read_timeout": 30, "retries": {"max_attempts": 1}}
"""Of requests to S3: by default they are repeated for minutes."""
WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "az", "memory"}
"""Protocols under whose names an object appears whole or not at all. Elsewhere it is sent aside, and renamed."""
LAST = "MANIFEST.json"
"""What makes a checkpoint one: it is sent when all that it names is there, and removed before anything of that."""
ASIDE = ".part"


class StorageError(RuntimeError):
    """A folder at a URL could not be written or read any more. What was sent before is complete."""


def check_out(location: str) -> None:
    """Check where a new run is to be.

    Raises:
        BadInput: it is nearly a URL, and would be taken for a folder, or one that cannot be written.
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)", location):
        raise bad_input("--out", where="train", expected="two slashes behind the protocol, or a folder", got=location)
    if re.match(r"https?://", location, re.IGNORECASE):
        expected = "a folder, or a URL that can be written, such as s3://BUCKET/NAME"
        raise bad_input("--out", where="train", expected=expected, got=location)


def is_url(location: str) -> bool:
    """Return whether this is a URL, not a path."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", location) is not None


class Mirror:
    """A local folder that is also kept at a URL, which has one writer at a time.

    Files that have not changed are not sent again. A checkpoint at the URL is complete or not there, whenever its
    writer is ended: ``fetch`` leaves out what a writer did not finish.
    """

    def __init__(self, url: str) -> None:
        """Start with an empty local folder, which goes when this object is closed or forgotten.

        Raises:
            BadInput: nothing is known of the protocol, or the place cannot be reached, or not with these credentials.
        """
        self.url = url.rstrip("/")
        if re.match(r"[^/]+://[^/]*:[^/]*@", url):
            raise BadInput("a URL with a password in it: leave that to the environment, or to the protocol's own files")
        if self.url.rpartition("/")[2] in {"", ".", ".."}:
            raise bad_input("URL", where=url, expected="one that ends in the name of a run", got=url)
        self._files, self._root = _within(CONTACT, partial(_connect, self.url), self.url)
        self._claim: Claim | None = None
        self._sent: dict[str, tuple[int, int]] = {}
        self._temporary = tempfile.TemporaryDirectory(prefix="wormwood-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name) / self.url.rpartition("/")[2]
        self.folder.mkdir()

    def claim(self) -> None:
        """Hold the URL for writing until this object is closed.

        Raises:
            BadInput: another process holds it, or it cannot be written.
        """
        try:
            self._claim = Claim(self._files, self._root, self.url)
        except BadInput:
            raise
        except Exception as error:  # each file system raises its own
            raise BadInput(f"cannot write to {self.url}: {_reason(error)}") from error

    def close(self) -> None:
        """Remove the local folder, and give up the claim."""
        if self._claim:
            self._claim.release()
        self._temporary.cleanup()

    def has(self, name: str) -> bool:
        """Return whether there is a file of this name at the URL."""
        return bool(self._attempt(partial(self._files.exists, f"{self._root}/{name}")))

    def read_text(self, name: str) -> str:
        """Return the text of a file at the URL; empty where there is none.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            return str(self._files.cat_file(f"{self._root}/{name}").decode())
        except FileNotFoundError:
            return ""
        except Exception as error:  # each file system raises its own
            raise StorageError(f"{self.url}: {_reason(error)}") from error

    def fetch(self, *, leave_out: str | None = None) -> None:
        """Copy all that is at the URL to the local folder, but for what was not finished, and one folder.

        Raises:
            StorageError: it cannot be read.
        """
        names = self._names()
        complete = {name.rpartition("/")[0] for name in names if name.endswith(f"/{LAST}")}
        for name in names:
            checkpoint = re.match(r"(.*/)?step-\d+(?=/)", name)
            unfinished, hidden = checkpoint and checkpoint[0] not in complete, _is_hidden(name)
            if unfinished or hidden or name.split("/")[0] == leave_out:
                continue
            target = self.folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self._attempt(partial(self._files.get_file, f"{self._root}/{name}", str(target)))
            self._sent[name] = _stamp(target)

    def send(self, *, prune: bool = False) -> None:
        """Copy to the URL what is new or has changed, and then remove there, if asked, what is not here any more.

        Nothing is removed while the URL has a newer checkpoint: it is another's, who has taken this run over.

        Raises:
            StorageError: it cannot be written, or another process has taken it over.
        """
        if self._claim and self._claim.lost:
            raise StorageError(f"{self.url}: another process writes there now; this one sends nothing more")
        here = {path.relative_to(self.folder).as_posix(): path for path in _files_in(self.folder)}
        for name in sorted(here, key=lambda name: (name.endswith(LAST), name)):
            stamp = _stamp(here[name])
            if self._sent.get(name) != stamp:
                self._attempt(partial(self._put, here[name], f"{self._root}/{name}"))
                self._sent[name] = stamp
        if prune:
            gone = [name for name in self._names() if name not in here]
            if _newest(gone) > _newest(here):
                return
            for name in sorted(gone, key=lambda name: (not name.endswith(LAST), name)):
                self._attempt(partial(self._files.rm_file, f"{self._root}/{name}"))
                self._sent.pop(name, None)

    def _put(self, path: Path, target: str) -> None:
        protocols = self._files.protocol if isinstance(self._files.protocol, tuple) else (self._files.protocol,)
        if WHOLE & set(protocols):
            self._files.put_file(str(path), target)
        else:
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(path), target + ASIDE)
            self._files.mv(target + ASIDE, target)

    def _names(self) -> list[str]:
        """Return the names of all files at the URL, from its root."""

        def find() -> list[str]:
            self._files.invalidate_cache()
            return list(self._files.find(self._root))

        found: list[str] = self._attempt(find)
        root = self._files._strip_protocol(self._root).rstrip("/")  # there is no other name for it
        names = [self._files._strip_protocol(name)[len(root) + 1 :] for name in found]
        for name in names:
            if name.startswith("/") or ".." in name.split("/"):
                raise StorageError(f"{self.url}: {name!r} there would lead out of the folder; nothing was fetched")
        return sorted(name for name in names if not name.endswith(ASIDE))

    def _attempt(self, action: Callable[[], Any]) -> Any:
        """Do something that a network may refuse, several times if need be."""
        for attempt, pause in enumerate(PAUSES, start=1):
            time.sleep(pause)
            try:
                return action()
            except Exception as error:  # each file system raises its own
                if attempt == len(PAUSES) or isinstance(error, PermissionError):
                    raise StorageError(f"{self.url}: {_reason(error)}") from error
        return None


def has_run(location: str) -> bool:
    """Return whether there is a run at a path or URL.

    Raises:
        BadInput: the URL cannot be reached.
    """
    if not is_url(location):
        return Path(location, "config.yaml").exists()
    with contextlib.closing(Mirror(location)) as mirror:
        return mirror.has("config.yaml")


@contextlib.contextmanager
def local_copy(location: str, *, leave_out: str | None = None) -> Iterator[Path]:
    """Give a folder to read: the one at a path, or a copy of the one at a URL, which goes at the block's end.

    Raises:
        BadInput: the URL cannot be reached, or there is nothing.
        StorageError: it cannot be read.
    """
    if not is_url(location):
        yield Path(location)
        return
    with contextlib.closing(Mirror(location)) as mirror:
        mirror.fetch(leave_out=leave_out)
        if not any(mirror.folder.iterdir()):
            raise BadInput(f"there is nothing at {location}: expected a run or an exported agent")
        yield mirror.folder


def _connect(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and where in it the URL points to."""
    import fsspec
    from fsspec.registry import known_implementations

    protocol = url.partition("://")[0]
    if protocol not in known_implementations:
        names, expected = sorted(known_implementations), "a protocol of fsspec, such as file, s3 or gs"
        raise bad_input("unknown protocol", where=url, expected=expected, got=protocol, nearest_to=names)
    options = {"config_kwargs": PATIENCE} if protocol in {"s3", "s3a"} else {}
    try:
        files, root = fsspec.core.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True, **options)
        files.find(root)  # asks for all that reading needs, of the run's own names alone
    except ImportError as error:
        raise BadInput(f"{url} needs a package that is not installed: {_reason(error)}") from error
    except Exception as error:
        raise BadInput(f"cannot reach {url}: {_reason(error)}") from error
    return files, root.rstrip("/")


def _reason(error: Exception) -> str:
    """Return what went wrong, in one line."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"there is no such bucket or folder: {reason}" if isinstance(error, FileNotFoundError) else reason


def _files_in(folder: Path) -> Iterator[Path]:
    """Yield the files that are somebody's: not locks and drafts, whose names begin with a dot."""
    for path in folder.rglob("*"):
        if path.is_file() and not _is_hidden(path.relative_to(folder).as_posix()):
            yield path


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _newest(names: Iterable[str]) -> int:
    """Return the step of the newest checkpoint among files; -1 where there is none."""
    found = (re.match(r"(?:.*/)?step-(\d+)/", name) for name in names)
    return max((int(match[1]) for match in found if match), default=-1)


def _within(seconds: float, action: Callable[[], Result], url: str) -> Result:
    """Do something that may never return.

    Raises:
        BadInput: it has not returned in time.
        BaseException: whatever it raises.
    """
    done: Future[Result] = Future()

    def run() -> None:
        try:
            done.set_result(action())
        except BaseException as error:  # whoever waits is told
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return done.result(timeout=seconds)
    except TimeoutError as error:
        raise BadInput(f"cannot reach {url}: no answer within {seconds:g} s") from error


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
