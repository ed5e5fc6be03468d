"""A PNG of one frame with its own outlines, and below the picture what it is: for a report or a talk.

It is made in memory from the frame's own packet. What stands below the picture is in the file as text as well.
"""

from __future__ import annotations

from datetime import UTC, datetime

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import MessageError
from usassist.sinks.overlay.snapshot import png_with_text
from usassist.sinks.overlay.text import BRIGHT, PAPER, Pen
from usassist.sinks.panel.packet import Head, Nodule, unpack
from usassist.sinks.panel.sweep.kept import KeptFrame
from usassist.sinks.panel.sweep.size_words import score_in_words, size_of
from usassist.sinks.sizes import number_in_words
from usassist.words import Words, load_words

__all__ = ["make_snapshot"]

UInt8Array = npt.NDArray[np.uint8]

_TEXT_SHARE = 1.0 / 56.0  # of the width
_LEAST_TEXT_PX = 12
_SHIFT = 4  # of sub-pixel coordinates


def make_snapshot(
    kept: KeptFrame, jpeg_quality: int, *, language: str = "en", made_at: datetime | None = None
) -> bytes:
    """A PNG file.

    Parameters
    ----------
    kept : the frame, as it was sent to the pages
    jpeg_quality : of its JPEG, which the pixels are taken from where they are not kept as they came
    language : of what stands below the picture
    made_at : time that is written on it; None = now

    Returns
    -------
    data : the file; its text chunks are named as the fields of the packet's head

    Raises
    ------
    UsageError
        If there are no words for that language.
    """
    head, jpeg = unpack(kept.packet)
    words = load_words(language, "sweep")
    image = kept.image if kept.image is not None else _decode(jpeg)
    made = (made_at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [
        words.join(
            [
                words("snapshot.frame", number=head.frame_id),
                words("snapshot.session", session=head.session_id),
                words("snapshot.engine", engine=f"{head.engine_id} ({head.backend})"),
            ]
        ),
        _finding_in_words(head, words),
    ]
    if kept.image is None:
        lines.append(words("snapshot.jpeg", quality=jpeg_quality))
    lines.append(f"{words('snapshot.time', time=made)}. {words('snapshot.research')}")
    texts = {
        "frame_id": str(head.frame_id),
        "session_id": str(head.session_id),
        "engine_id": head.engine_id,
        "backend": head.backend,
        "point": head.point,
        "state": head.state,
        "Creation Time": made,
        "Software": "usassist",
        "Comment": " ".join(lines),
        "Disclaimer": words("snapshot.research"),
    }
    return png_with_text(_with_lines(_with_outlines(image, head), lines), texts)


def _decode(jpeg: bytes) -> UInt8Array:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise MessageError("the JPEG of a frame cannot be decoded; take the snapshot from the recording")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def _with_outlines(image: UInt8Array, head: Head) -> UInt8Array:
    drawn = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB) if image.ndim == 2 else image.copy()
    for nodule in head.nodules:  # none where nothing may be drawn
        points = np.round((np.array(nodule.contour, np.float64) - 0.5) * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(drawn, [points], True, (0, 0, 0), 3, cv2.LINE_AA, _SHIFT)
        cv2.polylines(drawn, [points], True, nodule.color_rgb, 1, cv2.LINE_AA, _SHIFT)
    return np.asarray(drawn, np.uint8)


def _finding_in_words(head: Head, words: Words) -> str:
    state = words(f"state.{head.state}")
    if head.nodules:
        return words(
            "format.label",
            name=state,
            value="; ".join(_nodule(row, nodule, words) for row, nodule in enumerate(head.nodules)),
        )
    return words("format.label", name=state, value=head.detail) if head.detail else state


def _nodule(row: int, nodule: Nodule, words: Words) -> str:
    return words(
        "moment.nodule",
        name=number_in_words(nodule.track_id, row),
        label=nodule.label,
        score=score_in_words(nodule.score, words, calibrated=nodule.score_calibrated),
        size=size_of(nodule.major_px, nodule.major_mm, nodule.major_u95_mm, words, cut=nodule.cut),
    )


def _with_lines(drawn: UInt8Array, lines: list[str]) -> UInt8Array:
    """The picture, and a strip below it for the text; the picture itself is not lettered."""
    height, width = drawn.shape[:2]
    size = max(_LEAST_TEXT_PX, round(width * _TEXT_SHARE))
    pen, margin, step = Pen(), size // 2, round(1.45 * size)
    rows = [row for line in lines for row in _wrap(line, pen, size, width - 2 * margin)]
    page = np.full((height + 2 * margin + step * len(rows), width, 3), PAPER, np.uint8)
    page[:height] = drawn
    for number, row in enumerate(rows):
        pen.write(page, row, (margin, height + margin + number * step + size), BRIGHT, size)
    return page


def _wrap(line: str, pen: Pen, size: int, room_px: int) -> list[str]:
    rows: list[str] = []
    for word in line.split(" "):
        longer = f"{rows[-1]} {word}" if rows else word
        if rows and pen.width(longer, size) <= room_px:
            rows[-1] = longer
        else:
            rows.append(word)
    return rows
