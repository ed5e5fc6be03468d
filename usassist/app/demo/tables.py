"""The tables of the page: nodules, frames, and how two answers to the same clip differ."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from usassist.app.demo.answering import Answered
from usassist.app.demo.packets import SUMMARY, FrameLine, Overview
from usassist.session import open_session
from usassist.session.report.sizes import diameters_text
from usassist.session.summary import Section, SweepDocument
from usassist.words import Words

__all__ = ["Difference", "Differences", "compare", "difference_rows", "frame_rows", "nodule_rows", "read_summary"]

_RASTER_PX = 512  # longer sides of outlines are compared on a raster of this size
_ALIKE_DICE = 0.9  # outlines that overlap less are listed as different
_decode = msgspec.json.Decoder(SweepDocument).decode

Row = list[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One frame in both answers. `dice` is the overlap of all outlines, None where not both have one."""

    index: int
    a: FrameLine
    b: FrameLine
    dice: float | None

    @property
    def is_different(self) -> bool:
        """True where the state, the number of nodules or the outlines differ."""
        return (self.a.state, self.a.count) != (self.b.state, self.b.count) or (
            self.dice is not None and self.dice < _ALIKE_DICE
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Two answers to the same clip.

    Attributes
    ----------
    frames : every frame that both have
    """

    frames: tuple[Difference, ...]

    @property
    def different(self) -> list[Difference]:
        """Those that differ."""
        return [item for item in self.frames if item.is_different]

    def sentence(self, words: Words) -> str:
        """In one sentence."""
        alone_a = sum(item.a.state == "finding" != item.b.state for item in self.frames)
        alone_b = sum(item.b.state == "finding" != item.a.state for item in self.frames)
        overlaps = [item.dice for item in self.frames if item.dice is not None]
        text = words(
            "compare.sentence",
            same=sum(item.a.state == item.b.state for item in self.frames),
            frames=len(self.frames),
            a=alone_a,
            b=alone_b,
        )
        if overlaps:
            median, least = (words.number(value, 2) for value in (statistics.median(overlaps), min(overlaps)))
            text += " " + words("compare.overlap", both=len(overlaps), median=median, least=least)
        return text


def read_summary(answered: Answered) -> SweepDocument:
    """What the sweep comes to."""
    return _decode((answered.folder / SUMMARY).read_bytes())


def nodule_rows(document: SweepDocument, overview: Overview, words: Words) -> list[Row]:
    """One row per nodule, and per run of findings without identity: name, frames, time, size on the best plane, score
    there, frame of the best plane."""
    rows = [
        [item.name, item.frames, words.range(item.first_s, item.last_s), *_best(item.best, overview, words)]
        for item in document.nodules
    ]
    return rows + [
        [
            words("table.no_name"),
            item.frames,
            words.range(item.first_s, item.last_s),
            *_best(item.best, overview, words),
        ]
        for item in document.untracked
    ]


def _best(section: Section, overview: Overview, words: Words) -> Row:
    score = score_text(section.score, overview, words)
    return [diameters_text(section, words), score, section.frame_id]


def score_text(score: float | None, overview: Overview, words: Words) -> str:
    """As a percentage only where it may be read as one."""
    if score is None:
        return words("format.none")
    if overview.scores_calibrated:
        return words("format.percent", value=words.number(min(99.0, 100.0 * score)))
    return words.number(score, 2)


def frame_rows(overview: Overview, words: Words) -> list[Row]:
    """One row per frame: number, time, state, number of nodules, best score, size of the best."""
    return [
        [
            line.frame_id,
            words.number(line.t_s, 2),
            words(f"state.{line.state}"),
            line.count if line.state in ("finding", "no_finding") else words("format.none"),
            score_text(line.score, overview, words),
            line.size or words("format.none"),
        ]
        for line in overview.frames
    ]


def compare(a: Answered, b: Answered) -> Differences:
    """Compare two answers to the same clip, frame by frame."""
    first, second = (_outlines(item) for item in (a, b))
    lines_b = {line.frame_id: line for line in b.overview.frames}
    found = []
    for index, line in enumerate(a.overview.frames):
        other = lines_b.get(line.frame_id)
        if other is not None:
            dice = _dice(first.get(line.frame_id), second.get(line.frame_id))
            found.append(Difference(index=index, a=line, b=other, dice=dice))
    return Differences(frames=tuple(found))


def difference_rows(differences: Differences, a: Overview, b: Overview, words: Words) -> list[Row]:
    """One row per frame that differs: number, time, then state, number of nodules and best score of both, overlap."""
    rows = []
    for item in differences.different:
        cells: Row = [item.a.frame_id, words.number(item.a.t_s, 2)]
        for line, overview in ((item.a, a), (item.b, b)):
            cells += [words(f"state.{line.state}"), line.count, score_text(line.score, overview, words)]
        rows.append([*cells, words("format.none") if item.dice is None else words.number(item.dice, 2)])
    return rows


_Outlines = tuple[tuple[int, int], list[npt.NDArray[np.float64]]]


def _outlines(answered: Answered) -> dict[int, _Outlines]:
    """Frame → height and width of its image, and the outlines in it; only frames with a finding."""
    return {
        line.frame_id: (
            tuple(line.result["image_hw_px"]),
            [np.asarray(nodule["contour_xy_px"], np.float64) for nodule in line.result["nodules"]],
        )
        for line in open_session(answered.folder / "session").lines()
        if line.result is not None and line.result["state"] == "finding"
    }


def _dice(a: _Outlines | None, b: _Outlines | None) -> float | None:
    if a is None or b is None:
        return None
    first, second = (_mask(*item) for item in (a, b))
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else None


def _mask(hw_px: tuple[int, int], contours: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.uint8]:
    scale = min(1.0, _RASTER_PX / max(hw_px))
    mask = np.zeros((max(1, round(hw_px[0] * scale)), max(1, round(hw_px[1] * scale))), np.uint8)
    for contour in contours:
        cv2.fillPoly(mask, [np.round(contour * scale).astype(np.int32)], 1)
    return mask
