"""A subscriber that keeps the times of every result, so that percentiles are exact, for any part of a run.

It subscribes as recorders do, to results, sessions and health and not to pixels, in a thread of the measuring process:
the stream serves one more reader, and no additional process runs.
"""

from __future__ import annotations

import json
import struct
import threading
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.bus import HealthBody, SessionBody, Subscriber
from usassist.bus.log import LogReader
from usassist.common.closeable import Closeable
from usassist.records import Cause, ResultState

__all__ = ["ResultCollector", "Results", "read_frame_times"]

IntArray = npt.NDArray[np.int64]

_COLUMNS = (
    "frame_id",
    "t_capture_ns",
    "t_start_ns",
    "t_input_ns",
    "t_output_ns",
    "t_end_ns",
    "t_publish_ns",
    "state",
    "cause",
)
_STATES = tuple(ResultState)
_CAUSES = tuple(Cause)
_POLL_MS = 50
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Results:
    """Results in the order of publication: int64 (n,) each, monotonic ns; -1 stands for no time, no cause.

    ``state`` and ``cause`` are indices into ``ResultState`` and ``Cause``.
    """

    frame_id: IntArray
    t_capture_ns: IntArray
    t_start_ns: IntArray
    t_input_ns: IntArray
    t_output_ns: IntArray
    t_end_ns: IntArray
    t_publish_ns: IntArray
    state: IntArray
    cause: IntArray

    def __len__(self) -> int:
        """How many."""
        return len(self.frame_id)

    def between(self, begin_ns: int, end_ns: int) -> Results:
        """Results of frames captured in an interval; its end is excluded."""
        return self.where((self.t_capture_ns >= begin_ns) & (self.t_capture_ns < end_ns))

    def where(self, chosen: npt.NDArray[np.bool_]) -> Results:
        """Some of them."""
        return Results(**{name: getattr(self, name)[chosen] for name in _COLUMNS})

    @property
    def answered(self) -> npt.NDArray[np.bool_]:
        """Where the engine has answered in time, or abstained: the same work was done on the frame."""
        answers = [_STATES.index(ResultState.FINDING), _STATES.index(ResultState.NO_FINDING)]
        abstained = self.cause == _CAUSES.index(Cause.OUT_OF_DOMAIN)
        return np.asarray(np.isin(self.state, answers) | abstained, np.bool_)

    def by_state(self) -> dict[str, int]:
        """Counts, every state."""
        return {str(state): int(np.count_nonzero(self.state == place)) for place, state in enumerate(_STATES)}

    def by_cause(self) -> dict[str, int]:
        """Counts of the causes that occurred."""
        counts = {str(cause): int(np.count_nonzero(self.cause == place)) for place, cause in enumerate(_CAUSES)}
        return {cause: count for cause, count in counts.items() if count}


@dataclass(slots=True)
class _Log:
    columns: dict[str, array[int]] = field(default_factory=lambda: {name: array("q") for name in _COLUMNS})


class ResultCollector(Closeable):
    """Subscribes to a stream and keeps the times of its results.

    Parameters
    ----------
    address : of the stream

    Attributes
    ----------
    session : the last ``session`` message, None before the first
    health : the last ``health`` message of each process
    """

    def __init__(self, address: str) -> None:
        self.session: SessionBody | None = None
        self.health: dict[str, HealthBody] = {}
        self._log = _Log()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._subscriber = Subscriber(address, ("result", "health", "session"), "archive")
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._thread.start()

    @property
    def gaps(self) -> int:
        """Results that were not received."""
        return self._subscriber.gaps["result"]

    @property
    def count(self) -> int:
        """Results so far."""
        return len(self._log.columns["frame_id"])

    def results(self) -> Results:
        """Everything so far, copied."""
        with self._lock:
            return Results(**{name: np.array(column, np.int64) for name, column in self._log.columns.items()})

    def close(self) -> None:
        """End. May be called twice."""
        self._stop.set()
        self._thread.join()
        self._subscriber.close()

    def _run(self) -> None:
        for _, message in self._subscriber.each(_POLL_MS, self._stop.is_set):
            body = message.body
            if isinstance(body, HealthBody):
                self.health[body.process] = body
            elif isinstance(body, SessionBody):
                self.session = body
            else:
                self._take(body, message.t_publish_ns)
            if self._stop.is_set():
                return

    def _take(self, body: Any, t_publish_ns: int) -> None:
        values = (
            body.frame_id,
            body.t_capture_ns,
            *(
                -1 if t_ns is None else t_ns
                for t_ns in (body.t_infer_start_ns, body.t_input_ns, body.t_output_ns, body.t_infer_end_ns)
            ),
            t_publish_ns,
            _STATES.index(body.state),
            -1 if body.cause is None else _CAUSES.index(body.cause),
        )
        with self._lock:
            for column, value in zip(self._log.columns.values(), values, strict=True):
                column.append(value)


def read_frame_times(folder: Path) -> dict[str, IntArray]:
    """Every frame that was recorded: ``frame_id``, ``t_decoded_ns``, ``t_cropped_ns``, and ``seq`` of its message.

    Parameters
    ----------
    folder : of a session; its message log holds the frames as they were published, without their pixels

    Returns
    -------
    columns : int64 (n,) each; -1 where a frame has no such time
    """
    columns: dict[str, list[int]] = {name: [] for name in ("frame_id", "t_decoded_ns", "t_cropped_ns", "seq")}
    for header in _frame_headers(folder / "bus.log"):
        for name, column in columns.items():
            value = header["seq"] if name == "seq" else header["body"].get(name)
            column.append(-1 if value is None else int(value))
    return {name: np.array(column, np.int64) for name, column in columns.items()}


def _frame_headers(path: Path) -> Iterator[Mapping[str, Any]]:
    for record in LogReader(path):
        if not record.without_pixels:
            continue
        start = record.data.index(b"\n") + 1
        (length,) = _LENGTH.unpack_from(record.data, start)
        yield json.loads(record.data[start + _LENGTH.size : start + _LENGTH.size + length])
