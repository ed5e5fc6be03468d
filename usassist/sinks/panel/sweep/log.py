"""Everything that the page tells of the sweep so far; the panel's thread feeds it, pages read it.

Fed with every message, it costs a few microseconds for each; pictures are made only of frames that are shown on a page.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from usassist.bus import EngineBody, MarkBody, MarkKind, Message, Plane, ResultBody, SessionBody, Side, result_from
from usassist.errors import MessageError
from usassist.records import Cause, Frame, Result, ResultState, SignalState
from usassist.sinks.panel.sweep.kept import KeptFrame, KeptFrames
from usassist.sinks.panel.sweep.nodules import PLANES, BestPlane, SweepNodules
from usassist.sinks.panel.sweep.planes import MarkedPlanes
from usassist.sinks.panel.sweep.thumbnail import draw_frame
from usassist.sinks.panel.sweep.timeline import Columns, Entry, Timeline, columns_of
from usassist.sinks.panel.sweep.track import Area, Largest

__all__ = ["MarkAt", "NoduleOfSweep", "ShownFrame", "SweepAt", "SweepLog"]

_ANOTHER = (SignalState.LOST, SignalState.CHANGED, SignalState.NOT_B_MODE)
_MOST_MARKS = 1024
_MOST_STRIP = 512  # small pictures of whole frames, 4 kB each
_STRIP_NS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkAt:
    """A mark of a person: on which frame, and what."""

    frame_id: int
    kind: MarkKind
    plane: Plane | None
    side: Side | None
    track_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownFrame:
    """A frame that is shown on a page, with its own result.

    Attributes
    ----------
    frame : its image with text covered
    result : None where it did not arrive in time
    draw : its outlines may be drawn
    packet : as it is sent to the pages
    t_ns : monotonic
    """

    frame: Frame
    result: Result | None
    draw: bool
    packet: bytes
    t_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleOfSweep:
    """One nodule over the sweep so far; see ``track.Track``.

    Attributes
    ----------
    now : it was outlined on the newest frame
    best : best plane per plane, of those that there are pictures of
    """

    track_id: int
    label: str
    frames: int
    frames_cut: int
    first_frame_id: int
    last_frame_id: int
    first_s: float
    last_s: float
    score_min: float
    score_mean: float
    score_max: float
    largest: Largest | None
    areas: tuple[Area, ...]
    best: tuple[BestPlane, ...]
    now: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepAt:
    """One moment of the sweep.

    Attributes
    ----------
    entry : what is known of it; None where the frame never arrived
    marks : that people made on it
    kept : the whole frame with its result, while it is kept
    small : a small picture of that frame with its outlines; empty where there is none
    """

    entry: Entry | None
    marks: tuple[MarkAt, ...]
    kept: KeptFrame | None
    small: bytes


class SweepLog:
    """The sweep of the present session. Thread-safe: one thread adds, any may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session_id = ""
        self._ended_id = ""
        self._timeline, self._nodules = Timeline(), SweepNodules()
        self._planes, self._kept = MarkedPlanes(), KeptFrames()
        self._marks: list[MarkAt] = []
        self._strip: dict[int, bytes] = {}
        self._strip_step_ns, self._strip_next_ns = _STRIP_NS, 0
        self._engine: EngineBody | None = None
        self._newest: Result | None = None

    @property
    def session_id(self) -> str:
        """Of the present session; empty before the first."""
        return self._session_id

    def add(self, message: Message) -> None:
        """Take one message; what cannot be read is left out."""
        body = message.body
        with self._lock:
            if isinstance(body, ResultBody):
                try:
                    self._add_result(result_from(message))
                except MessageError:
                    return  # the scene counts and logs it
            elif isinstance(body, SessionBody):
                if body.signal is not None and body.signal.state in _ANOTHER and body.session_id == self._session_id:
                    self._timeline.cut_next()
            elif isinstance(body, EngineBody):
                self._engine = body
            elif isinstance(body, MarkBody) and body.session_id == self._session_id:
                self._add_mark(body)

    def show(self, shown: ShownFrame) -> None:
        """Take a frame that is sent to the pages."""
        frame, result = shown.frame, shown.result
        with self._lock:
            if frame.session_id != self._session_id:
                return  # its result has not come yet, or it is the last of the session before
            self._kept.add(frame.frame_id, shown.t_ns, shown.packet, frame.image)
            drawn = result is not None and shown.draw and result.state is ResultState.FINDING
            t_s = self._timeline.time_s(frame.t_capture_ns)
            at = self._planes.at(frame.frame_id)
            colors = {} if self._engine is None else {label.id: label.color_rgb for label in self._engine.labels}
        # Drawn without the lock, which readers of other threads would wait for; only this thread changes the nodules.
        if drawn and result is not None:
            self._nodules.look(frame.image, result, t_s, at, colors)
        if shown.t_ns >= self._strip_next_ns:
            self._strip_next_ns = shown.t_ns + self._strip_step_ns
            contours = list(result.segmentation) if drawn and result is not None else []
            labels = result.detections.label_id.tolist() if drawn and result is not None else []
            small = draw_frame(frame.image, contours, [colors.get(label, (255, 196, 0)) for label in labels])
            with self._lock:
                self._add_to_strip(frame.frame_id, small)

    def columns(self, most: int) -> Columns:
        """The sweep in at most so many columns."""
        with self._lock:
            rows = self._timeline.snapshot()
        return columns_of(rows, most)

    def marks(self) -> list[tuple[MarkAt, float]]:
        """Every mark with the time of its frame, s; marks of frames that are not known are left out."""
        with self._lock:
            found = [(mark, self._timeline.entry(mark.frame_id)) for mark in self._marks]
        return [(mark, entry.t_s) for mark, entry in found if entry is not None]

    def nodules(self, least_frames: int) -> tuple[list[NoduleOfSweep], int]:
        """Nodules seen on so many frames, or on the newest one, by number; and how many others there are."""
        with self._lock:
            newest = self._newest
            now = set(newest.detections.track_id.tolist()) if newest is not None and newest.state.is_answer else set()
            names = {} if self._engine is None else {label.id: label.name for label in self._engine.labels}
            tracks = self._nodules.tracks
            listed = [track for track in tracks.values() if track.frames >= least_frames or track.track_id in now]
            others = len(tracks) - len(listed) + self._nodules.left_out
            nodules = [
                NoduleOfSweep(
                    track_id=track.track_id,
                    label=names.get(track.label_id, str(track.label_id)),
                    frames=track.frames,
                    frames_cut=track.frames_cut,
                    first_frame_id=track.first_frame_id,
                    last_frame_id=track.last_frame_id,
                    first_s=round(track.first_s, 3),
                    last_s=round(track.last_s, 3),
                    score_min=track.score_min,
                    score_mean=track.score_mean,
                    score_max=track.score_max,
                    largest=track.largest,
                    areas=tuple(track.areas),
                    best=tuple(best for plane in PLANES if (best := self._nodules.best(track.track_id, plane))),
                    now=track.track_id in now,
                )
                for track in sorted(listed, key=lambda track: track.track_id)
            ]
        return nodules, others

    @property
    def newest_id(self) -> int | None:
        """Number of the newest frame, of those that a page was sent where there is one; None before the first."""
        with self._lock:
            sent, newest = self._kept.newest_id, self._newest
        return sent if sent is not None or newest is None else newest.frame_id

    def plane_at(self, frame_id: int) -> tuple[Plane | None, Side | None]:
        """Plane and side that are marked for a frame."""
        with self._lock:
            return self._planes.at(frame_id)

    @property
    def untracked_frames(self) -> int:
        """Frames with findings that have no identity."""
        return self._nodules.untracked_frames

    @property
    def score_is_calibrated(self) -> bool:
        """Scores may be read as the share of such findings that are right."""
        return self._engine is not None and self._engine.score_calibration_id is not None

    def frame_near(self, share: float) -> int | None:
        """Number of the frame at a share of the sweep, 0 to 1; rather one that there is a picture of, where one lies
        within a quarter of a second or a 300th of the sweep. None before the first frame."""
        with self._lock:
            rows = self._timeline.snapshot()
            if not len(rows):
                return None
            t_ms = np.maximum.accumulate(rows["t_ms"].astype(np.int64))
            wanted = share * float(t_ms[-1])
            reach = max(float(t_ms[-1]) / 300.0, 250.0)
            first, last = np.searchsorted(t_ms, (wanted - reach, wanted + reach))
            at = min(int(np.searchsorted(t_ms, wanted)), len(rows) - 1)
            frame_id = int(rows["frame_id"][at])
            if last > first:
                low, high = int(rows["frame_id"][first]), int(rows["frame_id"][last - 1])
                near = self._kept.within(low, high) or [number for number in self._strip if low <= number <= high]
                frame_id = min(near, key=lambda number: abs(number - frame_id), default=frame_id)
            return frame_id

    def at(self, frame_id: int) -> SweepAt:
        """What is known of one frame."""
        with self._lock:
            return SweepAt(
                entry=self._timeline.entry(frame_id),
                marks=tuple(mark for mark in self._marks if mark.frame_id == frame_id),
                kept=self._kept.get(frame_id),
                small=self._strip.get(frame_id, b""),
            )

    def kept(self, session_id: str, frame_id: int) -> KeptFrame | None:
        """A whole frame as it was sent; None where it is no longer kept, or is of another session."""
        with self._lock:
            return self._kept.get(frame_id) if session_id == self._session_id else None

    def hold(self, session_id: str, frame_id: int) -> bool:
        """Keep a frame longer; False where it is no longer kept."""
        with self._lock:
            return session_id == self._session_id and self._kept.hold(frame_id)

    def engine(self) -> EngineBody | None:
        """The engine as it was announced last."""
        return self._engine

    def _add_result(self, result: Result) -> None:
        if result.session_id != self._session_id:
            if result.session_id == self._ended_id:
                return
            self._ended_id, self._session_id = self._session_id, result.session_id
            self._clear()
        if self._timeline.add(result):
            self._planes.end(result.frame_id)
        if result.cause is not Cause.DROPPED:
            self._newest = result
        self._nodules.add(result, self._timeline.time_s(result.t_capture_ns))

    def _clear(self) -> None:
        self._timeline.clear()
        self._nodules.clear()
        self._planes.clear()
        self._kept.clear()
        self._marks.clear()
        self._strip.clear()
        self._strip_step_ns, self._strip_next_ns = _STRIP_NS, 0
        self._newest = None

    def _add_mark(self, body: MarkBody) -> None:
        mark = MarkAt(frame_id=body.frame_id, kind=body.kind, plane=body.plane, side=body.side, track_id=body.track_id)
        self._marks.append(mark)
        del self._marks[:-_MOST_MARKS]
        if body.kind is MarkKind.PLANE:
            self._planes.add(body.frame_id, body.plane, body.side)

    def _add_to_strip(self, frame_id: int, small: bytes) -> None:
        self._strip[frame_id] = small
        if len(self._strip) > _MOST_STRIP:
            for number in list(self._strip)[1::2]:
                del self._strip[number]
            self._strip_step_ns *= 2
