"""What a reader changed in the result of a frame: found by overlap, because files of others do not say it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from usassist.session.corrections.claims import ClaimedRegion, FrameClaim
from usassist.session.corrections.record import Change, CorrectedFrame, CorrectedOutline, RemovedNodule
from usassist.session.corrections.regions import Region, overlap
from usassist.session.export.answers import is_answer

__all__ = ["compare", "complete"]

_SAME_IOU = 0.995  # corners that a tool has rounded
_LEAST_IOU = 0.1  # below: another nodule


def compare(claim: FrameClaim, result: dict[str, Any] | None, image_hw_px: tuple[int, int]) -> CorrectedFrame:
    """A corrected frame, with what happened to each nodule.

    A nodule of the file and one of the result are the same where they overlap most, by intersection over union, and by
    at least 0.1: ``accepted`` from 0.995 on, else ``changed``. What is left is ``added`` or removed. Labels do not
    count for that; a nodule whose label is another one is ``changed``.

    Parameters
    ----------
    claim : the nodules of the file
    result : line of ``results.jsonl``; None where there is none
    image_hw_px : of the frame
    """
    nodules = _nodules(result)
    before = [_region(nodule, image_hw_px) for nodule in nodules]
    pairs = _pairs([item.region for item in claim.regions], before)
    outlines = [
        _outline(item, None if match is None else (nodules[match[0]], match[1]))
        for item, match in zip(claim.regions, (pairs.get(index) for index in range(len(claim.regions))), strict=True)
    ]
    kept = {row for row, _ in pairs.values()}
    return CorrectedFrame(
        frame_id=claim.frame_id,
        image_hw_px=image_hw_px,
        result_state="missing" if result is None else result["state"],
        outlines=tuple(outlines),
        removed=tuple(
            RemovedNodule(row=row, track_id=nodule["track_id"], score=nodule["score"])
            for row, nodule in enumerate(nodules)
            if row not in kept
        ),
    )


def complete(
    claim: FrameClaim, result: dict[str, Any] | None, holding: CorrectedFrame | None, image_hw_px: tuple[int, int]
) -> FrameClaim:
    """A claim about some nodules of a frame, with the others as they are now; one about all is returned as it is.

    Parameters
    ----------
    claim : of a file
    result : line of ``results.jsonl``; None where there is none
    holding : the correction of the frame that holds now; None = the result does
    image_hw_px : of the frame
    """
    if claim.speaks_of is None:
        return claim
    if holding is not None:
        known = [
            ClaimedRegion(region=region, label_id=item.label_id, label=item.label, track_id=_known(item.track_id))
            for item, region in zip(holding.outlines, holding.regions(), strict=True)
        ]
    else:
        known = [
            ClaimedRegion(
                region=region,
                label_id=nodule["label_id"],
                label=nodule.get("label") or f"label {nodule['label_id']}",
                track_id=_known(nodule["track_id"]),
            )
            for nodule in _nodules(result)
            if (region := _region(nodule, image_hw_px)) is not None
        ]
    others = [
        item
        for item in known
        if (item.track_id is None or item.track_id not in claim.speaks_of)
        and all(overlap(item.region, said.region) < _LEAST_IOU for said in claim.regions)
    ]
    return FrameClaim(frame_id=claim.frame_id, regions=(*claim.regions, *others))


def _nodules(result: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Nodules of an answer; what came too late was not shown, and is in no export."""
    return list(result["nodules"]) if result is not None and is_answer(result) else []


def _known(track_id: int) -> int | None:
    return track_id if track_id >= 1 else None


def _region(nodule: dict[str, Any], image_hw_px: tuple[int, int]) -> Region | None:
    return Region.of_outline(np.array(nodule["contour_xy_px"], np.float32), image_hw_px)


def _pairs(after: Sequence[Region], before: Sequence[Region | None]) -> dict[int, tuple[int, float]]:
    """Place of a region → row of its nodule, and their intersection over union; each once, the best first."""
    found = sorted(
        (
            (value, place, row)
            for (place, one), (row, other) in itertools.product(enumerate(after), enumerate(before))
            if other is not None and (value := overlap(one, other)) >= _LEAST_IOU
        ),
        reverse=True,
    )
    pairs: dict[int, tuple[int, float]] = {}
    for value, place, row in found:
        if place not in pairs and row not in {taken for taken, _ in pairs.values()}:
            pairs[place] = row, value
    return pairs


def _outline(item: ClaimedRegion, match: tuple[dict[str, Any], float] | None) -> CorrectedOutline:
    change: Change = "added"
    iou, track_id = None, -1
    if match is not None:
        nodule, iou = match
        same = iou >= _SAME_IOU and nodule["label_id"] == item.label_id
        change, track_id = "accepted" if same else "changed", nodule["track_id"]
    return CorrectedOutline(
        label_id=item.label_id,
        label=item.label,
        change=change,
        iou=None if iou is None else round(iou, 4),
        track_id=item.track_id if item.track_id is not None and match is None else track_id,
        area_px2=item.region.area_px2,
        parts=item.region.parts(),
    )
