"""The results of a sweep as one label map: x, y, and one plane for each frame.

A value is a track id, as in the results; one value stands for nodules that were not tracked, and one fills the frames
that have no answer, so that they do not look like background.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import SessionError
from usassist.session.export.answers import UNANSWERED_KEYS, is_answer
from usassist.session.opening import RecordedSession, SessionLine
from usassist.session.summary.moments import find_moments

__all__ = ["Label", "VolumePlan", "describe_volume", "label_planes", "plan_volume"]

_UNEVEN_MS, _UNEVEN_SHARE = 0.5, 0.01  # stamps of clips are rounded to 1 ms
_NOT_TRACKED, _NO_ANSWER = -1, -2  # keys beside track ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One value of the map.

    Attributes
    ----------
    value : in the map
    name : ``N1`` of the nodule with track id 1, ``not tracked``, ``no answer``
    extent_px : first and last x, y and plane that it occurs in
    """

    value: int
    name: str
    extent_px: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePlan:
    """What a volume of a session looks like.

    Attributes
    ----------
    frame_ids : of the planes, in order
    image_hw_px : of every plane
    t_ms : when each frame was, from the first
    step_ms : between two planes where it is the same everywhere; None = see `t_ms`
    spacing_rc_mm, spacing_rel_sd : mm per px, row step first, where all frames have the same; else None
    labels : values that occur, in order; 0 is the background of an answered frame
    not_tracked, no_answer : values
    dtype : of the map
    left_out : frames that are not in the volume, because their pixels are lost
    """

    frame_ids: tuple[int, ...]
    image_hw_px: tuple[int, int]
    t_ms: tuple[float, ...]
    step_ms: float | None
    spacing_rc_mm: tuple[float, float] | None
    spacing_rel_sd: float | None
    labels: tuple[Label, ...]
    not_tracked: int
    no_answer: int
    dtype: type[np.uint8] | type[np.uint16]
    left_out: tuple[int, ...] = ()


def plan_volume(session: RecordedSession, readable: Collection[int] | None = None) -> VolumePlan:
    """Read all results once, for what has to be known before the first plane is written.

    Parameters
    ----------
    session : of which the results are
    readable : numbers of the frames whose pixels can be read; None = pixels do not matter

    Raises
    ------
    SessionError
        If there is no frame, frames differ in size, or there are too many track ids.
    """
    frames = [line for line in session.frames if readable is None or line.frame_id in readable]
    if not frames:
        raise SessionError(f"{session.folder} holds no readable frame; run usassist session verify")
    sizes = {(line.roi_xyxy_px[3] - line.roi_xyxy_px[1], line.roi_xyxy_px[2] - line.roi_xyxy_px[0]) for line in frames}
    if len(sizes) > 1:
        changed = next(b.frame_id for a, b in itertools.pairwise(frames) if _hw(a.roi_xyxy_px) != _hw(b.roi_xyxy_px))
        raise SessionError(
            f"frames have {len(sizes)} sizes, and a volume has one; cut out a part with one size: "
            f"usassist session trim {session.folder} --to {changed - 1}, or --from {changed}"
        )
    image_hw_px = sizes.pop()
    scales = {(line.spacing_rc_mm, line.spacing_rel_sd, line.calibration_id) for line in frames}
    spacing_rc_mm, spacing_rel_sd, _ = scales.pop() if len(scales) == 1 else (None, None, None)
    all_t_s = find_moments(session.manifest, session.frames).t_s
    kept = {line.frame_id for line in frames}
    t_s = [t for line, t in zip(session.frames, all_t_s, strict=True) if line.frame_id in kept]
    t_ms = tuple(round((t - t_s[0]) * 1e3, 3) for t in t_s)
    extents = _extents(session, [line.frame_id for line in frames], image_hw_px)
    most = max(extents, default=0)
    wide = most > np.iinfo(np.uint8).max - 2
    dtype: type[np.uint8] | type[np.uint16] = np.uint16 if wide else np.uint8
    top = int(np.iinfo(dtype).max)
    if most > top - 2:
        raise SessionError(f"a volume holds track ids up to {top - 2}, got {most}; use --coco or --csv")
    names = {_NOT_TRACKED: (top - 1, "not tracked"), _NO_ANSWER: (top, "no answer")}
    labels = [
        Label(value=names.get(key, (key, ""))[0], name=names.get(key, (key, f"N{key}"))[1], extent_px=extent)
        for key, extent in extents.items()
    ]
    return VolumePlan(
        frame_ids=tuple(line.frame_id for line in frames),
        image_hw_px=image_hw_px,
        t_ms=t_ms,
        step_ms=_even_step_ms([t * 1e3 for t in t_s]),
        spacing_rc_mm=spacing_rc_mm,
        spacing_rel_sd=spacing_rel_sd,
        labels=tuple(sorted(labels, key=lambda label: label.value)),
        not_tracked=top - 1,
        no_answer=top,
        dtype=dtype,
        left_out=tuple(line.frame_id for line in session.frames if line.frame_id not in kept),
    )


def label_planes(session: RecordedSession, plan: VolumePlan, overlaps: list[int]) -> Iterator[npt.NDArray[Any]]:
    """The planes of the map, in order: `plan.dtype` (H, W).

    Parameters
    ----------
    session, plan : as of :func:`plan_volume`
    overlaps : gets the number of the frame once for each nodule that covers a part of another one; the nodule with the
        higher score is drawn above
    """
    with session.result_reader() as read:
        for frame_id in plan.frame_ids:
            result = read(frame_id)
            if not is_answer(result):
                yield np.full(plan.image_hw_px, plan.no_answer, plan.dtype)
                continue
            assert result is not None
            plane = np.zeros(plan.image_hw_px, plan.dtype)
            for nodule in sorted(result["nodules"], key=lambda item: item["score"]):
                region = np.zeros(plan.image_hw_px, np.uint8)
                cv2.fillPoly(region, [_points(nodule)], 1)
                inside = region > 0
                if plane[inside].any():
                    overlaps.append(frame_id)
                plane[inside] = plan.not_tracked if nodule["track_id"] < 1 else nodule["track_id"]
            yield plane


def describe_volume(session: RecordedSession, plan: VolumePlan, overlaps: Collection[int]) -> dict[str, Any]:
    """What a program cannot see in the volume itself, ready for JSON: times, states, values, scale."""
    with session.result_reader() as read:
        frames = [
            _frame(index, SessionLine(frame=line, result=read(line.frame_id)), t_ms)
            for index, (line, t_ms) in enumerate(
                zip((line for line in session.frames if line.frame_id in set(plan.frame_ids)), plan.t_ms, strict=True)
            )
        ]
    return {
        "description": f"results of the recorded session {session.manifest.session_id}",
        "session_id": session.manifest.session_id,
        "engine_ids": sorted({item.engine_id for item in session.results if item.engine_id}),
        "axes": ["x: column of the image, px", "y: row of the image, px", "frame, in the order of frames below"],
        "values": {"0": "background of an answered frame"} | {str(label.value): label.name for label in plan.labels},
        "no_answer": plan.no_answer,
        "spacing_rc_mm": plan.spacing_rc_mm,
        "spacing_rel_sd": plan.spacing_rel_sd,
        "spacing_note": _scale_note(session, plan),
        "step_ms": plan.step_ms,
        "step_note": "frames are evenly spaced" if plan.step_ms else "frames are not evenly spaced: use t_ms of each",
        "frames": frames,
        "frames_left_out": list(plan.left_out),
        "frames_with_overlap": sorted(set(overlaps)),
    }


def _frame(index: int, line: SessionLine, t_ms: float) -> dict[str, Any]:
    result = line.result or {"state": "missing", "reason": "the result is not in the recording"}
    kept = ("state",) if is_answer(line.result) else UNANSWERED_KEYS
    return {"index": index, "frame_id": line.frame_id, "t_ms": t_ms} | {key: result.get(key) for key in kept}


def _scale_note(session: RecordedSession, plan: VolumePlan) -> str:
    if plan.spacing_rc_mm is not None:
        return "mm per px, row step first; its relative standard uncertainty is spacing_rel_sd"
    if all(line.spacing_rc_mm is None for line in session.frames):
        return "frames are not calibrated: a step is one pixel"
    return "the scale is not the same on all frames: a step is one pixel"


def _extents(
    session: RecordedSession, frame_ids: list[int], image_hw_px: tuple[int, int]
) -> dict[int, tuple[int, int, int, int, int, int]]:
    """Track id (or one of the two values below 0) → first and last x, y and plane."""
    height, width = image_hw_px
    found: dict[int, list[tuple[int, int, int, int, int]]] = {}
    with session.result_reader() as read:
        for index, frame_id in enumerate(frame_ids):
            result = read(frame_id)
            if not is_answer(result):
                found.setdefault(_NO_ANSWER, []).append((0, width - 1, 0, height - 1, index))
                continue
            assert result is not None
            for nodule in result["nodules"]:
                points = np.clip(_points(nodule), 0, (width - 1, height - 1))
                (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
                key = nodule["track_id"] if nodule["track_id"] >= 1 else _NOT_TRACKED
                found.setdefault(key, []).append((x1, x2, y1, y2, index))
    return {
        key: (
            min(box[0] for box in boxes),
            max(box[1] for box in boxes),
            min(box[2] for box in boxes),
            max(box[3] for box in boxes),
            boxes[0][4],
            boxes[-1][4],
        )
        for key, boxes in found.items()
    }


def _points(nodule: dict[str, Any]) -> npt.NDArray[np.int32]:
    """Pixels that the outline runs through, as ``frames.fill_labelmap`` takes them."""
    return np.round(np.array(nodule["contour_xy_px"], np.float32) - 0.5).astype(np.int32)


def _even_step_ms(t_ms: Sequence[float]) -> float | None:
    steps = [after - before for before, after in itertools.pairwise(t_ms)]
    if not steps:
        return None
    usual = statistics.median(steps)
    even = usual > 0 and all(abs(step - usual) <= _UNEVEN_MS + _UNEVEN_SHARE * usual for step in steps)
    return round((t_ms[-1] - t_ms[0]) / len(steps), 6) if even else None


def _hw(roi_xyxy_px: tuple[int, int, int, int]) -> tuple[int, int]:
    x1, y1, x2, y2 = roi_xyxy_px
    return y2 - y1, x2 - x1
