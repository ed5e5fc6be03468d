"""Packets of the player: one per frame of a recorded session, the frame with its own result.

====================== ==========================================================================================
JSON length            uint32, little-endian
JSON                   UTF-8, the fields of :class:`PlayerHead`
JPEG                   the image of that frame, to the end of the packet
====================== ==========================================================================================

This is the layout of the live page's packets (``sinks/panel/packet.py``). They are written once, when a clip has been
answered, so that any of them can be sent without decoding anything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec

from usassist.bus import EngineBody, SessionBody
from usassist.errors import SessionError
from usassist.records import Frame, Result
from usassist.session import RecordedSession
from usassist.session.replay.messages import Span, read_items
from usassist.session.summary.moments import find_moments
from usassist.sinks.panel.jpeg import JpegEncoder
from usassist.sinks.panel.packet import Nodule, labels_of, nodules_of, point_of
from usassist.sinks.panel.scale import FrameScale, scale_of_frame
from usassist.sinks.view import view_of_frame

__all__ = ["SUMMARY", "FrameLine", "Overview", "PlayerHead", "read_overview", "read_packet", "write_packets"]

_LENGTH = struct.Struct("<I")
_PACKETS, _OVERVIEW = "player.bin", "player.json"
SUMMARY = "sweep.json"
"""What the sweep comes to, beside the packets; see ``session.summary``."""

_encode = msgspec.json.Encoder().encode


class PlayerHead(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON part of a packet.

    ``index`` is the place among the frames of the session, from 0; ``t_s`` the time in the clip, s. ``state``,
    ``headline``, ``detail`` and ``draw`` are those of ``sinks.view.View``; ``nodules`` is empty whenever ``draw`` is
    false.
    """

    index: int
    frame_id: int
    t_s: float
    state: str
    headline: str
    detail: str
    draw: bool
    image_hw_px: tuple[int, int]
    nodules: tuple[Nodule, ...]
    scale: FrameScale | None = None


class FrameLine(msgspec.Struct, frozen=True, kw_only=True):
    """What the page needs of a frame before it is shown. ``span`` is where its packet lies in the file, first byte and
    length; None where its pixels are lost. ``score`` and ``size`` are those of the best finding."""

    frame_id: int
    t_s: float
    state: str
    count: int
    score: float | None
    size: str
    span: tuple[int, int] | None


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What the page needs of a session. ``scores_calibrated``: scores may be read as the share of such findings that
    are right. ``problems`` : of reading the recording, one line each."""

    session_id: str
    engine_id: str
    backend: str
    point: str
    scores_calibrated: bool
    frames: tuple[FrameLine, ...]
    problems: tuple[str, ...] = ()


_decode = msgspec.json.Decoder(Overview).decode


def write_packets(session: RecordedSession, folder: Path, jpeg_quality: int) -> Overview:
    """Write the packets of a session, and what the page needs of all of them.

    Parameters
    ----------
    session : closed
    folder : for the files
    jpeg_quality : 1 to 100

    Raises
    ------
    SessionError
        If the session has no frame.
    """
    if not session.frames:
        raise SessionError("no frame of it could be read; choose another file")
    moments = find_moments(session.manifest, session.frames)
    index_of = {line.frame_id: index for index, line in enumerate(session.frames)}
    lines: list[FrameLine | None] = [None] * len(session.frames)
    encoder, problems = JpegEncoder(jpeg_quality), list[str]()
    engine: EngineBody | None = None
    backend = ""
    with (folder / _PACKETS).open("wb") as file:
        for frame, result, engine, about in _joined(session, problems):
            index = index_of[frame.frame_id]
            head = _head(frame, result, engine, about, index, round(moments.t_s[index], 3))
            text = _encode(head)
            span = file.tell(), file.write(b"".join((_LENGTH.pack(len(text)), text, encoder.encode(frame))))
            backend = backend or (result.backend if result is not None else "")
            lines[index] = FrameLine(
                frame_id=frame.frame_id,
                t_s=head.t_s,
                state=head.state,
                count=len(head.nodules),
                score=max((nodule.score for nodule in head.nodules), default=None),
                size=_longest(head.nodules),
                span=span,
            )
    overview = Overview(
        session_id=session.manifest.session_id,
        engine_id="" if engine is None else engine.engine_id,
        backend=backend,
        point=point_of(engine),
        scores_calibrated=engine is not None and engine.score_calibration_id is not None,
        frames=tuple(
            line
            or FrameLine(
                frame_id=recorded.frame_id, t_s=t_s, state="no_result", count=0, score=None, size="", span=None
            )
            for line, recorded, t_s in zip(lines, session.frames, moments.t_s, strict=True)
        ),
        problems=tuple(problems),
    )
    (folder / _OVERVIEW).write_bytes(_encode(overview))
    return overview


def read_overview(folder: Path) -> Overview:
    """What :func:`write_packets` has written.

    Raises
    ------
    OSError
        If it is not there.
    """
    return _decode((folder / _OVERVIEW).read_bytes())


def read_packet(folder: Path, span: tuple[int, int]) -> bytes:
    """One packet.

    Raises
    ------
    OSError
        If it is not there.
    """
    with (folder / _PACKETS).open("rb") as file:
        file.seek(span[0])
        return file.read(span[1])


def _longest(nodules: tuple[Nodule, ...]) -> str:
    """Longest diameter of the best finding, with its interval where it has one."""
    if not nodules:
        return ""
    best = max(nodules, key=lambda nodule: nodule.score)
    if best.major_mm is None or (best.major_u95_mm is None and not best.cut):
        return f"{'≥ ' * best.cut}{best.major_px:.0f} px"
    return f"≥ {best.major_mm:.1f} mm" if best.cut else f"{best.major_mm:.1f} ± {best.major_u95_mm:.1f} mm"


def _head(
    frame: Frame, result: Result | None, engine: EngineBody | None, about: SessionBody | None, index: int, t_s: float
) -> PlayerHead:
    view = view_of_frame(result, engine, about, frame.t_capture_ns, frame.picture)
    nodules: tuple[Nodule, ...] = ()
    if view.draw and result is not None:
        assert engine is not None  # else nothing may be drawn
        nodules = nodules_of(
            result,
            labels_of(engine),
            scores_calibrated=engine.score_calibration_id is not None,
            agreement=engine.descriptor_agreement,
        )
    return PlayerHead(
        index=index,
        frame_id=frame.frame_id,
        t_s=t_s,
        state=view.state.value,
        headline=view.headline,
        detail=view.detail,
        draw=view.draw,
        image_hw_px=frame.image_hw_px,
        nodules=nodules,
        scale=scale_of_frame(frame),
    )


def _joined(
    session: RecordedSession, problems: list[str]
) -> Iterator[tuple[Frame, Result | None, EngineBody | None, SessionBody | None]]:
    """Every frame with its own result, as soon as both have come; those without a result at the end."""
    frames: dict[int, Frame] = {}
    results: dict[int, Result] = {}
    engine: EngineBody | None = None
    about: SessionBody | None = None
    for item in read_items(session, Span(), problems):
        content = item.content
        if isinstance(content, EngineBody):
            engine = content
        elif isinstance(content, SessionBody):
            about = content
        elif isinstance(content, Frame):
            frames[content.frame_id] = content
        elif isinstance(content, Result):
            results[content.frame_id] = content
        else:
            continue
        if isinstance(content, Frame | Result) and content.frame_id in frames and content.frame_id in results:
            number = content.frame_id
            yield frames.pop(number), results.pop(number), engine, about
    for frame in frames.values():
        yield frame, None, engine, about
