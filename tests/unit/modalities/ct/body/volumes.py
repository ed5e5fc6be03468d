"""A volume of nested ellipses of known area, and an engine that knows where they are."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from usassist.volumes import Volume

AIR, FAT, MUSCLE = -1000, -100, 50
BODY, WALL, CAVITY = (150.0, 110.0), (120.0, 85.0), (100.0, 68.0)  # semi-axes, mm
BONE = (18.0, 14.0)


def ellipse(shape_yx: tuple[int, int], spacing_yx_mm: tuple[float, float], axes_mm: tuple[float, float]) -> Any:
    """Share of each pixel (Y, X) that lies in an ellipse around the middle, above one half."""
    y = (np.arange(shape_yx[0]) - (shape_yx[0] - 1) / 2) * spacing_yx_mm[0]
    x = (np.arange(shape_yx[1]) - (shape_yx[1] - 1) / 2) * spacing_yx_mm[1]
    return (x[None] / axes_mm[0]) ** 2 + (y[:, None] / axes_mm[1]) ** 2 < 1


def area_cm2(outer: tuple[float, float], inner: tuple[float, float] = (0.0, 0.0)) -> float:
    """Area between two ellipses."""
    return float(np.pi * (outer[0] * outer[1] - inner[0] * inner[1]) / 100.0)


def make_volume(
    planes: int = 3, shape_yx: tuple[int, int] = (280, 360), spacing_mm: float = 1.0, **changes: Any
) -> Volume:
    """Fat around a muscular ring around fat, with a bone in the middle; in HU, without noise."""
    spacing = (spacing_mm, spacing_mm)
    plane = np.full(shape_yx, AIR, np.int16)
    for axes, hu in ((BODY, FAT), (WALL, MUSCLE), (CAVITY, FAT), (BONE, 400)):
        plane[ellipse(shape_yx, spacing, axes)] = hu
    affine = np.diag([spacing_mm, spacing_mm, 5.0, 1.0])
    affine[:2, 3] = -(shape_yx[1] - 1) / 2 * spacing_mm, -(shape_yx[0] - 1) / 2 * spacing_mm
    fields = {
        "session_id": "s",
        "source_id": "ct0",
        "series_id": "p",
        "modality": "CT",
        "voxels": np.repeat(plane[None], planes, axis=0),
        "affine_ijk_to_lps_mm": affine,
        "unit": "HU",
    }
    return Volume(**(fields | changes))


class NestedEngine:
    """Sees compartments as what they are in :func:`make_volume`: the second window's grey levels and what encloses."""

    def infer(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """One-hot probabilities, slightly smoothed."""
        image = inputs["image"]
        found = np.zeros((len(image), 5, *image.shape[2:]), np.float32)
        for row, planes in enumerate(image):
            hu = planes[2] * 2024.0 - 1024.0
            classes = np.zeros(hu.shape, np.int64)
            fat = (hu > -600) & (hu < -25)
            classes[(hu >= -25) & (hu < 225)] = 2
            classes[hu >= 225] = 4
            _, parts = cv2.connectedComponents(fat.astype(np.uint8))
            middle = (image.shape[2] // 2, image.shape[3] // 2)
            inner = np.unique(parts[:, middle[1]][middle[0] - 25 : middle[0] + 25])
            classes[fat] = 1
            classes[np.isin(parts, inner[inner > 0])] = 3
            for index in range(5):
                found[row, index] = cv2.blur((classes == index).astype(np.float32), (3, 3))
        return {"compartment_prob": found}


class Run:
    """Arrays and progress of a study."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def report(self, stage: str, done: float) -> None:
        """Remember the stage."""
        assert 0.0 <= done <= 1.0
        self.stages.append(stage)

    def output(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """In memory."""
        return np.zeros(shape, dtype)

    scratch = output
