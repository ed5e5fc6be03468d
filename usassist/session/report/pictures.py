"""Pictures of sections: the recorded frame as WebP inside an SVG, with the outline and a ruler bar as vectors.

Nothing is drawn on the pixels, so outlines stay sharp in print. Recorded frames have their text covered already.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import SessionError
from usassist.session.frame_images import FrameImage
from usassist.session.opening import RecordedSession
from usassist.session.summary import Section
from usassist.words import Words

__all__ = ["Picture", "PictureKey", "draw_pictures", "picture_key"]

PictureKey = tuple[int, tuple[float, float, float, float]]
"""Frame and box of a section."""

_LARGEST_PX = 900  # longer sides are made smaller
_QUALITY = 85
_WIDTH = 1000.0  # units of a picture
_MOST_POINTS = 160  # of an outline as drawn
_CROP_SHARE = 1.9  # of the box of the nodule
_LEAST_CROP_PX = 96
_BAR_SHARE = 0.4  # the longest bar, of the width
_BARS_MM = (1, 2, 5, 10, 20, 50)
_STRIP_SHARE = 0.11  # of the width: the strip below the image, for the bar
_OUTLINE, _CALIPER, _INK = "#ffc400", "#ffffff", "#14212b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """SVG of the whole frame and of the part around the nodule; descriptions are put in by :meth:`with_alt`."""

    whole: str
    crop: str

    @staticmethod
    def with_alt(svg: str, alt: str) -> str:
        """The SVG with its description for readers that do not see it."""
        return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt, quote=True)}" ', 1)


def picture_key(section: Section) -> PictureKey:
    """What a picture is found by."""
    return section.frame_id, section.box_xyxy_px


def draw_pictures(session: RecordedSession, sections: Iterable[Section], words: Words) -> dict[PictureKey, Picture]:
    """Pictures of sections; those whose pixels are lost have none.

    Parameters
    ----------
    session : that they were recorded in
    sections : of its summary
    words : for the ruler bar

    Raises
    ------
    SessionError
        If a frame is damaged.
    """
    by_frame: dict[int, list[Section]] = {}
    for section in sections:
        by_frame.setdefault(section.frame_id, []).append(section)
    pictures: dict[PictureKey, Picture] = {}
    problems: list[str] = []
    with session.result_reader() as read:
        for line, image in session.wanted_images(by_frame, problems):
            result = read(line.frame_id) or {}
            for section in by_frame[line.frame_id]:
                pictures[picture_key(section)] = _draw(image, _contour(result, section), section, words)
    if problems:
        raise SessionError(
            f"{session.folder} is damaged: {problems[0]}; run usassist session verify, and usassist session repair"
        )
    return pictures


def _contour(result: Mapping[str, Any], section: Section) -> npt.NDArray[np.float64]:
    box = list(section.box_xyxy_px)
    found = next(nodule for nodule in result["nodules"] if nodule["xyxy_px"] == box)
    return np.asarray(found["contour_xy_px"], np.float64)


def _draw(image: FrameImage, contour: npt.NDArray[np.float64], section: Section, words: Words) -> Picture:
    height, width = image.shape[:2]
    spacing = section.spacing_rc_mm
    return Picture(
        whole=_svg(image, (0, 0, width, height), contour, spacing, words, caliper=False),
        crop=_svg(image, _crop_xyxy(section.box_xyxy_px, width, height), contour, spacing, words, caliper=True),
    )


def _crop_xyxy(box: tuple[float, float, float, float], width: int, height: int) -> tuple[int, int, int, int]:
    """A square around the box, moved into the image; less than a square only where the image is smaller."""
    side = max(_LEAST_CROP_PX, round(_CROP_SHARE * max(box[2] - box[0], box[3] - box[1])))
    x1, x2 = _fitted((box[0] + box[2]) / 2, side, width)
    y1, y2 = _fitted((box[1] + box[3]) / 2, side, height)
    return x1, y1, x2, y2


def _fitted(centre: float, side: int, room: int) -> tuple[int, int]:
    begin = min(max(0, round(centre - side / 2)), max(0, room - side))
    return begin, min(begin + side, room)


def _svg(
    image: FrameImage,
    part: tuple[int, int, int, int],
    contour: npt.NDArray[np.float64],
    spacing_rc_mm: tuple[float, float] | None,
    words: Words,
    *,
    caliper: bool,
) -> str:
    """One picture, 1000 units wide; rows are stretched where pixels are not square."""
    x1, y1, x2, y2 = part
    stretch = 1.0 if spacing_rc_mm is None else spacing_rc_mm[0] / spacing_rc_mm[1]
    unit = _WIDTH / (x2 - x1)
    width, height = _WIDTH, (y2 - y1) * stretch * unit
    strip = _STRIP_SHARE * width
    points = (contour - [x1, y1]) * [unit, stretch * unit]
    step_mm = None if spacing_rc_mm is None else spacing_rc_mm[1] / unit
    shown = points[:: max(1, len(points) // _MOST_POINTS)]
    outline = " ".join(f"{x:.1f},{y:.1f}" for x, y in shown)
    marks = f'<polygon points="{outline}" class="halo"/><polygon points="{outline}" class="outline"/>'
    if caliper:
        marks += _caliper(points, width)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height + strip:.1f}" class="scan" '
        'preserveAspectRatio="xMinYMid meet">'
        f'<image href="{_data_uri(image[y1:y2, x1:x2])}" width="{width:g}" height="{height:.1f}" '
        f'preserveAspectRatio="none"/>{marks}{_bar(width, height, strip, step_mm, words)}</svg>'
    )


def _data_uri(image: FrameImage) -> str:
    height, width = image.shape[:2]
    shrink = min(1.0, _LARGEST_PX / max(height, width))
    if shrink < 1.0:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    _, data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    return "data:image/webp;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def _caliper(points: npt.NDArray[np.float64], width: float) -> str:
    """The longest diameter, with a cross at each end, as calipers are shown."""
    hull = cv2.convexHull(points.astype(np.float32))[:, 0].astype(np.float64)
    squared = ((hull[:, None] - hull[None]) ** 2).sum(axis=2)
    first, last = np.unravel_index(int(squared.argmax()), squared.shape)
    (xa, ya), (xb, yb) = hull[first], hull[last]
    arm = width * 0.016
    crosses = "".join(
        f"M{x - arm:.1f} {y:.1f}h{2 * arm:.1f}M{x:.1f} {y - arm:.1f}v{2 * arm:.1f}" for x, y in ((xa, ya), (xb, yb))
    )
    line = f"M{xa:.1f} {ya:.1f}L{xb:.1f} {yb:.1f}"
    return f'<path d="{line}" class="caliper"/><path d="{crosses}" class="cross"/>'


def _bar(width: float, height: float, strip: float, step_mm: float | None, words: Words) -> str:
    """The strip below the image: a bar of whole mm, or that there is no scale."""
    size = strip * 0.42
    middle = height + strip * 0.58
    if step_mm is None:
        text = escape(words("nodule.no_scale"))
        return f'<text x="0" y="{middle + size * 0.35:.1f}" font-size="{size:.1f}">{text}</text>'
    fitting = [mm for mm in _BARS_MM if mm / step_mm <= _BAR_SHARE * width]
    length_mm = fitting[-1] if fitting else _BARS_MM[0]
    length = length_mm / step_mm
    tick = strip * 0.2
    path = f"M0.5 {middle - tick:.1f}v{2 * tick:.1f}M0.5 {middle:.1f}h{length:.1f}m0 {-tick:.1f}v{2 * tick:.1f}"
    text = escape(words("format.mm", value=words.number(length_mm)))
    label = f'<text x="{length + size * 0.5:.1f}" y="{middle + size * 0.35:.1f}" font-size="{size:.1f}">{text}</text>'
    return f'<path d="{path}" class="bar"/>{label}'
