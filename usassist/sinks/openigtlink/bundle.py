"""The messages of one frame: they have one time stamp, and are sent together or not at all."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.common.openigtlink.header import DEVICE_BYTES
from usassist.common.openigtlink.packing import image_content, pack, status_content, string_content, transform_content
from usassist.records import Frame, PoseStatus, Segmentation
from usassist.sinks.covering import cover

__all__ = ["IMAGE", "NOT_ANSWERED", "OUTLINE", "RESULT", "STATUS", "Bundle", "Part", "fill_outlines", "frame_parts"]

UInt8Array = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]
Buffer = bytes | memoryview

IMAGE, OUTLINE, RESULT, STATUS = "usassist_image", "usassist_outline", "usassist_result", "usassist_status"
"""Names of the devices."""

NOT_ANSWERED = 255
"""Label of a frame along the edges of a map whose image got no answer: no nodule, and not the same as an empty map."""

_EDGE_SHARE = 0.02  # width of that frame, of the shorter side


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One message: its type, device and content."""

    kind: str
    device: str
    content: Sequence[Buffer]


class Bundle:
    """The messages of one frame, or about its absence.

    Parameters
    ----------
    parts : in the order in which they are sent
    stamp_ns : of all of them, ns since 1970
    metadata : of all of them; only a client that speaks version 2 gets it
    """

    def __init__(self, parts: Sequence[Part], stamp_ns: int, metadata: Mapping[str, str]) -> None:
        self._parts, self._stamp_ns, self._metadata = tuple(parts), stamp_ns, dict(metadata)
        self._lock = threading.Lock()
        self._packed: dict[int, tuple[Buffer, ...]] = {}

    def buffers(self, version: int) -> tuple[Buffer, ...]:
        """What is sent, with headers of a version; packed once for all clients."""
        with self._lock:
            if version not in self._packed:
                self._packed[version] = tuple(self._pack(version))
            return self._packed[version]

    def _pack(self, version: int) -> list[Buffer]:
        return [
            buffer
            for part in self._parts
            for buffer in pack(
                part.kind, part.device, self._stamp_ns, part.content, version=version, metadata=self._metadata
            )
        ]


def frame_parts(frame: Frame, segmentation: Segmentation | None, text: str, status: tuple[int, str, str]) -> list[Part]:
    """The parts of one frame: image, label map, poses, result, status.

    Parameters
    ----------
    frame : the frame; text that its source has burnt into it is covered
    segmentation : what may be drawn on it; empty where nothing was found, None where there is no answer
    text : the result in JSON
    status : code, name and text
    """
    matrix = image_matrix(frame.spacing_rc_mm)
    outlines = (
        not_answered(frame.image_hw_px) if segmentation is None else fill_outlines(segmentation, frame.image_hw_px)
    )
    parts = [
        Part("IMAGE", IMAGE, image_content(cover(frame.image, frame.text_xyxy_px), matrix)),
        Part("IMAGE", OUTLINE, image_content(outlines, matrix)),
    ]
    for pose in frame.poses:
        if pose.status is PoseStatus.VALID and pose.matrix_mm is not None:
            matrix_mm = np.array(pose.matrix_mm, np.float64).reshape(3, 4)
            parts.append(Part("TRANSFORM", _device(pose.name), transform_content(matrix_mm)))
    return [*parts, *text_parts(text, status)]


def text_parts(text: str, status: tuple[int, str, str]) -> list[Part]:
    """Result and status as parts."""
    return [Part("STRING", RESULT, string_content(text)), Part("STATUS", STATUS, status_content(*status))]


def outline_part(outlines: UInt8Array, spacing_rc_mm: tuple[float, float] | None) -> Part:
    """A label map as a part, without its image."""
    return Part("IMAGE", OUTLINE, image_content(outlines, image_matrix(spacing_rc_mm)))


def image_matrix(spacing_rc_mm: tuple[float, float] | None) -> Float64Array:
    """From column and row to mm in RAS, float64 (4, 4), origin at the centre of the first pixel.

    Columns run to the left of the patient and rows to the back, so that an axial view shows the image upright, as the
    window does; that says nothing about the patient. Without a scale a pixel is 1 mm, which the status says.
    """
    row_mm, column_mm = spacing_rc_mm or (1.0, 1.0)
    return np.diag([-column_mm, -row_mm, 1.0, 1.0])


def fill_outlines(segmentation: Segmentation, image_hw_px: tuple[int, int]) -> UInt8Array:
    """Outlines as a label map, as ``usassist.frames.fill_labelmap`` fills them.

    Parameters
    ----------
    segmentation : in image coordinates; of more than 254 outlines the first
    image_hw_px : height and width, px

    Returns
    -------
    labelmap : uint8 (H, W), 0 = background, k = outline k - 1
    """
    labelmap = np.zeros(image_hw_px, np.uint8)
    for value, contour in zip(range(1, NOT_ANSWERED), segmentation, strict=False):
        cv2.fillPoly(labelmap, [np.round(contour - 0.5).astype(np.int32)], value)
    return labelmap


def not_answered(image_hw_px: tuple[int, int]) -> UInt8Array:
    """The label map of a frame without an answer: a frame of :data:`NOT_ANSWERED` along its edges.

    A client keeps what it got last, so a map has to be sent: an outline of an earlier frame would stay on this one.
    """
    labelmap = np.zeros(image_hw_px, np.uint8)
    edge_px = max(1, round(_EDGE_SHARE * min(image_hw_px)))
    labelmap[:edge_px], labelmap[-edge_px:] = NOT_ANSWERED, NOT_ANSWERED
    labelmap[:, :edge_px], labelmap[:, -edge_px:] = NOT_ANSWERED, NOT_ANSWERED
    return labelmap


def _device(name: str) -> str:
    return name.encode("ascii", "replace").decode("ascii")[:DEVICE_BYTES]
