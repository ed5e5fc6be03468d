"""Private folders of visitors, each removed at the end of the visit.

A visit ends when its page is closed or loaded anew, when nothing has happened in it for a while, and at the exit of
the page's process. A process that was killed leaves its folder; the next one removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usassist.common.clock import Clock
from usassist.errors import UsageError

__all__ = ["Visit", "Visits", "private_root"]

_PREFIX = "usassist-demo-"
_LOCK = "lock"


@dataclass(slots=True, kw_only=True, eq=False)
class Visit:
    """One visitor.

    Attributes
    ----------
    secret : in the address of everything that belongs to the visit; known to its page alone
    folder : private; removed at the end
    upload : the file that the visitor gave, None before
    stop, study_stop : set when what runs for this visitor is to end: a clip, a study
    t_seen_ns : monotonic ns of the last request
    ended : the folder is gone
    """

    secret: str
    folder: Path
    t_seen_ns: int
    upload: Path | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    study_stop: threading.Event = field(default_factory=threading.Event)
    ended: bool = False
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new_answer(self, kind: str = "answer") -> Path:
        """Folder for the next answer; not made yet.

        Parameters
        ----------
        kind : what its name begins with; ``answer`` for a clip

        Raises
        ------
        UsageError
            If the visit has ended.
        """
        if self.ended:
            raise UsageError("this visit has ended; load the page again")
        return self.folder / f"{kind}{next(self.numbers)}"

    def keep_only(self, folders: list[Path], kind: str = "answer") -> None:
        """Remove all answers of a kind but these."""
        for path in self.folder.glob(f"{kind}*"):
            if path not in folders:
                shutil.rmtree(path, ignore_errors=True)


class Visits:
    """All visitors of one page. May be used by several threads.

    Parameters
    ----------
    root : private folder in which each visit has one
    clock : for the age of visits
    keep_s : a visit in which nothing has happened for so long ends
    most : number of visits at once
    """

    def __init__(self, root: Path, clock: Clock, *, keep_s: float = 1800.0, most: int = 50) -> None:
        self._root, self._clock, self._keep_ns, self._most = root, clock, round(keep_s * 1e9), most
        self._lock = threading.Lock()
        self._visits: dict[str, Visit] = {}
        self.shared = self._new()  # of everyone: the answers to the bundled clips

    def of(self, visitor: str) -> Visit:
        """The visit of a visitor, which begins with the first call.

        Parameters
        ----------
        visitor : names the visitor, as Gradio's session does; it is no secret and stands in no address

        Raises
        ------
        UsageError
            If there are too many visitors.
        """
        with self._lock:
            visit = self._visits.get(visitor)
            if visit is None:
                if len(self._visits) >= self._most:
                    raise UsageError("too many visitors are here at the moment; try again in a few minutes")
                visit = self._visits[visitor] = self._new()
            visit.t_seen_ns = self._clock.now_ns()
            return visit

    def find(self, secret: str) -> Visit | None:
        """The visit with that secret, which also counts as a request in it."""
        with self._lock:
            for visit in (self.shared, *self._visits.values()):
                if secrets.compare_digest(visit.secret.encode(), secret.encode()):
                    visit.t_seen_ns = self._clock.now_ns()
                    return visit
        return None

    def has(self, secret: str) -> bool:
        """True while the visit with that secret goes on; no request in it."""
        with self._lock:
            return any(visit.secret == secret for visit in self._visits.values())

    def secret_of(self, folder: Path) -> str:
        """The secret of the visit with that folder.

        Raises
        ------
        UsageError
            If there is none.
        """
        with self._lock:
            for visit in (self.shared, *self._visits.values()):
                if visit.folder == folder:
                    return visit.secret
        raise UsageError("this visit has ended; load the page again")

    def end(self, visitor: str) -> None:
        """End a visit, if there is one: what runs for it is stopped, and its folder is removed."""
        with self._lock:
            visit = self._visits.pop(visitor, None)
        if visit is not None:
            _remove(visit)

    def end_old(self) -> int:
        """End visits in which nothing has happened for too long; gives their number."""
        before_ns = self._clock.now_ns() - self._keep_ns
        with self._lock:
            old = [name for name, visit in self._visits.items() if visit.t_seen_ns < before_ns]
        for name in old:
            self.end(name)
        return len(old)

    def close(self) -> None:
        """End all."""
        for name in list(self._visits):
            self.end(name)
        _remove(self.shared)

    def __len__(self) -> int:
        return len(self._visits)

    def _new(self) -> Visit:
        secret = secrets.token_urlsafe(24)
        folder = Path(tempfile.mkdtemp(prefix="visit-", dir=self._root))  # mode 0700
        return Visit(secret=secret, folder=folder, t_seen_ns=self._clock.now_ns())


def _remove(visit: Visit) -> None:
    visit.ended = True
    visit.stop.set()
    visit.study_stop.set()
    shutil.rmtree(visit.folder, ignore_errors=True)


@contextlib.contextmanager
def private_root() -> Iterator[Path]:
    """A private folder for the time of the block; those of processes that were killed are removed first."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        _remove_if_left(path)
    root = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with (root / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield root
        finally:
            shutil.rmtree(root, ignore_errors=True)


def _remove_if_left(path: Path) -> None:
    try:
        if path.is_symlink() or path.stat().st_uid != os.getuid():
            return
        lock: Any
        with (path / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    except OSError:
        return  # still in use, or not ours
