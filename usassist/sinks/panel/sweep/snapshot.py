"""A PNG of one frame with its own outlines, and below the picture what it is: for a report or a talk.

It is made in memory from the frame's own packet. What stands below the picture is in the file as text as well.
"""

from __future__ import annotations

import io
from datetime import UTC, datetime

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from usassist import __version__
from usassist.errors import MessageError
from usassist.sinks.panel.packet import Head, unpack
from usassist.sinks.panel.sweep.kept import KeptFrame
from usassist.sinks.sizes import number_in_words, size_in_words
from usassist.words import load_words

__all__ = ["make_snapshot"]

UInt8Array = npt.NDArray[np.uint8]

_PNG_LEVEL = 3
_TEXT_SHARE = 1.0 / 56.0  # of the width
_LEAST_TEXT_PX = 12
_SHIFT = 4  # of sub-pixel coordinates
_INK, _PAPER = (230, 236, 240), (16, 20, 24)


def make_snapshot(kept: KeptFrame, jpeg_quality: int, *, made_at: datetime | None = None) -> bytes:
    """A PNG file.

    Parameters
    ----------
    kept : the frame, as it was sent to the pages
    jpeg_quality : of its JPEG, which the pixels are taken from where they are not kept as they came
    made_at : time that is written on it; None = now

    Returns
    -------
    data : the file; its text chunks are named as the fields of the packet's head
    """
    head, jpeg = unpack(kept.packet)
    words = load_words("en", "sweep")  # the font has Latin letters only
    image = kept.image if kept.image is not None else _decode(jpeg)
    drawn = _with_outlines(image, head)
    made = (made_at or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    lines = [
        words.join(
            [
                words("snapshot.frame", number=head.frame_id),
                words("snapshot.session", session=head.session_id),
                words("snapshot.engine", engine=f"{head.engine_id} ({head.backend})"),
            ]
        ),
        _finding_in_words(head),
    ]
    if kept.image is None:
        lines.append(words("snapshot.jpeg", quality=jpeg_quality))
    lines.append(f"{words('snapshot.time', time=made)}. {words('snapshot.research')}")
    text = {
        "frame_id": str(head.frame_id),
        "session_id": str(head.session_id),
        "engine_id": head.engine_id,
        "backend": head.backend,
        "point": head.point,
        "state": head.state,
        "Creation Time": made,
        "Software": f"usassist {__version__}",
        "Comment": " ".join(lines),
        "Disclaimer": words("snapshot.research"),
    }
    return _encode(_with_lines(drawn, lines), text)


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


def _finding_in_words(head: Head) -> str:
    said = f"{head.headline}: {head.detail}" if head.detail else head.headline
    parts = []
    for row, nodule in enumerate(head.nodules):
        score = f"{100.0 * nodule.score:.0f} %" if nodule.score_calibrated else f"{nodule.score:.2f}"
        sizes = {
            "cut": nodule.cut,
            "major_px": nodule.major_px,
            "minor_px": nodule.minor_px,
            "major_mm": nodule.major_mm,
            "minor_mm": nodule.minor_mm,
            "major_u95_mm": nodule.major_u95_mm,
            "minor_u95_mm": nodule.minor_u95_mm,
        }
        parts.append(f"{number_in_words(nodule.track_id, row)} {nodule.label}, score {score}, {size_in_words(sizes)}")
    return f"{said}: {'; '.join(parts)}".replace("×", "x") if parts else said  # the font has no such sign


def _with_lines(drawn: UInt8Array, lines: list[str]) -> Image.Image:
    """The picture, and a strip below it for the text; the picture itself is not lettered."""
    height, width = drawn.shape[:2]
    size = max(_LEAST_TEXT_PX, round(width * _TEXT_SHARE))
    font = ImageFont.load_default(size)
    margin, step = size // 2, round(1.35 * size)
    wrapped = [part for line in lines for part in _wrap(line, font, width - 2 * margin)]
    page = Image.new("RGB", (width, height + 2 * margin + step * len(wrapped)), _PAPER)
    page.paste(Image.fromarray(drawn), (0, 0))
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(wrapped):
        draw.text((margin, height + margin + number * step), line, fill=_INK, font=font)
    return page


def _wrap(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> list[str]:
    rows: list[str] = []
    for word in line.split(" "):
        longer = f"{rows[-1]} {word}" if rows else word
        if rows and font.getlength(longer) <= width_px:
            rows[-1] = longer
        else:
            rows.append(word)
    return rows


def _encode(page: Image.Image, text: dict[str, str]) -> bytes:
    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, value)
    data = io.BytesIO()
    page.save(data, "PNG", pnginfo=info, compress_level=_PNG_LEVEL)
    return data.getvalue()
