"""Drawn contents of sweeps for the DICOM objects: ellipses on noise, measured as the engine's outlines are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from tests.samples import ellipse_contour
from usassist.dicom.objects.content import (
    AnsweredFrame,
    CinePart,
    Dimensions,
    EngineUsed,
    FrameNodule,
    NoduleSection,
    Quantity,
    Size,
    SweepContent,
    SweepFrame,
    SweepNodule,
    Unanswered,
)
from usassist.dicom.study import StudyContext, anonymous_study
from usassist.frames.measure import measure
from usassist.records import Segmentation

SESSION_ID = "20260314T101500Z-abcdef"
BEGUN = "2026-03-14T10:15:00Z"
ENGINE = "thyroid_nodule@0.4.0+0123456789ab"
HW = (120, 160)
_STEMS = {
    "longest_diameter": ("major", ""),
    "across": ("minor", ""),
    "ap": ("ap", ""),
    "transverse": ("transverse", ""),
    "equivalent_diameter": ("equivalent", ""),
    "perimeter": ("perimeter", ""),
    "area": ("area", "2"),
}


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A nodule: where, how large, whether cut; what is known of it."""

    center: tuple[int, int] = (80, 60)
    axes: tuple[int, int] = (30, 18)
    angle_deg: float = 20.0
    cut: bool | None = False
    score: float = 0.8125
    with_ends: bool = True
    with_shape: bool = True
    side: str | None = "right"
    planes: bool = False
    echogenicity: str = "hypoechoic"
    is_run: bool = False
    engine_id: str = ENGINE
    backend: str = "openvino"


def draw_content(
    drawn: tuple[Drawn, ...] = (Drawn(),),
    *,
    spacing_rc_mm: tuple[float, float] | None = (0.2, 0.2),
    channels: int = 1,
    study: StudyContext | None = None,
    hw_px: tuple[int, int] = HW,
    calibrated_scores: bool = True,
    lost: int = 0,
    state: str = "ended",
    marks: tuple[dict[str, Any], ...] = (),
) -> SweepContent:
    """A sweep of two frames more than nodules: nodule k is on frame k, a second plane of it on the last but one."""
    count = len(drawn) + 2
    frames = tuple(
        SweepFrame(
            frame_id=2 * index + 3,
            t_ms=40.0 * index,
            hw_px=hw_px,
            channels=channels,
            spacing_rc_mm=spacing_rc_mm,
            spacing_rel_sd=None if spacing_rc_mm is None else 0.01,
            calibration_id=None if spacing_rc_mm is None else "scale_by_ruler",
        )
        for index in range(count)
    )
    by_frame: list[list[Drawn]] = [[item] for item in drawn] + [list(drawn), []]
    answers = tuple(_answer(items, frames[index]) for index, items in enumerate(by_frame))
    nodules, runs = [], []
    for index, item in enumerate(drawn):
        made = _nodule(index, item, len(drawn))
        (runs if item.is_run else nodules).append(made)
    finding = sum(answer.state == "finding" for answer in answers)

    def images() -> Iterator[tuple[int, np.ndarray]]:
        for index, items in enumerate(by_frame):
            yield index, draw_image(items, hw_px, channels)

    return SweepContent(
        study=study or anonymous_study(SESSION_ID, BEGUN),
        session_id=SESSION_ID,
        fingerprint="0123",
        begun_utc=BEGUN,
        state=state,
        engine=EngineUsed(
            engine_id=ENGINE,
            version="0.4.0",
            backend="openvino",
            precision="int8",
            intended_use="thyroid nodules in B-mode ultrasound",
            software_version="0.1.0",
            weights_sha256="ab" * 32,
            point="balanced: finds 90 of 100 nodules, 0.11 false alarms per frame (validation frames)",
            score_calibration_id="platt-1" if calibrated_scores else "",
        ),
        frames=frames,
        images=images,
        answers=answers,
        nodules=tuple(nodules),
        untracked=tuple(runs),
        parts=(CinePart(number=1, frame_indices=tuple(range(count))),),
        text_free=True,
        unanswered=(Unanswered(name="out_of_domain", frames=1, seconds=0.04),),
        not_live=(Unanswered(name="frozen", frames=1, seconds=0.04),),
        answered_frames=count - 1,
        finding_frames=finding,
        no_finding_frames=count - 1 - finding,
        answered_s=0.04 * (count - 1),
        length_s=0.04 * count,
        frames_lost=lost,
        marks=marks,
    )


def draw_image(items: list[Drawn], hw_px: tuple[int, int], channels: int) -> np.ndarray:
    """Noise with dark ellipses; uint8 (H, W), or (H, W, 3)."""
    image = np.random.default_rng(5).integers(70, 110, hw_px).astype(np.uint8)
    image = np.asarray(cv2.GaussianBlur(image, (0, 0), 1.0), np.uint8)
    for item in items:
        cv2.ellipse(image, item.center, item.axes, item.angle_deg, 0, 360, 25, -1)
    return image if channels == 1 else np.ascontiguousarray(np.repeat(image[:, :, None], 3, axis=2))


def _answer(items: list[Drawn], frame: SweepFrame) -> AnsweredFrame:
    engine = items[0] if items else Drawn()
    if not items:
        return AnsweredFrame(
            state="no_result", cause="out_of_domain", reason="no thyroid", engine_id=ENGINE, backend="openvino"
        )
    nodules = tuple(_found(row, item, frame) for row, item in enumerate(items))
    return AnsweredFrame(state="finding", engine_id=engine.engine_id, backend=engine.backend, nodules=nodules)


def _found(row: int, item: Drawn, frame: SweepFrame) -> FrameNodule:
    height, width = frame.hw_px
    contour = ellipse_contour(item.center, item.axes, item.angle_deg)
    contour = np.clip(contour, 0.5, np.array([width - 0.5, height - 0.5], np.float32)).astype(np.float32)
    segmentation = Segmentation.of([contour])
    cut = None if item.cut is None else np.array([item.cut], np.uint8)
    values = measure(segmentation, frame.spacing_rc_mm, frame.spacing_rel_sd, 0.05, cut, 0.1).row(0)
    sizes = {}
    for name, (stem, power) in _STEMS.items():
        px = values.get(f"{stem}_px{power}")
        if px is not None and (item.with_shape or stem in ("major", "minor", "area")):
            sizes[name] = Size(px=px, mm=values.get(f"{stem}_mm{power}"), u95_mm=values.get(f"{stem}_u95_mm{power}"))
    ends = [values.get(f"{stem}_ends_xy_px") if item.with_ends else None for stem in ("major", "minor")]
    return FrameNodule(
        row=row,
        track_id=-1 if item.is_run else row,
        label="nodule",
        score=item.score,
        box_xyxy_px=(*(contour.min(axis=0) - 0.5).tolist(), *(contour.max(axis=0) + 0.5).tolist()),
        contour_xy_px=contour,
        major_ends_xy_px=None if ends[0] is None else (tuple(ends[0][0]), tuple(ends[0][1])),
        minor_ends_xy_px=None if ends[1] is None else (tuple(ends[1][0]), tuple(ends[1][1])),
        sizes=sizes,
        cut=item.cut,
        ap_t=values.get("ap_t") if item.with_shape else None,
        ap_t_low=values.get("ap_t_low") if item.with_shape else None,
        ap_t_high=values.get("ap_t_high") if item.with_shape else None,
    )


def _nodule(index: int, item: Drawn, together: int) -> SweepNodule:
    best = NoduleSection(frame_index=index, row=0, plane="transverse" if item.planes else None, side=item.side)
    other = NoduleSection(frame_index=together, row=index, plane="longitudinal", side=item.side)
    dimensions = Dimensions(
        length_mm=Quantity(value=12.5, u95=1.25),
        width_mm=Quantity(value=9.25, u95=1.0),
        depth_mm=Quantity(value=7.125, u95=0.875),
        volume_ml=Quantity(value=0.431, u95=0.13),
    )
    return SweepNodule(
        track_id=-1 if item.is_run else index,
        name="" if item.is_run else f"N{index}",
        label="nodule",
        frames=2,
        frames_cut=int(bool(item.cut)),
        first_frame_index=index,
        last_frame_index=together,
        best=best,
        transverse=best if item.planes else None,
        longitudinal=other if item.planes else None,
        dimensions=dimensions if item.planes and not item.cut else None,
        descriptors=(
            {"name": "composition", "basis": "confirmed", "words": ("solid",)},
            {
                "name": "echogenicity",
                "basis": "estimated",
                "words": (item.echogenicity,),
                "probability": 0.75,
                "same_in_frames": 0.5,
                "agreement": "kappa 0.40 (0.20 to 0.60), 9 nodules of 7 cases",
            },
            {"name": "margin", "basis": "needs_clinician", "words": ()},
        ),
        categories=(
            {
                "system_id": "acr_2017",
                "name": "ACR TI-RADS",
                "edition": "2017",
                "source": "PMID 28372962",
                "level": None,
                "meaning": "",
                "points": None,
                "missing": ("margin",),
                "reason": "",
            },
        ),
    )


def with_study(content: SweepContent, **fields: str) -> SweepContent:
    """The same sweep in a study that somebody has named."""
    return replace(content, study=replace(content.study, **fields))
