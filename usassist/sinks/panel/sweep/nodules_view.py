"""The nodules of the sweep as rows of a table, and their best planes as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from usassist.sinks.panel.sweep.log import NoduleOfSweep
from usassist.sinks.panel.sweep.moment_view import data_url
from usassist.sinks.panel.sweep.nodules import BestPlane
from usassist.sinks.panel.sweep.size_words import score_in_words, size_of
from usassist.sinks.panel.sweep.timeline_view import clock, plane_in_words
from usassist.sinks.plane_quality import NEAR_S
from usassist.words import Words

__all__ = ["COLUMNS", "MOST_DRAWN", "area_rows", "draw_best_planes", "select_drawn", "table_rows"]

COLUMNS = ("name", "label", "frames", "first", "last", "score", "largest", "largest_frame", "cut_frames", "planes")
"""Columns of the table: keys of ``nodules`` in the words."""


MOST_DRAWN = 12
"""Nodules of which pictures and areas are shown: those that were seen on most frames."""

_MOST_POINTS = 128  # of one line


def select_drawn(nodules: Sequence[NoduleOfSweep]) -> list[NoduleOfSweep]:
    """The nodules that are drawn, in the order of their numbers."""
    often = sorted(nodules, key=lambda nodule: -nodule.frames)[:MOST_DRAWN]
    return sorted(often, key=lambda nodule: nodule.track_id)


def table_rows(nodules: Sequence[NoduleOfSweep], words: Words, *, calibrated: bool) -> list[list[str]]:
    """One row per nodule, in the order of :data:`COLUMNS`."""
    none = words("format.none")
    rows = []
    for nodule in nodules:
        largest = nodule.largest
        scores = (nodule.score_min, nodule.score_mean, nodule.score_max)
        rows.append(
            [
                f"N{nodule.track_id}",
                nodule.label,
                str(nodule.frames),
                clock(nodule.first_s),
                words("nodules.now") if nodule.now else clock(nodule.last_s),
                " · ".join(score_in_words(score, words, calibrated=calibrated) for score in scores),
                none if largest is None else size_of(largest.px, largest.mm, largest.u95_mm, words, cut=largest.cut),
                none if largest is None else str(largest.frame_id),
                str(nodule.frames_cut),
                words.join([plane_in_words(best.plane, best.side, words) for best in nodule.best]) or none,
            ]
        )
    return rows


def draw_best_planes(nodules: Sequence[NoduleOfSweep], words: Words, *, calibrated: bool) -> str:
    """Pictures of the best planes, each with the frame that it is of."""
    pictures = [_figure(nodule, best, words, calibrated=calibrated) for nodule in nodules for best in nodule.best]
    if not pictures:
        return f'<p class="us-best-none">{escape(words("nodules.best_none"))}</p>'
    return f'<div class="us-best">{"".join(pictures)}</div>'


def _figure(nodule: NoduleOfSweep, best: BestPlane, words: Words, *, calibrated: bool) -> str:
    name, seen = f"N{nodule.track_id}", best.seen
    size = size_of(seen.major_px, seen.major_mm, seen.major_u95_mm, words, cut=seen.cut)
    lines = (
        words("nodules.best_plane", name=name, plane=plane_in_words(best.plane, best.side, words)),
        words("nodules.best_size", size=size, score=score_in_words(seen.score, words, calibrated=calibrated)),
        words("nodules.best_frame", number=best.frame_id, time=clock(best.t_s)),
    )
    alt = escape(words("nodules.best_alt", name=name, number=best.frame_id), quote=True)
    text = "".join(f"<span>{escape(line)}</span>" for line in lines)
    return (
        f'<button type="button" class="us-best-one" data-frame="{best.frame_id}">'
        f'<img src="{data_url(best.jpeg)}" alt="{alt}">{text}</button>'
    )


def area_rows(nodules: Sequence[NoduleOfSweep], words: Words) -> tuple[list[dict[str, Any]], str]:
    """Points of the plot: time, area, name; and the key of its unit: mm² where any area is known in mm², else px².

    Of a nodule that is cut the area is a lower bound, which is a line of its own. Where a nodule was not seen for half
    a second its line is broken by a point without an area.
    """
    calibrated = any(area.mm2 is not None for nodule in nodules for area in nodule.areas)
    rows: list[dict[str, Any]] = []
    for nodule in nodules:
        name = f"N{nodule.track_id}"
        before: dict[str, float] = {}
        areas = nodule.areas[:: len(nodule.areas) // _MOST_POINTS + 1]
        step = (nodule.last_s - nodule.first_s) / max(len(areas), 1)
        for area in areas:
            value = area.mm2 if calibrated else area.px2
            if value is not None:
                line = words("nodules.area_cut", name=name) if area.cut else name
                last_s = before.get(line)
                if last_s is not None and area.t_s - last_s > max(NEAR_S, 2.0 * step):
                    rows.append({"t_s": last_s, "area": None, "nodule": line})
                rows.append({"t_s": area.t_s, "area": round(value, 1), "nodule": line})
                before[line] = area.t_s
    return rows, "nodules.area_mm" if calibrated else "nodules.area_px"
