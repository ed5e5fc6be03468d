"""Clips with known truth: what each figure of a sweep must be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.unit.evaluation.scenes import LABELS, SIZE_HW_PX, bright_ellipse_engine, frame
from usassist.evaluation import run_frames
from usassist.evaluation.run import settle_area
from usassist.evaluation.sweep_figures import compute_sweep_figures, follow_clip, score_clip
from usassist.evaluation.sweep_report import Sweeps, sweep_report, sweep_rows

NODULE, SPOT, SHIFTED = (250, 150, 50, 30), (400, 250, 20, 15), (300, 150, 50, 30)


def followed(name, scenes, score=0.9):
    """Run a clip; each scene is a list of bright ellipses, and how many of them, from the first, are marked."""
    frames = [
        dataclasses.replace(frame(f"{name}_{number}", shown, marked=range(marked)), case=name)
        for number, (shown, marked) in enumerate(scenes)
    ]
    outcomes = run_frames(
        bright_ellipse_engine(score), SIZE_HW_PX, LABELS, frames, area=settle_area([item.image for item in frames])
    )
    return follow_clip(outcomes, range(len(frames)), 0.5)


def scored(name, scenes, score=0.9):
    return score_clip(name, [item for _, item in followed(name, scenes, score)])


def test_outlines_that_stay_do_not_flicker_and_are_found_at_once():
    clip = scored("a", [([NODULE], 1)] * 4)
    assert clip.dice > 0.96
    assert (clip.found, clip.nodules, clip.to_first_detection, clip.from_first_nodule) == (4, 4, 0, 4)
    assert (clip.flicker, clip.truth_flicker, clip.changes, clip.pairs) == (0.0, 0.0, 0, 3)
    assert clip.alarms_marked == clip.alarms_unmarked == 0


def test_first_detection_counts_from_the_first_frame_that_shows_the_nodule():
    scenes = [([], 0), ([NODULE], 0), ([NODULE], 1), ([NODULE], 1), ([NODULE], 1)]
    # The nodule is marked from the third frame on, and found on the fifth; what was found before is no detection of it.
    seen, unseen = ([item for _, item in followed("a", scenes, score)] for score in (0.9, 0.2))
    clip = score_clip("a", [*seen[:2], *unseen[2:4], seen[4]])
    assert (clip.to_first_detection, clip.from_first_nodule, clip.found, clip.nodules) == (2, 3, 1, 3)


def test_a_nodule_that_is_never_found_has_no_first_detection_and_counts_with_all_frames_left():
    never = scored("a", [([], 0), ([NODULE], 1), ([NODULE], 1), ([NODULE], 1)], score=0.2)
    at_once = scored("b", [([NODULE], 1)] * 2)
    without = scored("c", [([], 0)] * 2)
    assert (never.to_first_detection, never.found, without.to_first_detection) == (None, 0, None)
    figures = compute_sweep_figures([never, at_once, without], None)
    assert figures["frames_to_first_detection"].value == pytest.approx(3 / 2)
    assert (figures["clips_found"].value, figures["clips_found"].count) == (0.5, 2)


def test_an_outline_that_comes_and_goes_flickers():
    seen = [item for _, item in followed("a", [([NODULE], 1)] * 4)]
    lost = [item for _, item in followed("a", [([NODULE], 1)] * 4, score=0.2)]
    mixed = [seen[0], lost[1], seen[2], lost[3]]
    assert score_clip("a", mixed).changes == 3
    # A truth that jumps by as much as the outlines is seen in both figures.
    clip = scored("b", [([NODULE], 1), ([SHIFTED], 1), ([SHIFTED], 1)])
    assert clip.truth_flicker == pytest.approx(clip.flicker, abs=0.03)
    assert 0.3 < clip.flicker < 0.5
    assert clip.changes == 0


def test_flicker_is_over_pairs_in_which_the_truth_has_a_nodule():
    clip = scored("a", [([], 0), ([NODULE], 1), ([NODULE], 1), ([], 0), ([], 0)])
    assert (clip.pairs, clip.flicker) == (1, 0.0)
    assert np.isnan(scored("b", [([NODULE], 1), ([], 0)]).flicker)


def test_a_run_of_frames_with_false_positives_is_one_alarm():
    scenes = [([], 0), ([SPOT], 0), ([SPOT], 0), ([], 0), ([NODULE, SPOT], 1), ([SPOT], 0)]
    clip = scored("a", scenes)
    assert (clip.false_positives_marked, clip.false_positives_unmarked) == (1, 3)
    assert (clip.alarms_marked, clip.alarms_unmarked) == (1, 1)


def test_false_alarms_are_per_minute_with_a_rate_and_per_1000_frames_without():
    clips = [scored("a", [([SPOT], 0), ([], 0), ([NODULE], 1), ([NODULE], 1)]), scored("b", [([NODULE], 1)] * 4)]
    figures = compute_sweep_figures(clips, None)
    assert figures["false_alarms_per_1000_frames"].value == pytest.approx(1000 / 8)
    assert figures["false_alarms_unmarked_per_1000_frames"].value == pytest.approx(1000 / 2)
    assert figures["false_alarms_marked_per_1000_frames"].value == 0.0
    assert "false_alarms_per_minute" not in figures
    timed = compute_sweep_figures(clips, 20.0)
    assert timed["false_alarms_per_minute"].value == pytest.approx(60 * 20 / 8)
    assert timed["false_positives_per_unmarked_frame"].value == pytest.approx(1 / 2)


def test_intervals_resample_the_cases_of_the_clips():
    good, bad = scored("a", [([NODULE], 1)] * 3), scored("b", [([NODULE], 1)] * 3, score=0.2)
    apart = compute_sweep_figures([good, bad], None)["clips_found"]
    assert (apart.value, apart.low, apart.high) == (0.5, 0.0, 1.0)
    of_one_case = [good, dataclasses.replace(bad, case="a")]
    together = compute_sweep_figures(of_one_case, None)["clips_found"]
    assert (together.value, together.low, together.high) == (0.5, 0.5, 0.5)


def test_the_report_holds_frames_clips_and_the_worst_tiles():
    sweeps = Sweeps(0.5)
    sweeps.take("a", followed("a", [([NODULE], 1), ([SHIFTED], 1), ([SPOT], 0)]))
    sweeps.take("b", followed("b", [([NODULE], 1)] * 3, score=0.2))
    report = sweep_report(sweeps, None, "clip")
    assert report["counts"]["clips"] == report["counts"]["clips_with_nodule"] == 2
    assert report["figures"]["dice_mean"].count == 5
    assert report["figures"]["dice_mean"].value == pytest.approx(2 / 5, abs=0.02)
    assert report["figures"]["sensitivity"].value == pytest.approx(2 / 5)
    assert report["figures"]["ece"].count == 6  # all detections, those below the threshold too
    assert [clip.clip for clip in report["clips"]] == ["a", "b"]
    rows = sweep_rows(sweeps, [])
    assert [(row["clip"], row["frame"]) for row in rows] == [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1), ("b", 2)]
    # One frame of a clip with mask and one without; where several are as bad, the first.
    names = [tile.caption.split()[0] for tile in sweeps.tiles]
    assert names[0] == "b_0"
    assert names[-1] == "a_2"
    assert len(names) == 3


def test_one_scan_area_is_used_for_all_frames_of_a_clip():
    scenes = [([NODULE], 1)] * 3
    dark = dataclasses.replace(frame("a_3", [NODULE]), image=np.zeros((360, 560), np.uint8))
    frames = [frame(f"a_{number}", shown) for number, (shown, _) in enumerate(scenes)] + [dark]
    area = settle_area([item.image for item in frames])
    outcomes = list(run_frames(bright_ellipse_engine(0.9), SIZE_HW_PX, LABELS, frames, area=area))
    assert {outcome.scan_xyxy_px for outcome in outcomes} == {area.xyxy_px}
    assert all(outcome.cropped for outcome in outcomes)
    alone = list(run_frames(bright_ellipse_engine(0.9), SIZE_HW_PX, LABELS, [dark]))
    assert alone[0].scan_xyxy_px != area.xyxy_px
