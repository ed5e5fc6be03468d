"""Every frame of a session in a few bytes, and the session as columns to draw.

A frame is one row. When the rows are full, the older half is compacted: two neighbours become one row that stands for
both, with their counts, so that memory is bounded however long a session lasts and the newest frames stay single.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.records import Cause, Result, ResultState

__all__ = ["MAX_ROWS", "Columns", "Entry", "Timeline", "columns_of"]

MAX_ROWS = 2**17
"""Rows of one session: 36 min of single frames at 60 Hz, 2.9 MB."""

_FIRST_ROWS = 4096
_MOST_FRAMES = 2**16 - 1  # that one row may stand for
_LOOK_BACK = 256  # results come nearly in the order of the frames; one that is later than this is left out
_CAUSES = tuple(Cause)
_CAUSE_CODE = {cause: code for code, cause in enumerate(_CAUSES, start=1)}
_ROW = np.dtype(
    [
        ("frame_id", "<i4"),
        ("t_ms", "<u4"),
        ("frames", "<u2"),
        ("finding", "<u2"),
        ("no_finding", "<u2"),
        ("stale", "<u2"),
        ("cause", "u1"),
        ("score", "u1"),
        ("found", "u1"),
        ("cut", "u1"),
    ]
)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one frame; ``frames`` > 1 = of so many neighbours together, from ``frame_id`` on.

    ``t_s`` is from the first frame of the session that this panel received. ``score`` is the greatest on it, None
    where nothing was found. ``cause`` is why there is no answer. ``cut``: the image does not go on where the one
    before left off.
    """

    frame_id: int
    frames: int
    t_s: float
    state: str
    cause: str
    score: float | None
    found: int
    cut: bool


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """A session in columns of equal time, one value each in every list.

    ``frame_id`` is the first frame of a column, -1 of one without frames; ``finding``, ``no_finding``, ``no_result``
    and ``stale`` count frames, ``missing`` those that never arrived before its last one. ``score`` is the greatest, -1
    where nothing was found.
    """

    length_s: float
    frames: int
    frame_id: list[int]
    finding: list[int]
    no_finding: list[int]
    no_result: list[int]
    stale: list[int]
    missing: list[int]
    cut: list[int]
    score: list[float]


class Timeline:
    """Collects the results of one session. Not thread-safe.

    Parameters
    ----------
    max_rows : rows that are kept, even
    """

    def __init__(self, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self.clear()

    def clear(self) -> None:
        """Forget everything, for a new session."""
        self._rows: npt.NDArray[Any] = np.zeros(min(_FIRST_ROWS, self._max_rows), _ROW)
        self._count = 0
        self._first_ns: int | None = None
        self._follows = False  # results say which frame they follow
        self._cut_next = False

    def __len__(self) -> int:
        """How many rows there are."""
        return self._count

    @property
    def nbytes(self) -> int:
        """Memory of the rows."""
        return self._rows.nbytes

    def time_s(self, t_ns: int) -> float:
        """A capture time in seconds from the first frame; 0 before there is one."""
        return 0.0 if self._first_ns is None else (t_ns - self._first_ns) / 1e9

    def cut_next(self) -> None:
        """The next frame does not go on where the one before left off: the signal was lost, or is another one."""
        self._cut_next = True

    def add(self, result: Result) -> bool:
        """Take one result.

        Returns
        -------
        cut : its image does not go on where the one before left off
        """
        state = result.state
        if self._first_ns is None:
            self._first_ns = result.t_capture_ns
        if self._count == len(self._rows):
            self._make_room()
        cut = self._is_cut(result)
        score, found = 0, 0
        if state is ResultState.FINDING:
            found = min(len(result.detections), 255)
            score = 1 + round(254.0 * float(result.detections.score.max()))
        rows, at, frame_id = self._rows, self._count, result.frame_id
        while at and rows["frame_id"][at - 1] >= frame_id:
            at -= 1
            if self._count - at > _LOOK_BACK or rows["frame_id"][at] == frame_id:
                return cut
        if at < self._count:
            rows[at + 1 : self._count + 1] = rows[at : self._count].copy()
        rows[at] = (
            frame_id,
            max(0, (result.t_capture_ns - self._first_ns) // 1_000_000),
            1,
            state is ResultState.FINDING,
            state is ResultState.NO_FINDING,
            state is ResultState.STALE,
            0 if result.cause is None else _CAUSE_CODE[result.cause],
            score,
            found,
            cut,
        )
        self._count += 1
        return cut

    def _is_cut(self, result: Result) -> bool:
        """Where findings are associated over frames, an answer that follows none of them begins another image."""
        cut, self._cut_next = self._cut_next, False
        if result.state.is_answer:
            if result.follows_frame_id is not None:
                self._follows = True
            elif self._follows:
                cut = True
        return cut

    def _make_room(self) -> None:
        if len(self._rows) < self._max_rows:
            grown = np.zeros(min(2 * len(self._rows), self._max_rows), _ROW)
            grown[: self._count] = self._rows
            self._rows = grown
            return
        half = self._count // 4 * 2
        old = self._rows[:half]
        one, two = old[0::2], old[1::2]
        pairs = one.copy()
        for name in ("finding", "no_finding", "stale", "frames"):
            pairs[name] = np.minimum(one[name].astype(np.uint32) + two[name], _MOST_FRAMES)
        for name in ("score", "found", "cut"):
            pairs[name] = np.maximum(one[name], two[name])
        pairs["cause"] = np.where(two["cause"], two["cause"], one["cause"])
        rest = self._rows[half : self._count].copy()
        self._rows[: half // 2] = pairs
        self._rows[half // 2 : half // 2 + len(rest)] = rest
        self._count = half // 2 + len(rest)

    def snapshot(self) -> npt.NDArray[Any]:
        """The rows so far, a copy, which may be read in another thread."""
        return self._rows[: self._count].copy()

    def entry(self, frame_id: int) -> Entry | None:
        """What is known of a frame; None where it never arrived, or not in this session."""
        at = int(np.searchsorted(self._rows["frame_id"][: self._count], frame_id, side="right")) - 1
        if at < 0:
            return None
        row = self._rows[at]
        first, frames = int(row["frame_id"]), int(row["frames"])
        next_id = int(self._rows["frame_id"][at + 1]) if at + 1 < self._count else first + frames
        if frame_id > first and (frames == 1 or frame_id >= next_id):
            return None
        return _entry(row)


def _entry(row: Any) -> Entry:
    counts = {ResultState.FINDING: int(row["finding"]), ResultState.NO_FINDING: int(row["no_finding"])}
    counts[ResultState.STALE] = int(row["stale"])
    counts[ResultState.NO_RESULT] = int(row["frames"]) - sum(counts.values())
    score = int(row["score"])
    return Entry(
        frame_id=int(row["frame_id"]),
        frames=int(row["frames"]),
        t_s=int(row["t_ms"]) / 1000.0,
        state=str(max(counts, key=counts.__getitem__)),
        cause=str(_CAUSES[int(row["cause"]) - 1]) if row["cause"] else "",
        score=round((score - 1) / 254.0, 2) if score else None,
        found=int(row["found"]),
        cut=bool(row["cut"]),
    )


def columns_of(rows: npt.NDArray[Any], most: int) -> Columns:
    """Sum up the rows of a timeline.

    Parameters
    ----------
    rows : from :meth:`Timeline.snapshot`
    most : number of columns; fewer where there are fewer rows, two for each, so that a frame that comes a little late
        leaves no column empty
    """
    length_ms = int(rows["t_ms"].max()) + 1 if len(rows) else 0
    count = min(most, (len(rows) + 1) // 2)
    if not count:
        return Columns(
            length_s=0.0,
            frames=0,
            frame_id=[],
            finding=[],
            no_finding=[],
            no_result=[],
            stale=[],
            missing=[],
            cut=[],
            score=[],
        )
    t_ms = np.maximum.accumulate(rows["t_ms"].astype(np.int64))
    column = t_ms * count // length_ms
    edges = np.searchsorted(column, np.arange(count + 1))
    empty = edges[:-1] == edges[1:]
    starts = np.minimum(edges[:-1], len(rows) - 1)

    def total(values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        return np.where(empty, 0, np.add.reduceat(values.astype(np.int64), starts))

    frames, finding, no_finding, stale = (total(rows[name]) for name in ("frames", "finding", "no_finding", "stale"))
    ids = rows["frame_id"].astype(np.int64)
    missing = np.zeros(len(rows), np.int64)
    missing[1:] = np.maximum(ids[1:] - ids[:-1] - rows["frames"][:-1], 0)
    score = np.where(empty, 0, np.maximum.reduceat(rows["score"].astype(np.int64), starts))
    return Columns(
        length_s=length_ms / 1000.0,
        frames=int(rows["frames"].sum()),
        frame_id=np.where(empty, -1, ids[starts]).tolist(),
        finding=finding.tolist(),
        no_finding=no_finding.tolist(),
        no_result=(frames - finding - no_finding - stale).tolist(),
        stale=stale.tolist(),
        missing=total(missing).tolist(),
        cut=total(rows["cut"]).tolist(),
        score=[round((value - 1) / 254.0, 2) if value else -1.0 for value in score.tolist()],
    )
