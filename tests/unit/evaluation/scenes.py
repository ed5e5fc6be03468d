"""Frames, tallies and a fake engine for the tests of the evaluation."""

from __future__ import annotations

import cv2
import numpy as np

from usassist.evaluation import FrameTally, LabelledFrame
from usassist.records import LabelSpec

SIZE_HW_PX = (256, 384)
LABELS = (
    LabelSpec(
        id=0, name="nodule", scheme="SCT", value="1", meaning="Nodule", color_rgb=(1, 2, 3), score_threshold=0.05
    ),
)


def bright_ellipse_engine(score):
    """A fake engine: bright pixels are a nodule."""

    def infer(inputs):
        image = inputs["image"][0, 0]
        mask = cv2.resize((image > 0.7).astype(np.float32), (192, 128), interpolation=cv2.INTER_AREA)
        center_score = np.zeros((1, 1, 32, 48), np.float32)
        box = np.ones((1, 4, 32, 48), np.float32)
        count, _, stats, _ = cv2.connectedComponentsWithStats((image > 0.7).astype(np.uint8))
        for x, y, width, height, _ in stats[1:count]:
            row, column = int((y + height / 2) // 8), int((x + width / 2) // 8)
            center_score[0, 0, row, column] = score
            left, top = (column + 0.5) * 8 - x, (row + 0.5) * 8 - y
            box[0, :, row, column] = (left, top, width - left, height - top)
        return {"mask_prob": mask[None, None], "center_score": center_score, "box_ltrb_px": box}

    return infer


def frame(name, ellipses, marked=None):
    """A scanner screen with a textured image on black; `marked` of the ellipses are labelled."""
    rng = np.random.default_rng(len(name))
    image = np.zeros((360, 560), np.uint8)
    image[20:320, 80:480] = rng.integers(40, 110, (300, 400))
    truth = np.zeros(image.shape, np.uint8)
    for index, (x, y, a, b) in enumerate(ellipses):
        cv2.ellipse(image, (x, y), (a, b), 0, 0, 360, 230, -1)
        if marked is None or index in marked:
            cv2.ellipse(truth, (x, y), (a, b), 0, 0, 360, 1, -1)
    return LabelledFrame(name=name, case=name.split("_")[0], image=image, truth=truth > 0)


def counted(name, score, overlap, *, nodule_px=(1000,), is_dual=False, scan_px=(200, 100)):
    """A frame already counted: scores falling, and for every detection its IoU with every nodule."""
    overlap = np.array(overlap, np.float64).reshape(len(score), len(nodule_px))
    found_px = np.full(len(score), 1000)
    shared_px = np.round(2000 * overlap.sum(axis=1) / (1 + overlap.sum(axis=1))).astype(np.int64)
    return FrameTally(
        name=name,
        case=name.split("_")[0],
        converted="",
        truth_px=sum(nodule_px),
        nodule_px=np.array(nodule_px, np.int64),
        nodule_diameter_px=np.full(len(nodule_px), 40.0),
        score=np.array(score, np.float64),
        found_px=found_px,
        shared_px=shared_px,
        diameter_px=np.full(len(score), 40.0),
        overlap=overlap,
        scan_xyxy_px=(0, 0, *scan_px),
        cropped=True,
        is_dual=is_dual,
        elapsed_ms=1.0,
    )
