"""What a smoothing of outlines over time would give: ``python -m tools.smoothing_report [FOLDER …]``.

Causal and without delay: of each nodule with a track id, the profile of its radius over the angle and its centre are
averaged with those shown on the frame before (first-order low-pass), where that is at most three frames ago. Nothing of
it is in the live path; the report is the reason (docs/tracking.md).
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from tools.tracker_clips import ClipFrame, answer_clips, real_scenes, simulated_scenes
from usassist.errors import UsAssistError
from usassist.evaluation.metrics import iou

__all__ = ["SmoothedOutlines", "compute_smoothing_figures", "main"]

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_ANGLES = np.linspace(0.0, 2.0 * np.pi, 96, endpoint=False)
_MAX_GAP = 3  # frames
_SHARES = (1.0, 0.85, 0.7, 0.5)
_SUBPIXEL_BITS = 4
_GROWS = 0.01  # of the logarithm of the area, from one frame to the next
_MOVES_PX = 0.7  # a frame


class SmoothedOutlines:
    """The outlines of one clip, smoothed.

    Parameters
    ----------
    share : of the present frame, above 0; 1 = not smoothed
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._before: dict[int, tuple[int, FloatArray, FloatArray]] = {}
        self.took_s, self.outlines = 0.0, 0

    def update(self, number: int, frame: ClipFrame) -> list[FloatArray]:
        """The outlines that would be shown of a frame, float64 (K, 2) each, px."""
        smoothed = []
        begun_s = time.perf_counter()
        for track_id, outline in zip(frame.shown.track_id.tolist(), frame.outlines, strict=True):
            center, radius = _profile(outline.astype(np.float64))
            at, center_before, radius_before = self._before.get(track_id, (-math.inf, center, radius))
            if number - at <= _MAX_GAP:
                center = center_before + self._share * (center - center_before)
                radius = radius_before + self._share * (radius - radius_before)
            self._before[track_id] = number, center, radius
            smoothed.append(center + np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1) * radius[:, None])
        self.took_s += time.perf_counter() - begun_s
        self.outlines += len(smoothed)
        return smoothed


def compute_smoothing_figures(clips: Sequence[Sequence[ClipFrame]], share: float | None) -> dict[str, float]:
    """Figures of all clips; ``share`` as of :class:`SmoothedOutlines`, None = the engine's own outlines.

    Returns
    -------
    ``dice`` : mean over the frames with a nodule
    ``flicker``, ``flicker_of_truth`` : mean of 1 - IoU of neighbours that both have a nodule
    ``growing``, ``shrinking`` : mean of the logarithm of the outlined over the true area, where the true one grows and
        shrinks by 1 % or more a frame
    ``ahead_px`` : mean of how far the outlined centre is ahead of the true one, where that moves by 0.7 px or more
    ``cost_us`` : time of an outline
    """
    values: dict[str, list[float]] = {
        name: [] for name in ("dice", "flicker", "flicker_of_truth", "growing", "shrinking", "ahead_px")
    }
    took_s, outlines = 0.0, 0
    for clip in clips:
        smoother = SmoothedOutlines(1.0 if share is None else share)
        found_before: BoolArray | None = None
        truth_before: BoolArray | None = None
        for number, frame in enumerate(clip):
            shown = list(frame.outlines) if share is None else smoother.update(number, frame)
            found, truth = _fill(shown, frame.hw_px), frame.truth
            if truth.any():
                values["dice"].append(2.0 * float((found & truth).sum()) / float(found.sum() + truth.sum()))
                if truth_before is not None and found_before is not None and truth_before.any():
                    values["flicker"].append(1.0 - iou(found, found_before))
                    values["flicker_of_truth"].append(1.0 - iou(truth, truth_before))
                    if (found & truth).any():
                        _compare_motion(found, truth, truth_before, values)
            found_before, truth_before = found, truth
        took_s, outlines = took_s + smoother.took_s, outlines + smoother.outlines
    figures = {name: float(np.mean(numbers)) if numbers else math.nan for name, numbers in values.items()}
    return figures | {"cost_us": 1e6 * took_s / outlines if outlines else math.nan}


def _compare_motion(found: BoolArray, truth: BoolArray, before: BoolArray, values: Mapping[str, list[float]]) -> None:
    grown = math.log(truth.sum() / before.sum())
    if abs(grown) >= _GROWS:
        values["growing" if grown > 0 else "shrinking"].append(math.log(found.sum() / truth.sum()))
    center = _center(truth)
    moved = center - _center(before)
    speed_px = float(np.hypot(*moved))
    if speed_px >= _MOVES_PX and iou(found, truth) >= 0.4:  # of other places a centre says nothing
        values["ahead_px"].append(float((_center(found) - center) @ moved) / speed_px)


def _profile(outline: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Centre, px, and radius at each angle, px, of a closed outline."""
    moments = cv2.moments(outline.astype(np.float32))
    area = moments["m00"]
    center = np.array([moments["m10"], moments["m01"]]) / area if area else outline.mean(axis=0)
    after = np.roll(outline, -1, axis=0)
    dense = np.concatenate([outline + step * (after - outline) for step in np.linspace(0.0, 1.0, 6, endpoint=False)])
    x, y = (dense - center).T
    angle = np.arctan2(y, x)
    order = np.argsort(angle)
    return center, np.interp(_ANGLES, angle[order], np.hypot(x, y)[order], period=2.0 * np.pi)


def _fill(outlines: Sequence[npt.NDArray[np.floating]], hw_px: tuple[int, int]) -> BoolArray:
    mask = np.zeros(hw_px, np.uint8)
    for outline in outlines:
        points = np.round((outline - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        cv2.fillPoly(mask, [points], (1,), shift=_SUBPIXEL_BITS)
    return mask > 0


def _center(mask: BoolArray) -> FloatArray:
    rows, columns = np.nonzero(mask)
    return np.array([columns.mean(), rows.mean()])


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.smoothing_report", description=__doc__.split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="*", help="real clips: each with images/ and masks/ of one name")
    parser.add_argument("--count", type=int, default=24, help="simulated sweeps; 0 = none")
    parser.add_argument("--seed", type=int, default=7300, help="of the simulated sweeps")
    parser.add_argument("--rate-hz", type=float, default=30.0, help="frames a second that real clips are taken to have")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 = all")
    options = parser.parse_args(arguments)
    console = Console(width=150)
    cv2.setNumThreads(1)
    try:
        sets = {folder.name: real_scenes(folder, options.rate_hz) for folder in options.folders}
        if options.count:
            sets["simulated sweeps"] = simulated_scenes(options.count, options.seed)
        for title, scenes in sets.items():
            clips = answer_clips(scenes, options.backend, options.threads, lambda name: None)
            table = Table(title=f"{title}: {len(clips)} clips", title_justify="left")
            names = ("dice", "flicker", "flicker_of_truth", "growing", "shrinking", "ahead_px", "cost_us")
            for column in ("share of the present frame", *names):
                table.add_column(column, justify="right" if column in names else "left")
            for share in (None, *_SHARES):
                figures = compute_smoothing_figures(list(clips.values()), share)
                words = "the engine's outline" if share is None else f"{share:g}"
                digits = {"ahead_px": 2, "cost_us": 0}
                table.add_row(words, *(f"{figures[name]:.{digits.get(name, 4)}f}" for name in names))
            console.print(table)
    except UsAssistError as error:
        console.print(f"smoothing_report: {error}", style="red", markup=False, highlight=False)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
