"""Which nodule of a frame is which of the frames before: a number for each that is shown, causal and without delay.

A number (``track_id``) counts from 1, and belongs to one nodule of a stream and to no other. Where it cannot be told
that a nodule is one of those before, it gets a new number: a nodule with two numbers is seen for what it is, two
nodules with one number are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from usassist.modalities.ultrasound.assignment import assign
from usassist.records import Detections

__all__ = ["RULE", "NoduleTracker", "SweepTracker"]

Int32Array = npt.NDArray[np.int32]

RULE = "sweep-1"
"""Name of the rule of :class:`SweepTracker`; another one wherever the same frames may get other numbers."""

# All of these are fitted on simulated sweeps and tried on others, and on real ones: docs/tracking.md.
_GATE = 9.0  # a pair that costs as much is not the same nodule
_IN_VIEW_S = 0.2  # one that was not found for so long has not left the plane
_LEAST_IOU, _IN_VIEW_GREY_SD = 0.05, 0.06  # of boxes; of mean grey levels, 0 to 1
_MOST_OF_GREY = 2.5  # that grey adds in view: a box that overlaps by 0.35 or more is the same, whatever its grey
# Standard deviations of the centre, in mean sides, of the logarithm of a side, and of the mean grey level.
_RETURN_PLACE_SD, _RETURN_SIZE_SD, _RETURN_GREY_SD = 0.1, 0.4, 0.04
_MAX_GONE_S = 2.0
_SPEED_GAIN, _MAX_SPEED = 0.1, 4.0  # mean sides per second
_GREY_GAIN = 0.5
_SAMPLES = ((np.arange(12) + 0.5) / 12).astype(np.float32)  # of a box, each way, for its grey level


class NoduleTracker(Protocol):
    """Numbers what is shown on the frames of one stream, which come in their order, in one thread at a time."""

    def update(self, shown: Detections, image: npt.NDArray[Any], t_s: float) -> Int32Array:
        """Number the nodules of the next frame.

        Parameters
        ----------
        shown : what is shown of the frame, with boxes inside the image
        image : uint8 (H, W) or (H, W, 3), of the frame
        t_s : its time, s; not before that of the frame before

        Returns
        -------
        track_id : int32 (N,), from 1, each once; -1 = not tracked
        """
        ...

    def reset(self) -> None:
        """From here on no nodule is one of those before. Numbers go on counting."""
        ...


@dataclass(slots=True)
class _Nodule:
    """A nodule as it was last seen: centre and sides in px, speed in px a second."""

    track_id: int
    label_id: int
    x: float
    y: float
    width: float
    height: float
    grey: float
    seen_s: float
    speed_x: float = 0.0
    speed_y: float = 0.0

    def cost_of(self, now: _Nodule) -> float:
        """How unlikely it is that `now`, on the next frame, is this nodule: 0 or more."""
        if now.label_id != self.label_id:
            return math.inf
        gone_s = now.seen_s - self.seen_s
        in_view = gone_s <= _IN_VIEW_S
        apart_x, apart_y = abs(now.x - self.x), abs(now.y - self.y)
        if in_view:
            apart_x = abs(now.x - self.x - gone_s * self.speed_x)
            apart_y = abs(now.y - self.y - gone_s * self.speed_y)
            shared_x = min(0.5 * (now.width + self.width) - apart_x, now.width, self.width)
            shared_y = min(0.5 * (now.height + self.height) - apart_y, now.height, self.height)
            shared = max(shared_x, 0.0) * max(shared_y, 0.0)
            iou = shared / (now.width * now.height + self.width * self.height - shared)
            changed = ((now.grey - self.grey) / _IN_VIEW_GREY_SD) ** 2
            return (1.0 - iou) * _GATE / (1.0 - _LEAST_IOU) + min(changed, _MOST_OF_GREY)
        area = math.sqrt(now.width * now.height * self.width * self.height)
        grown = math.log(now.width / self.width) ** 2 + math.log(now.height / self.height) ** 2
        return (
            (apart_x**2 + apart_y**2) / (area * _RETURN_PLACE_SD**2)
            + 0.5 * grown / _RETURN_SIZE_SD**2
            + ((now.grey - self.grey) / _RETURN_GREY_SD) ** 2
        )

    def follow(self, now: _Nodule) -> tuple[float, float]:
        """Take over what was measured; gives how far it has moved, px."""
        gone_s = now.seen_s - self.seen_s
        moved = now.x - self.x, now.y - self.y
        if gone_s > _IN_VIEW_S:
            self.speed_x = self.speed_y = 0.0
        elif gone_s > 0.0:
            limit = _MAX_SPEED * math.sqrt(now.width * now.height)
            self.speed_x += _SPEED_GAIN * (min(max(moved[0] / gone_s, -limit), limit) - self.speed_x)
            self.speed_y += _SPEED_GAIN * (min(max(moved[1] / gone_s, -limit), limit) - self.speed_y)
        self.x, self.y, self.width, self.height = now.x, now.y, now.width, now.height
        self.grey += _GREY_GAIN * (now.grey - self.grey)
        self.seen_s = now.seen_s
        return moved


class SweepTracker:
    """Numbers nodules by place, size and grey level. The same frames always give the same numbers.

    A nodule that was seen up to 0.2 s ago is *in view*: it is the one whose box, moved on at the speed it had, overlaps
    most, if its grey level has not changed much. One that was seen up to 2 s ago may *return*: then place, size and
    grey level must be nearly as when it left, because another nodule may have come into the plane in about the same
    place. What is out of sight moves with what is seen. Of all ways to pair nodules with numbers the one is taken that
    costs least in all, so that two which cross do not swap.

    Overlap with the predicted box as the cost of an exact assignment follows Bewley et al., "Simple online and realtime
    tracking" (ICIP 2016).
    """

    def __init__(self) -> None:
        self._count = 0
        self._nodules: list[_Nodule] = []

    def reset(self) -> None:
        """As :meth:`NoduleTracker.reset`."""
        self._nodules.clear()

    def update(self, shown: Detections, image: npt.NDArray[Any], t_s: float) -> Int32Array:
        """As :meth:`NoduleTracker.update`."""
        if not len(shown):
            return np.empty(0, np.int32)
        known = self._nodules = [nodule for nodule in self._nodules if t_s - nodule.seen_s <= _MAX_GONE_S]
        seen = _measure(shown, image, t_s)
        rows = assign([[nodule.cost_of(now) for nodule in known] for now in seen], _GATE)
        moves = [known[row].follow(now) for row, now in zip(rows, seen, strict=True) if row >= 0]
        if moves:
            x, y = (sum(move) / len(moves) for move in zip(*moves, strict=True))
            for row, nodule in enumerate(known):
                if row not in rows:  # out of sight
                    nodule.x, nodule.y = nodule.x + x, nodule.y + y
        track_id = []
        for row, now in zip(rows, seen, strict=True):
            if row >= 0:
                track_id.append(known[row].track_id)
                continue
            self._count += 1
            now.track_id = self._count
            self._nodules.append(now)
            track_id.append(self._count)
        return np.array(track_id, np.int32)


def _measure(shown: Detections, image: npt.NDArray[Any], t_s: float) -> list[_Nodule]:
    """What is shown, without a number yet."""
    grey = _mean_grey(shown.xyxy_px, image).tolist()
    return [
        _Nodule(-1, label_id, 0.5 * (x1 + x2), 0.5 * (y1 + y2), x2 - x1, y2 - y1, level, t_s)
        for (x1, y1, x2, y2), label_id, level in zip(shown.xyxy_px.tolist(), shown.label_id.tolist(), grey, strict=True)
    ]


def _mean_grey(xyxy_px: npt.NDArray[np.float32], image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Mean grey level in boxes (N, 4), 0 to 1, from 12 x 12 pixels of each (in colour their green): float64 (N,)."""
    grey = image if image.ndim == 2 else image[:, :, 1]
    low = xyxy_px[:, :2, None]
    column, row = (low + (xyxy_px[:, 2:, None] - low) * _SAMPLES).astype(np.intp).transpose(1, 0, 2)
    levels = grey[row[:, :, None], column[:, None]]
    return np.asarray(levels.sum(axis=(1, 2), dtype=np.int64) / (255.0 * _SAMPLES.size**2), np.float64)
