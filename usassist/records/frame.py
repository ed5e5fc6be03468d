"""Frames, where they come from, and the state of the signal that brings them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from fractions import Fraction
from operator import attrgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.common.wire_fields import Int64, travels
from usassist.errors import RecordError
from usassist.records.checks import checked_array, require_identity
from usassist.records.poses import Pose
from usassist.records.states import SignalState

__all__ = ["Frame", "FrameLine", "FrameMetadata", "Signal", "SourceInfo", "frame_metadata"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """State of a live source's signal.

    Attributes
    ----------
    state : of the signal
    reason : why it is not live, or a notice although it is; may be empty
    t_since_ns : monotonic ns since when that holds
    t_last_grab_ns : monotonic ns of the last screen received, None before the first
    reconnects : number of times the source was reopened
    skipped : screens that arrived faster than they could be processed
    """

    state: SignalState
    reason: str = ""
    t_since_ns: int = 0
    t_last_grab_ns: int | None = None
    reconnects: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """Properties of a stream that its source has before the first frame.

    Attributes
    ----------
    description : what it is, without any path or patient text
    image_hw_px : height and width of every ``Frame.image`` of this source
    channels : 1 for grey, 3 for RGB
    rate_hz : nominal frame rate, or None where it is not known
    frame_count : how many frames it will give, or None where that is not known
    roi_xyxy_px : where the crop lies in the grabbed screen
    grab_hw_px : height and width of the grabbed screen
    frame_count_estimate : about how many frames it will give, for a progress bar, where `frame_count` is not known
    kind : ``live``, ``clip``, ``simulated``, or ``replay`` of a recording; empty = not stated
    """

    description: str
    image_hw_px: tuple[int, int]
    channels: int
    rate_hz: float | None
    frame_count: int | None
    roi_xyxy_px: tuple[int, int, int, int]
    grab_hw_px: tuple[int, int]
    frame_count_estimate: int | None = None
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameMetadata:
    """What messages and recordings hold of a frame, without its pixels. Its fields are defined here and nowhere else.

    How a field travels is in its metadata, see ``usassist/common/wire_fields.py``; "Add a field" in
    ``docs/bus.md`` has the steps.

    Attributes
    ----------
    frame_id : sequence number of the *source*, from 0; a gap is a drop
    t_capture_ns : monotonic ns at which the source delivered the frame; set once, copied everywhere
    roi_xyxy_px : where the crop lies in the grabbed screen, px
    spacing_rc_mm : mm per px, row step first; None when the frame is not calibrated
    spacing_rel_sd : relative standard uncertainty of the spacing; None exactly when the spacing is
    calibration_id : the geometry file the spacing came from; ``scale_by_ruler``, ``scale_by_dicom``,
        ``scale_by_hand``, ``scale_by_openigtlink``
    pts, time_base : presentation stamp of the clip the frame came from; with OpenIGTLink the sender's stamp, ns since
        1970 on the sender's clock
    t_decoded_ns, t_cropped_ns : monotonic ns at which the pixels were ready, and at which this frame was made of them;
        None where a source has done both before the frame was due
    picture : state of the signal; of a frame that is not live there is no answer
    picture_reason : why it is not live
    poses : of probe and tools when the frame was taken, in the order that was asked for; empty where none was
    """

    frame_id: Int64
    t_capture_ns: Int64
    roi_xyxy_px: tuple[Int64, Int64, Int64, Int64]
    spacing_rc_mm: tuple[float, float] | None = None
    spacing_rel_sd: float | None = None
    calibration_id: str | None = None
    pts: Int64 | None = None
    time_base: Fraction | None = None
    t_decoded_ns: Int64 | None = field(default=None, metadata=travels(since=(1, 1)))
    t_cropped_ns: Int64 | None = field(default=None, metadata=travels(since=(1, 2)))
    picture: SignalState = field(default=SignalState.LIVE, metadata=travels(since=(1, 1)))
    picture_reason: str = field(default="", metadata=travels(since=(1, 1)))
    poses: tuple[Pose, ...] = field(default=(), metadata=travels(since=(1, 4)))


_METADATA = tuple(item.name for item in fields(FrameMetadata))
_metadata_values = attrgetter(*_METADATA)


def frame_metadata(source: Any) -> dict[str, Any]:
    """The fields of :class:`FrameMetadata`, by name.

    Parameters
    ----------
    source : a frame, a line of a recording, or the body of a frame's message
    """
    return dict(zip(_METADATA, _metadata_values(source), strict=True))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame(FrameMetadata):
    """One frame of a stream, cropped to the scan area.

    Attributes
    ----------
    session_id : the session it belongs to
    source_id : ``[a-z0-9_]+``, for example ``us0``
    image : uint8 (H, W) grey or (H, W, 3) RGB, C order, read-only
    text_xyxy_px : boxes of text and marks that the source has burnt into it, px of the image, x2 and y2
        exclusive; a recorder covers them, and looks for others
    """

    session_id: str
    source_id: str = field(metadata=travels(message=False))
    image: npt.NDArray[np.uint8] = field(metadata=travels(message=False))
    text_xyxy_px: tuple[tuple[Int64, Int64, Int64, Int64], ...] = field(default=(), metadata=travels(since=(1, 1)))

    def __post_init__(self) -> None:
        """Check every field and make the pixels read-only."""
        require_identity(self.session_id, self.source_id, self.frame_id)
        image = checked_array(self.image, np.uint8, "image")
        if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
            raise RecordError(f"image must be (H, W) or (H, W, 3), got {image.shape}")
        if not image.size:
            raise RecordError(f"image must not be empty, got {image.shape}")
        object.__setattr__(self, "image", image)
        x1, y1, x2, y2 = self.roi_xyxy_px
        if (y2 - y1, x2 - x1) != image.shape[:2]:
            raise RecordError(f"roi_xyxy_px {self.roi_xyxy_px} does not have the size of the image {image.shape[:2]}")
        if (self.spacing_rc_mm is None) != (self.spacing_rel_sd is None):
            raise RecordError(
                "spacing_rc_mm and spacing_rel_sd go together: a length without its uncertainty is not given"
            )
        spacing, rel_sd = self.spacing_rc_mm, self.spacing_rel_sd
        if spacing is not None and rel_sd is not None and not (min(spacing) > 0 and rel_sd >= 0):
            raise RecordError(f"spacing must be positive, got {spacing} with relative sd {rel_sd}")

    @property
    def image_hw_px(self) -> tuple[int, int]:
        """Height and width of the image, px."""
        return int(self.image.shape[0]), int(self.image.shape[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameLine(FrameMetadata):
    """One line of ``frames.jsonl``: a frame without its pixels, and where these are.

    Attributes
    ----------
    file : video file that holds the pixels
    channels : of the frame as it was published: 1 for grey, 3 for RGB
    covered_xyxy_px : boxes that the recorder covered, px of the image, x2 and y2 exclusive
    crc32 : of the frame as it is coded in the file; recordings before 2.1 have none
    """

    file: str
    channels: int
    covered_xyxy_px: tuple[tuple[Int64, Int64, Int64, Int64], ...] = field(
        default=(), metadata=travels(line="unless_default")
    )
    crc32: int | None = field(default=None, metadata=travels(line="unless_default"))

    @property
    def t_given_ns(self) -> int:
        """When the source had the frame ready, which is never before it was captured."""
        return max(self.t_capture_ns, self.t_decoded_ns or 0, self.t_cropped_ns or 0)
