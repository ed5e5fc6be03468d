"""Compares trackers on sweeps with known nodules: ``python -m tools.tracker_report [FOLDER …]``.

All are given the same frames: what the live path shows of them. Identities are counted as ``usassist eval sweep``
counts them (``usassist.evaluation.identity``). Beside ours these of the library `trackers` (extra ``eval``) are tried,
each with its own settings, and with those that lose least here: every outline gets a number at once, and is remembered
for two seconds.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from tools.tracker_clips import ClipFrame, Scene, answer_clips, real_scenes, rocking_scenes, simulated_scenes
from usassist.errors import UsAssistError
from usassist.evaluation.extras import import_extra
from usassist.evaluation.identity import IdentityCounts, IdentityFrame, count_identities, identity_figures
from usassist.modalities.ultrasound.tracking import SweepTracker
from usassist.records import Detections

__all__ = ["follow_clip", "list_trackers", "main", "measure_cost"]

Numbers = npt.NDArray[np.int64]

_REMEMBERED_S = 2.0
_AFTER_A_CUT = 1_000_000  # between the numbers before and after another image
_LOSES_LEAST: Mapping[str, dict[str, Any]] = {
    "ByteTrackTracker": {"track_activation_threshold": 0.1, "high_conf_det_threshold": 0.1},
    "OCSORTTracker": {"high_conf_det_threshold": 0.1, "minimum_iou_threshold": 0.1},
}


class Follower(Protocol):
    """A tracker on one clip."""

    def __call__(self, frame: ClipFrame) -> Numbers:
        """Numbers of what is shown on the next frame, -1 = none."""
        ...


def _live_path(_: float) -> Follower:
    return lambda frame: frame.shown.track_id.astype(np.int64)


class _OfLibrary:
    """A tracker of the library; a new one after a cut."""

    def __init__(self, name: str, settings: Mapping[str, Any]) -> None:
        self._make: Callable[[], Any] = functools.partial(getattr(import_extra("trackers"), name), **settings)
        self._boxes: Any = import_extra("supervision").Detections
        self._tracker, self._above = self._make(), 0

    def __call__(self, frame: ClipFrame) -> Numbers:
        if not frame.same_image:
            self._tracker, self._above = self._make(), self._above + _AFTER_A_CUT
        count = len(frame.shown)
        numbers = np.full(count, -1, np.int64)
        given = self._boxes(
            xyxy=frame.shown.xyxy_px.astype(np.float64).reshape(count, 4),
            confidence=frame.shown.score.astype(np.float64),
            class_id=frame.shown.label_id.astype(np.int64),
            data={"row": np.arange(count)},
        )
        tracked = self._tracker.update(given)
        for row, number in zip(tracked.data.get("row", ()), tracked.tracker_id, strict=True):
            if number >= 0:
                numbers[row] = number + self._above
        return numbers


def list_trackers() -> dict[str, Callable[[float], Follower]]:
    """What is compared: name → makes a tracker for a clip with so many frames a second."""
    trackers: dict[str, Callable[[float], Follower]] = {"usassist": _live_path}
    for name, settings in _LOSES_LEAST.items():

        def own(rate_hz: float, name: str = name) -> Follower:
            return _OfLibrary(name, {"frame_rate": rate_hz})

        def least(rate_hz: float, name: str = name, settings: Mapping[str, Any] = settings) -> Follower:
            remembered = {"lost_track_buffer": round(30 * _REMEMBERED_S), "minimum_consecutive_frames": 1}
            return _OfLibrary(name, {"frame_rate": rate_hz, **remembered, **settings})

        trackers[name.removesuffix("Tracker")] = own
        trackers[f"{name.removesuffix('Tracker')}, loses least"] = least
    return trackers


def follow_clip(frames: Sequence[ClipFrame], follower: Follower) -> tuple[IdentityCounts, tuple[int, int]]:
    """Count what a tracker makes of a clip.

    Returns
    -------
    counts : of the clip
    returns : how often a nodule was out of view for up to two seconds, tracked before and after, and how often it had
        the same number then
    """
    counted, last = [], dict[int, tuple[int, int]]()
    returned = kept = 0
    for index, frame in enumerate(frames):
        numbers = follower(frame)
        counted.append(IdentityFrame(nodule=frame.nodule, track=numbers, overlap=frame.overlap))
        for nodule, overlaps in zip(frame.nodule.tolist(), frame.overlap.T, strict=True):
            if not len(overlaps) or overlaps.max() < 0.3 or (number := int(numbers[overlaps.argmax()])) < 0:
                continue
            if nodule in last:
                then, number_then = last[nodule]
                left = any(nodule not in between.nodule for between in frames[then + 1 : index])
                if left and frame.time_s - frames[then].time_s <= _REMEMBERED_S:
                    returned, kept = returned + 1, kept + (number == number_then)
            last[nodule] = index, number
    return count_identities(counted), (returned, kept)


def _report(title: str, clips: Mapping[str, list[ClipFrame]], rates_hz: Mapping[str, float], console: Console) -> None:
    frames = sum(len(clip) for clip in clips.values())
    table = Table(title=f"{title}: {len(clips)} clips, {frames} frames", title_justify="left")
    columns = ("", "clips without switch", "switches", "transfers", "returns kept", "untracked", "IDF1", "HOTA", "AssA")
    for column in columns:
        table.add_column(column, justify="right" if column else "left")
    for name, make in list_trackers().items():
        results = {clip: follow_clip(of_clip, make(rates_hz[clip])) for clip, of_clip in clips.items()}
        counts = [counted for counted, _ in results.values()]
        figures = identity_figures([(clip, counted) for clip, (counted, _) in results.items()])
        followed = [counted for counted in counts if counted.followed]
        every = [frame for clip in clips.values() for frame in clip]
        matched = sum(int((frame.overlap.max(axis=0, initial=0.0) >= 0.3).sum()) for frame in every)
        returns = np.sum([returned for _, returned in results.values()], axis=0)
        table.add_row(
            name,
            f"{sum(counted.switches == 0 for counted in followed)} of {len(followed)}",
            str(sum(counted.switches for counted in counts)),
            str(sum(counted.transfers for counted in counts)),
            f"{returns[1]} of {returns[0]}",
            f"{matched - sum(counted.tracked for counted in counts)} of {matched}",
            *(f"{figures[key].value:.3f}" for key in ("idf1", "hota", "ass_a")),
        )
    console.print(table)


def measure_cost(rounds: int = 2000) -> tuple[float, float]:
    """Time of an update with four nodules on frames of 960 x 720 px, µs: median and 95th percentile."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (720, 960, 3), np.uint8)
    boxes = np.array([[100, 100, 200, 180], [300, 100, 420, 220], [500, 300, 600, 400], [700, 400, 760, 470]])
    tracker, took_s = SweepTracker(), []
    for number in range(rounds):
        shown = Detections(
            xyxy_px=(boxes + rng.normal(0.0, 2.0, boxes.shape)).astype(np.float32),
            score=np.ones(4, np.float32),
            label_id=np.zeros(4, np.int32),
            track_id=np.full(4, -1, np.int32),
        )
        begun_s = time.perf_counter()
        tracker.update(shown, image, number / 30.0)
        took_s.append(time.perf_counter() - begun_s)
    median, high = np.percentile(took_s, [50, 95]) * 1e6
    return float(median), float(high)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.tracker_report", description=__doc__.split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="*", help="real clips: each with images/ and masks/ of one name")
    parser.add_argument("--count", type=int, default=24, help="simulated sweeps of each set; 0 = none")
    parser.add_argument("--seed", type=int, default=7300, help="of the simulated sweeps")
    parser.add_argument("--rate-hz", type=float, default=30.0, help="frames a second that real clips are taken to have")
    parser.add_argument("--backend", default="openvino")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads, 0 = all")
    options = parser.parse_args(arguments)
    console = Console(width=150)
    cv2.setNumThreads(1)
    try:
        sets: dict[str, list[Scene]] = {
            str(folder.name): real_scenes(folder, options.rate_hz) for folder in options.folders
        }
        if options.count:
            sets["simulated sweeps"] = simulated_scenes(options.count, options.seed)
            sets["simulated, rocking over a nodule"] = rocking_scenes(options.count // 2, options.seed)
        for title, scenes in sets.items():
            with console.status(title) as status:
                clips = answer_clips(scenes, options.backend, options.threads, lambda name: status.update(name))
            _report(title, clips, {scene.name: scene.rate_hz for scene in scenes}, console)
        median_us, high_us = measure_cost()
        console.print(
            f"an update of ours with four nodules: median {median_us:.0f} µs, 95th percentile {high_us:.0f} µs"
        )
    except UsAssistError as error:
        console.print(f"tracker_report: {error}", style="red", markup=False, highlight=False)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
