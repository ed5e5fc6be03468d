"""The choice of an association: what is counted of a clip, and which rule is taken."""

from __future__ import annotations

import dataclasses

import numpy as np

from tools.fit_association import choose_associated, choose_rule, make_rules
from tools.sweep_counts import ClipFrame, Counts, count_clip, figures_of
from usassist.calibrate import AssociationRule
from usassist.records import Detections

HERE, THERE = (10, 10, 50, 40), (100, 60, 150, 90)


def _frame(*found: tuple[tuple[int, int, int, int], float, int], truth_px: int = 0) -> ClipFrame:
    """A frame with candidates: box, score, and pixels that it shares with the nodule; each has 100 px."""
    count = len(found)
    return ClipFrame(
        candidates=Detections(
            xyxy_px=np.array([box for box, *_ in found], np.float32).reshape(count, 4),
            score=np.array([score for _, score, _ in found], np.float32),
            label_id=np.zeros(count, np.int32),
            track_id=np.full(count, -1, np.int32),
        ),
        area_px=np.full(count, 100),
        shared_px=np.array([shared for *_, shared in found], np.int64),
        truth_px=truth_px,
    )


def _all(frame: ClipFrame) -> np.ndarray:
    return np.arange(len(frame.candidates))


def test_what_is_shown_is_counted_frame_by_frame() -> None:
    clip = [
        _frame((HERE, 0.9, 80), (THERE, 0.6, 0), truth_px=100),
        _frame((HERE, 0.9, 100), truth_px=100),
        _frame(truth_px=100),
        _frame((THERE, 0.6, 0)),
    ]
    counts = count_clip(clip, _all)
    assert (counts.frames, counts.marked, counts.nodules, counts.found) == (4, 3, 3, 2)
    assert counts.dice == 2 * 80 / 300 + 1.0 + 0.0
    assert (counts.false_positives, counts.flashes) == (2, 2)
    assert (counts.pairs, counts.changes) == (2, 1)
    assert counts.events == 3, "THERE goes, HERE goes, THERE comes"
    every = np.ones((1, 1))
    assert figures_of([counts], every)["events"][0] == 3 / 4


def test_where_the_engine_abstained_its_nodule_is_missed_and_all_is_forgotten() -> None:
    rule = AssociationRule(alone=0.9, rise=0.9, release=0.4, frames=3, iou=0.3)
    seen, weak = _frame((HERE, 0.95, 80), truth_px=100), _frame((HERE, 0.5, 80), truth_px=100)
    blind = dataclasses.replace(_frame(truth_px=100), abstained=True)
    found = [count_clip(clip, choose_associated(rule)).found for clip in ([seen, weak, weak], [seen, blind, weak])]
    assert found == [3, 1]


def test_the_rule_that_flickers_least_is_taken_where_it_is_not_worse() -> None:
    def counts(found: int, false_positives: int, events: int) -> list[Counts]:
        return [Counts(frames=1000, nodules=1000, found=found, false_positives=false_positives, events=events)]

    alone = counts(700, 200, 120)
    rules = [counts(700, 200, 90), counts(695, 205, 60), counts(600, 100, 20), counts(800, 300, 10)]
    assert choose_rule(alone, rules) == 1
    assert choose_rule(alone, [counts(700, 200, 120), counts(500, 200, 10)]) is None


def test_the_grid_holds_rules_around_the_threshold_of_the_point() -> None:
    rules = make_rules(0.6)
    assert len(set(rules)) == len(rules) > 20
    assert {rule.rise for rule in rules} >= {0.6}
    assert all(rule.release < 0.6 <= rule.rise <= rule.alone <= 1.0 for rule in rules)
