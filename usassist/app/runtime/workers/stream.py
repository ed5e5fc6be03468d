"""Child process: stream a source onto the bus."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from usassist.app.runtime.open_stream import StreamOptions, open_stream
from usassist.app.runtime.worker import Parent
from usassist.bus import ControlBody, SessionState
from usassist.errors import SessionError, UsAssistError
from usassist.pipeline import Stream
from usassist.records import Result, SourceInfo

__all__ = ["work"]

_ARCHIVES_S = 5.0
_START_S = 30.0  # for what else comes before the first frame
_LINGER_S = 10.0  # for the recorders to receive everything that was sent
_PROGRESS_S = 0.25


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Stream until the source ends or the parent stops this process.

    ``options`` are the fields of ``StreamOptions``, and

    - ``archives``: number of recorders to wait for: until they are connected, and at the end until the parent releases
      this process because they have received everything
    - ``archives_s``: timeout of both waits; without all recorders the stream fails then
    - ``pixels``: number of recorders that take frames; all by default
    - ``controlled``: the parent carries out requests of viewers: they are reported to it as ``control``, and its
      messages ``{"outcome": …}`` are published; the first result is reported as ``streaming``
    - ``progress``: report ``building``, ``opened`` and, a few times a second, ``progress`` with the summary so far; a
      stream that fails is reported with its summary
    """
    archives, archives_s, pixels = (
        options.pop("archives", 0),
        options.pop("archives_s", None),
        options.pop("pixels", None),
    )
    progress = _Progress(parent) if options.pop("progress", False) else None
    controls = _Controls(parent) if options.pop("controlled", False) else None
    heartbeat = parent.heartbeat

    def building(stage: str, share: float) -> None:
        heartbeat.beat()
        if progress is not None:
            progress.building(stage, share)

    with open_stream(
        StreamOptions(**options),
        on_open=None if progress is None else progress.opened,
        on_build=building,
        on_result=progress.result if progress is not None else controls.result if controls is not None else None,
        controls=controls,
        heartbeat=heartbeat,
    ) as stream:
        heartbeat.allow((archives_s or _ARCHIVES_S) + _START_S)
        parent.report("ready")
        if archives:
            complete = stream.publisher.wait_for_archives(
                archives, archives_s or _ARCHIVES_S, lambda: not parent.stop.is_set(), of_pixels=pixels
            )
            if archives_s is not None and not complete:
                raise SessionError("the recorder did not connect; run usassist doctor")
        if progress is not None:
            progress.stream = stream
        try:
            stream.run(parent.stop)
        except UsAssistError as error:
            if progress is None:
                raise
            stream.summary.state, stream.summary.reason = SessionState.FAILED, str(error)
        summary = stream.summary.as_dict()
        if archives:
            # Keep the sockets open until every archive has received everything: closing drops what is in flight.
            parent.report("ended", summary=summary)
            parent.released.wait(archives_s or _LINGER_S)
    return {"summary": summary}


class _Controls:
    """Hands requests to the parent, and gets their outcomes from it."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self._streams = False

    def ask(self, request: ControlBody) -> None:
        self._parent.report("control", request=msgspec.to_builtins(request))

    def outcomes(self) -> Iterator[ControlBody]:
        with contextlib.suppress(queue.Empty):
            while True:
                yield msgspec.convert(self._parent.messages.get_nowait()["outcome"], ControlBody)

    def result(self, _result: Result) -> None:
        if not self._streams:
            self._streams = True
            self._parent.report("streaming")


class _Progress:
    """Reports the progress of the stream to the parent."""

    def __init__(self, parent: Parent) -> None:
        self.stream: Stream | None = None
        self._parent = parent
        self._next_s = 0.0

    def building(self, stage: str, share: float) -> None:
        self._parent.report("building", stage=stage, share=share)

    def opened(self, info: SourceInfo) -> None:
        self._parent.report("opened", info=dataclasses.asdict(info))

    def result(self, _result: Result) -> None:
        now_s = time.monotonic()
        if self.stream is not None and now_s >= self._next_s:
            self._next_s = now_s + _PROGRESS_S
            self._parent.report("progress", summary=self.stream.summary.as_dict())
