"""Run frames through the live path: crop, preprocess, engine, decode, map back to the whole frame."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.calibrate import ScoreCalibration
from usassist.engine import Domain
from usassist.errors import ScanAreaError, UsageError
from usassist.evaluation.folders import LabelledFrame
from usassist.frames import fill_labelmap, find_cut, find_scan_area, find_scan_border, measure
from usassist.modalities.ultrasound import decode, preprocess
from usassist.records import Detections, LabelSpec, Measurements, Segmentation

__all__ = ["FrameOutcome", "Infer", "MeasuredSize", "SettledArea", "run_frames", "settle_area"]

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
Infer = Callable[[Mapping[str, Array]], Mapping[str, Array]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledArea:
    """The rectangle that frames are cropped to.

    Attributes
    ----------
    xyxy_px : px of the whole frame
    found : False when no scan area was found, and it is the whole frame
    """

    xyxy_px: tuple[int, int, int, int]
    found: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredSize:
    """Longest diameters in mm of N detections.

    Attributes
    ----------
    major_mm, u95_mm : float64 (N,), with the half-width of the 95 % interval
    is_cut : bool (N,), the border of the scan cuts it, so that the diameter is a lower bound without an interval
    """

    major_mm: Array
    u95_mm: Array
    is_cut: BoolArray

    def take(self, rows: Sequence[int]) -> MeasuredSize:
        """Those of some detections."""
        rows = list(rows)
        return MeasuredSize(major_mm=self.major_mm[rows], u95_mm=self.u95_mm[rows], is_cut=self.is_cut[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameOutcome:
    """The engine's detections in one frame, in pixels of the whole frame.

    Attributes
    ----------
    frame : with image and truth
    labelmap : uint8 (H, W), 0 = background, k = detection k - 1
    score : float64 (N,), descending
    box_xyxy_px : float64 (N, 4), of the pixels of each detection, as the live path gives it
    diameter_px : float64 (N,), longest diameter as in the live path
    scan_xyxy_px : the scan area
    cropped : False when no scan area was found and the whole frame was used
    elapsed_ms : of preprocess, engine and decode; the scan area is found once per stream and not included
    abstained : the engine abstained, as it would in the live path: there are no detections, and a nodule is missed
    size : of the outlines in mm, as in the live path; None = the frame has no scale
    track_id : int32 (N,), identity of each detection over the frames, from 1; -1 = none; None = nothing gives them
    domain_prob : probability that the frame shows what the engine was made for; None = it does not judge that
    """

    frame: LabelledFrame
    labelmap: npt.NDArray[np.uint8]
    score: Array
    box_xyxy_px: Array
    diameter_px: Array
    scan_xyxy_px: tuple[int, int, int, int]
    cropped: bool
    elapsed_ms: float
    abstained: bool = False
    domain_prob: float | None = None
    size: MeasuredSize | None = None
    track_id: npt.NDArray[np.int32] | None = None

    def found(self, threshold: float) -> BoolArray:
        """Mask of all detections with at least this score: bool (H, W)."""
        kept = int((self.score >= threshold).sum())
        return (self.labelmap > 0) & (self.labelmap <= kept)

    @property
    def scan(self) -> npt.NDArray[np.uint8]:
        """The image, cropped to the scan area: uint8 (h, w)."""
        x1, y1, x2, y2 = self.scan_xyxy_px
        return self.frame.image[y1:y2, x1:x2]


def settle_area(images: Sequence[npt.NDArray[np.uint8]]) -> SettledArea:
    """Find the scan area of one image, or of several of a clip, which have one size: uint8 (H, W)."""
    try:
        return SettledArea(xyxy_px=find_scan_area(images).xyxy_px, found=True)
    except ScanAreaError:
        height_px, width_px = images[0].shape
        return SettledArea(xyxy_px=(0, 0, width_px, height_px), found=False)


def run_frames(
    infer: Infer,
    size_hw_px: tuple[int, int],
    labels: tuple[LabelSpec, ...],
    frames: Iterable[LabelledFrame],
    calibration: ScoreCalibration | None = None,
    area: SettledArea | None = None,
    domain: Domain | None = None,
    diameter_rel_sd: float | None = None,
) -> Iterator[FrameOutcome]:
    """Run frames through the live path, one after the other.

    A higher threshold can be applied afterwards with the same result, because a detection never depends on one with a
    lower score.

    Parameters
    ----------
    infer : the engine: named tensors to named tensors
    size_hw_px : size of its input
    labels : one, with the lowest threshold of interest, on the raw score
    frames : not cropped
    calibration : of the scores; None = they stay raw
    area : of all frames, as for a clip; None = it is found on each frame alone
    domain : of the engine; None = it never abstains
    diameter_rel_sd : relative standard uncertainty of a diameter of the engine's outlines; None = not known, so that
        nothing is measured in mm

    Raises
    ------
    UsageError
        If the engine does not have exactly one label: only nodules are evaluated.
    """
    if len(labels) != 1:
        raise UsageError(f"only engines with one label can be evaluated, this one has {len(labels)}; choose another")
    for frame in frames:
        settled = area or settle_area([frame.image])
        x1, y1, x2, y2 = settled.xyxy_px
        image = np.ascontiguousarray(frame.image[y1:y2, x1:x2])
        started_s = time.perf_counter()
        tensor, image_to_input = preprocess(image, size_hw_px)
        outputs = infer({"image": tensor})
        prob = None if domain is None else domain.read_prob(outputs)
        abstained = domain is not None and prob is not None and bool(domain.why_abstain(prob))
        detections, segmentation = Detections.empty(), Segmentation.empty()
        if not abstained:
            border = functools.partial(find_scan_border, image)
            detections, segmentation = decode(outputs, image_to_input, (y2 - y1, x2 - x1), labels, border=border)
        elapsed_ms = 1e3 * (time.perf_counter() - started_s)
        labelmap = np.zeros(frame.image.shape, np.uint8)
        labelmap[y1:y2, x1:x2] = fill_labelmap(segmentation, (y2 - y1, x2 - x1))
        sizes, size = _measure(frame, image, segmentation, diameter_rel_sd)
        score = detections.score if calibration is None else calibration.calibrated(detections.score, labels[0].id)
        yield FrameOutcome(
            frame=frame,
            labelmap=labelmap,
            score=score.astype(np.float64),
            box_xyxy_px=detections.xyxy_px + np.array([x1, y1, x1, y1], np.float64),
            diameter_px=sizes.major_px.astype(np.float64),
            scan_xyxy_px=settled.xyxy_px,
            cropped=settled.found,
            elapsed_ms=elapsed_ms,
            abstained=abstained,
            domain_prob=prob,
            size=size,
        )


def _measure(
    frame: LabelledFrame, image: npt.NDArray[np.uint8], segmentation: Segmentation, diameter_rel_sd: float | None
) -> tuple[Measurements, MeasuredSize | None]:
    """Measure the outlines of a frame as the live path does, with mm where it has a scale."""
    scale = frame.scale
    if scale is None or diameter_rel_sd is None:
        return measure(segmentation), None
    cut = find_cut(segmentation, image)
    sizes = measure(segmentation, scale.spacing_rc_mm, scale.rel_sd, diameter_rel_sd, cut)
    if sizes.major_mm is None or sizes.major_u95_mm is None:  # nothing was found
        return sizes, MeasuredSize(major_mm=np.empty(0), u95_mm=np.empty(0), is_cut=np.empty(0, np.bool_))
    return sizes, MeasuredSize(
        major_mm=sizes.major_mm.astype(np.float64), u95_mm=sizes.major_u95_mm.astype(np.float64), is_cut=cut > 0
    )
