"""The records that flow from source to sink. They hold numpy arrays and nothing else.

A record that exists is valid: every field is checked when it is made, arrays are made read-only, and an error
says what was expected and what was given.

Image coordinates are continuous, x to the right, y down, with the origin at the *top-left corner* of the top-left
pixel. The whole image is ``(0, 0, W, H)``; the centre of pixel (row r, column c) is ``(c + 0.5, r + 0.5)``. All
results are in pixels of ``Frame.image``, never of an engine's input. The marked side of the probe is towards +x,
depth towards +y. See ``docs/adr/0003-coordinates.md``.
"""

from usassist.records.findings import Descriptor, Descriptors, Detections, LabelSpec, Segmentation
from usassist.records.frame import Frame, FrameLine, FrameMetadata, Signal, SourceInfo, frame_metadata
from usassist.records.measurements import ApTState, Measurements
from usassist.records.poses import Pose, PoseStatus
from usassist.records.result import Answer, Result
from usassist.records.states import Cause, ResultState, SignalState

__all__ = [
    "Answer",
    "ApTState",
    "Cause",
    "Descriptor",
    "Descriptors",
    "Detections",
    "Frame",
    "FrameLine",
    "FrameMetadata",
    "LabelSpec",
    "Measurements",
    "Pose",
    "PoseStatus",
    "Result",
    "ResultState",
    "Segmentation",
    "Signal",
    "SignalState",
    "SourceInfo",
    "frame_metadata",
]
