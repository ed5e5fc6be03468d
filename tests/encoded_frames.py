"""Frames that have their own number in the picture, and a nodule whose place follows from it.

So that what is drawn can be checked: picture, outline and text must all be of one frame.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tests.samples import make_frame, make_result
from usassist.frames.measure import measure
from usassist.records import Detections, Frame, Result, ResultState, Segmentation

__all__ = ["HW", "encoded_frame", "encoded_result", "outline_share", "read_id"]

HW = (360, 560)
RADIUS_PX = 34.0

_BITS, _CELL_PX, _STRIP_XY_PX = 16, 14, (24, 8)
_POINTS = 48


def encoded_frame(frame_id: int) -> Frame:
    """A grey frame of :data:`HW` with the bits of its number as bright and dark cells along its upper edge."""
    image = np.full(HW, 90, np.uint8)
    x, y = _STRIP_XY_PX
    for bit in range(_BITS):
        left = x + bit * _CELL_PX
        image[y : y + _CELL_PX, left : left + _CELL_PX] = 245 if frame_id >> bit & 1 else 8
    cv2.circle(image, tuple(round(value) for value in center_of(frame_id)), round(RADIUS_PX), (60,), -1, cv2.LINE_AA)
    spacing = {"spacing_rc_mm": (0.1, 0.1), "spacing_rel_sd": 0.01, "calibration_id": "drawn"}
    return make_frame(frame_id, HW, image=image, roi_xyxy_px=(0, 0, HW[1], HW[0]), **spacing)


def center_of(frame_id: int) -> tuple[float, float]:
    """Where the nodule of a frame lies, x and y, px; 29 px or more from those of the frames before and after it."""
    return 80.0 + 29.0 * (frame_id % 13), 120.0 + 41.0 * (frame_id // 13 % 4)


def encoded_result(frame_id: int) -> Result:
    """The result of such a frame: its nodule, a circle."""
    x, y = center_of(frame_id)
    at = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)
    outline = np.stack([x + RADIUS_PX * np.cos(at), y + RADIUS_PX * np.sin(at)], axis=1).astype(np.float32)
    segmentation = Segmentation.of([outline])
    return make_result(
        frame_id,
        ResultState.FINDING,
        HW,
        detections=Detections(
            xyxy_px=np.array([[*outline.min(axis=0), *outline.max(axis=0)]], np.float32),
            score=np.array([0.9], np.float32),
            label_id=np.zeros(1, np.int32),
            track_id=np.ones(1, np.int32),
        ),
        segmentation=segmentation,
        measurements=measure(segmentation, (0.1, 0.1), 0.01, 0.05, np.zeros(1, np.uint8)),
        calibration_id="drawn",
    )


def read_id(image: npt.NDArray[np.uint8]) -> int:
    """The number in a picture of such a frame, uint8 (H, W, 3), of any size.

    Raises
    ------
    AssertionError
        If a cell is neither bright nor dark, as in a mixture of two frames.
    """
    scale = image.shape[1] / HW[1], image.shape[0] / HW[0]
    number = 0
    for bit in range(_BITS):
        x, y = _STRIP_XY_PX[0] + (bit + 0.5) * _CELL_PX, _STRIP_XY_PX[1] + 0.5 * _CELL_PX
        reach = _CELL_PX / 4
        x1, x2 = (round((x + side) * scale[0]) for side in (-reach, reach))
        y1, y2 = (round((y + side) * scale[1]) for side in (-reach, reach))
        bright = float(image[y1:y2, x1:x2].mean())
        assert bright < 60 or bright > 190, f"cell {bit} is {bright:.0f}"
        number |= (bright > 190) << bit
    return number


def outline_share(image: npt.NDArray[np.uint8], frame_id: int) -> float:
    """Share of the outline of a frame's nodule that is drawn on a picture, uint8 (H, W, 3) RGB: of points, 0 to 1."""
    scale = np.array([image.shape[1] / HW[1], image.shape[0] / HW[0]])
    yellow = image[..., 0].astype(int) - image[..., 2] > 50
    at = np.linspace(0.0, 2.0 * np.pi, _POINTS, endpoint=False)
    direction = np.stack([np.cos(at), np.sin(at)], axis=1)
    found = np.zeros(_POINTS, bool)
    for away_px in range(6):
        points = np.round(
            np.array(center_of(frame_id)) * scale - 0.5 + direction * (RADIUS_PX * scale + away_px)
        ).astype(int)
        columns, rows = np.clip(points.T, 0, [[image.shape[1] - 1], [image.shape[0] - 1]])
        found |= yellow[rows, columns]
    return float(found.mean())
