"""A live input that is opened and read in the thread that reads it: for grabbers that a test makes itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from usassist.sources.grab import Grab, Grabber

__all__ = ["InThread"]


class InThread:
    """An ``Opener`` around a function; what it opens has hung for good when the function or the grabber has."""

    def __init__(self, opener: Callable[[], Any]) -> None:
        self._opener = opener
        self.prepared = 0
        self.killed = 0

    def prepare(self) -> None:
        self.prepared += 1

    def open(self) -> _Input:
        return _Input(self._opener, self)

    def close(self) -> None:
        pass


class _Input:
    started = True

    def __init__(self, opener: Callable[[], Any], owner: InThread) -> None:
        self._opener, self._owner = opener, owner
        self._grabber: Grabber | None = None

    @property
    def description(self) -> str:
        return "" if self._grabber is None else self._grabber.description

    @property
    def warnings(self) -> tuple[str, ...]:
        return () if self._grabber is None else self._grabber.warnings

    @property
    def rate_hz(self) -> float | None:
        return None if self._grabber is None else self._grabber.rate_hz

    def grabs(self) -> Iterator[Grab]:
        self._grabber = self._opener()
        try:
            yield from self._grabber.grabs()
        finally:
            self._grabber.close()

    def close(self) -> None:
        if self._grabber is not None:
            self._grabber.close()

    def kill(self) -> None:
        self._owner.killed += 1
        self.close()
