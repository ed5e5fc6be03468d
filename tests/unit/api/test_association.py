"""A stream from Python associates findings over its frames as the live path does; a call with an image never does."""

from __future__ import annotations

import dataclasses

import pytest

from usassist import Engine
from usassist.api import engine as api
from usassist.calibrate import AssociationRule, ScoreCalibration, load_score_calibration

RULE = AssociationRule(alone=1.0, rise=0.7, release=0.3, frames=3, iou=0.3)


def _associated(engine_id: str) -> ScoreCalibration:
    """The shipped calibration, with an association at every point."""
    scores = load_score_calibration(engine_id)
    assert scores is not None
    points = {name: dataclasses.replace(point, association=RULE) for name, point in scores.points.items()}
    return dataclasses.replace(scores, points=points)


def test_a_stream_is_associated_and_begins_anew_and_an_image_is_answered_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api, "load_score_calibration", _associated)
    with Engine(backend="onnxruntime", precision="fp32", threads=1) as engine:
        first, again = ([*engine.stream("demo", count=70)] for _ in range(2))
        found = next(result for result in first if result.state == "finding")
        image = engine(found.image)
    assert [result.record.follows_frame_id for result in first] == [None, *range(69)]
    assert [len(result.record.detections) for result in first] == [len(result.record.detections) for result in again]
    assert image.record.follows_frame_id is None
    shown = [result.frame_id for result in first if result.state == "finding"]
    with Engine(backend="onnxruntime", precision="fp32", threads=1, each_frame_alone=True) as engine:
        alone = [*engine.stream("demo", count=70)]
    assert all(result.record.follows_frame_id is None for result in alone)
    begins = next(result.frame_id for result in alone if result.state == "finding")
    assert shown[0] > begins, "with alone = 1 the first frame of a nodule is not shown"
