"""An evaluation of a clip passes its frames through the association of the live path."""

from __future__ import annotations

import numpy as np

from usassist.calibrate import AssociationRule
from usassist.evaluation.association import associate
from usassist.evaluation.folders import LabelledFrame
from usassist.evaluation.run import FrameOutcome

RULE = AssociationRule(alone=0.875, rise=0.625, release=0.25, frames=2, iou=0.25)


def _outcome(*found: tuple[int, float], abstained: bool = False, mirrored: bool = False) -> FrameOutcome:
    """A frame with squares of 10 px that begin at these columns, best score first."""
    labelmap = np.zeros((40, 100), np.uint8)
    for number, (x, _) in enumerate(found, 1):
        labelmap[10:20, x : x + 10] = number
    image = np.broadcast_to(np.arange(100, dtype=np.uint8), (40, 100))
    image = image[:, ::-1] if mirrored else image
    return FrameOutcome(
        frame=LabelledFrame(name="1_000", case="1", image=image, truth=image > 255),
        labelmap=labelmap,
        score=np.array([score for _, score in found], np.float64),
        box_xyxy_px=np.array([(x, 10, x + 10, 20) for x, _ in found], np.float64).reshape(-1, 4),
        diameter_px=np.array([float(x) for x, _ in found]),
        scan_xyxy_px=(0, 0, 100, 40),
        cropped=True,
        elapsed_ms=1.0,
        abstained=abstained,
    )


def test_what_is_shown_of_each_frame_is_kept_and_renumbered() -> None:
    clip = [_outcome((5, 0.9), (60, 0.5)), _outcome((61, 0.7), (30, 0.65), (6, 0.3)), _outcome()]
    first, second, third = associate(clip, RULE)
    assert first.score.tolist() == [0.9]
    assert second.score.tolist() == [0.7, 0.3], "the middle one was never there before"
    assert second.diameter_px.tolist() == [61.0, 6.0]
    assert second.box_xyxy_px[:, 0].tolist() == [61.0, 6.0]
    assert [int(second.labelmap[15, x]) for x in (65, 35, 10)] == [1, 0, 2]
    assert len(third.score) == 0
    assert not third.labelmap.any()


def test_every_clip_begins_anew() -> None:
    for _ in range(2):
        (only,) = associate([_outcome((5, 0.7))], RULE)
        assert len(only.score) == 0


def test_all_is_forgotten_where_the_engine_abstains() -> None:
    clip = [_outcome((5, 0.9)), _outcome((6, 0.3)), _outcome(abstained=True), _outcome((6, 0.7))]
    outcomes = list(associate(clip, RULE))
    assert [outcome.score.tolist() for outcome in outcomes] == [[0.9], [0.3], [], []]
    assert [outcome.abstained for outcome in outcomes] == [False, False, True, False]


def test_all_is_forgotten_where_the_image_is_another_one() -> None:
    clip = [_outcome((5, 0.9)), _outcome((6, 0.3), mirrored=True), _outcome((6, 0.7), mirrored=True)]
    assert [outcome.score.tolist() for outcome in associate(clip, RULE)] == [[0.9], [], [0.7]]
