"""Outlines from boxes: the teacher applied to frames with a box each, and the checks that an outline must pass.

An outline is kept where it is one region that touches all four sides of its box and has a plausible share of it. The
sides' tolerance allows for drawn boxes, which lie a few pixels outside the nodule.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from usassist.errors import ConfigError
from usassist.training.teacher.net import BoxOutlineNet
from usassist.training.teacher.nodules import BoxedNodule, crop_plain

__all__ = ["FIGURES_FILE", "MARGINS", "BoxOutline", "Rules", "choose_outline", "predict", "write_outlines"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

FIGURES_FILE = "outlines.csv"
"""Name of the table of all outlines, in the folder of their masks."""

MARGINS = (1.35, 1.6)
"""Crop over box, of the predictions that are averaged, each also mirrored."""

_BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When an outline is kept.

    Attributes
    ----------
    thresholds : of the probability, tried in this order until one gives an outline that passes
    gap_px, gap_share : an outline touches a side if it comes as near as the greater of the two; share of the box's
        extent across that side
    region_share_min : of the largest region in all that is above the threshold inside the box
    area_share_min, area_share_max : of the box; an ellipse has pi/4
    solidity_min : area over that of the convex hull
    agreement_min : mean IoU of the single predictions with the outline
    """

    thresholds: tuple[float, ...] = (0.5, 0.4, 0.6, 0.3)
    gap_px: float = 3.0
    gap_share: float = 0.1
    region_share_min: float = 0.95
    area_share_min: float = 0.45
    area_share_max: float = 0.92
    solidity_min: float = 0.85
    agreement_min: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BoxOutline:
    """One outline and its figures; the fields after ``mask`` are the columns of the table.

    Attributes
    ----------
    mask : uint8 (H, W), 0 or 1
    name : of the frame
    part : of the data set
    kept : whether it passes all checks
    refused : the checks that it does not pass, joined by ``+``; empty if it is kept
    threshold : of the probability
    gap_left_px, gap_top_px, gap_right_px, gap_bottom_px : from the side of the box to the outline
    area_share : of the box
    region_share : of the largest region
    solidity : area over that of the convex hull
    agreement : mean IoU of the single predictions with the outline
    """

    mask: UInt8Array
    name: str
    part: str
    kept: bool
    refused: str
    threshold: float
    gap_left_px: float
    gap_top_px: float
    gap_right_px: float
    gap_bottom_px: float
    area_share: float
    region_share: float
    solidity: float
    agreement: float


@torch.no_grad()
def predict(
    net: BoxOutlineNet, nodules: Sequence[BoxedNodule], size_px: int, *, bf16: bool = False
) -> list[Float32Array]:
    """Probability of the nodule at every pixel, from crops of several sizes and their mirror images.

    Parameters
    ----------
    net : the teacher, in evaluation mode
    nodules : frames and boxes
    size_px : side of the crops
    bf16 : compute in bfloat16

    Returns
    -------
    for each nodule float32 (2 x len(MARGINS), H, W), 0 outside the crop
    """
    crops = [
        (index, crop_plain(nodule, size_px, margin, mirrored=mirrored))
        for index, nodule in enumerate(nodules)
        for margin in MARGINS
        for mirrored in (False, True)
    ]
    probs: list[list[Float32Array]] = [[] for _ in nodules]
    for start in range(0, len(crops), _BATCH):
        chosen = crops[start : start + _BATCH]
        stacked = np.stack([np.stack([crop.image / np.float32(255.0), crop.shown]) for _, crop in chosen])
        inputs = torch.from_numpy(stacked).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logit = net(inputs)
        fine = torch.nn.functional.interpolate(logit.float(), scale_factor=2.0, mode="bilinear", align_corners=False)
        for (index, crop), prob in zip(chosen, torch.sigmoid(fine)[:, 0].numpy(), strict=True):
            size_wh = nodules[index].image.shape[::-1]
            back = cv2.warpAffine(prob, crop.affine, size_wh, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
            probs[index].append(np.asarray(back, np.float32))
    return [np.stack(planes) for planes in probs]


def choose_outline(nodule: BoxedNodule, probs: Float32Array, part: str, rules: Rules | None = None) -> BoxOutline:
    """The outline in a box, with the first threshold that passes the checks, else with the first of all.

    Parameters
    ----------
    nodule : frame and box
    probs : float32 (N, H, W), of :func:`predict`
    part : of the data set, for the table
    rules : None = the default values
    """
    rules = rules or Rules()
    tried = [_outline_at(nodule, probs, part, threshold, rules) for threshold in rules.thresholds]
    return next((outline for outline in tried if outline.kept), tried[0])


def _outline_at(nodule: BoxedNodule, probs: Float32Array, part: str, threshold: float, rules: Rules) -> BoxOutline:
    box = nodule.box_xyxy_px
    x1, y1 = np.floor(box[:2]).astype(int)
    x2, y2 = np.ceil(box[2:]).astype(int)
    inside = np.zeros(nodule.image.shape, np.uint8)
    inside[y1:y2, x1:x2] = 1
    above = (probs.mean(0) >= threshold).astype(np.uint8) * inside
    _, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=4)
    areas = stats[1:, cv2.CC_STAT_AREA]
    mask = np.zeros_like(above)
    if not len(areas):
        nan = float("nan")
        return BoxOutline(
            mask=mask, name=nodule.name, part=part, kept=False, refused="empty", threshold=threshold,
            gap_left_px=nan, gap_top_px=nan, gap_right_px=nan, gap_bottom_px=nan,
            area_share=0.0, region_share=0.0, solidity=nan, agreement=nan,
        )  # fmt: skip
    region = (labels == 1 + int(np.argmax(areas))).astype(np.uint8)
    contours, _ = cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outer = max(contours, key=len)
    cv2.drawContours(mask, [outer], -1, 1, cv2.FILLED)  # holes are part of the nodule
    x, y, width, height = cv2.boundingRect(mask)
    gaps = np.maximum(0.0, [x - box[0], y - box[1], box[2] - x - width, box[3] - y - height])
    limits = np.maximum(rules.gap_px, rules.gap_share * np.tile(box[2:] - box[:2], 2))
    hull = np.zeros_like(mask)
    cv2.fillConvexPoly(hull, cv2.convexHull(outer), 1)
    area = float(mask.sum())
    single = (probs >= threshold) & (inside > 0)
    iou = [(one & (mask > 0)).sum() / max(1, (one | (mask > 0)).sum()) for one in single]
    area_share = area / float(np.prod(box[2:] - box[:2]))
    region_share, solidity = float(areas.max() / areas.sum()), area / float(hull.sum())
    agreement = float(np.mean(iou))
    refused = [
        name
        for name, fails in (
            ("sides", bool((gaps > limits).any())),
            ("regions", region_share < rules.region_share_min),
            ("area", not rules.area_share_min <= area_share <= rules.area_share_max),
            ("solidity", solidity < rules.solidity_min),
            ("agreement", agreement < rules.agreement_min),
        )
        if fails
    ]
    left, top, right, bottom = (round(float(gap), 2) for gap in gaps)
    return BoxOutline(
        mask=mask, name=nodule.name, part=part, kept=not refused, refused="+".join(refused), threshold=threshold,
        gap_left_px=left, gap_top_px=top, gap_right_px=right, gap_bottom_px=bottom,
        area_share=round(area_share, 4), region_share=round(region_share, 4),
        solidity=round(solidity, 4), agreement=round(agreement, 4),
    )  # fmt: skip


def write_outlines(
    folder: Path, outlines: Iterable[BoxOutline], on_each: Callable[[BoxOutline], None] = lambda outline: None
) -> dict[str, dict[str, int]]:
    """Write the kept masks as ``<name>.png`` (0 and 255, size of the frame), and the table of all, kept or not.

    Parameters
    ----------
    folder : gets the masks and the table
    outlines : of the frames
    on_each : called after each

    Returns
    -------
    for each part the number of ``frames``, of ``kept`` ones, and of those that each check refused

    Raises
    ------
    ConfigError
        When a mask cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = [item.name for item in fields(BoxOutline) if item.name != "mask"]
    counts: dict[str, dict[str, int]] = {}
    with (folder / FIGURES_FILE).open("w", encoding="utf-8", newline="") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(columns)
        for outline in outlines:
            path = folder / f"{outline.name}.png"
            path.unlink(missing_ok=True)  # of an earlier run
            if outline.kept and not cv2.imwrite(str(path), outline.mask * np.uint8(255)):
                raise ConfigError(f"{path} cannot be written; choose another --out")
            row = {column: getattr(outline, column) for column in columns}
            table.writerow([int(value) if isinstance(value, bool) else value for value in row.values()])
            count = counts.setdefault(outline.part, {"frames": 0, "kept": 0})
            for key in ("frames", *(["kept"] if outline.kept else outline.refused.split("+"))):
                count[key] = count.get(key, 0) + 1
            on_each(outline)
    return counts
