"""Nodules of clips one by one: identities that a tracker gives, sizes in mm, and the first detection."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from tests.unit.evaluation.scenes import LABELS, SIZE_HW_PX, bright_ellipse_engine, frame
from usassist.evaluation import run_frames
from usassist.evaluation.association import identify
from usassist.evaluation.mask_identities import IdentitiesFrom
from usassist.evaluation.run import settle_area
from usassist.evaluation.sweep_figures import follow_clip
from usassist.evaluation.sweep_nodules import FrameNodules, NoduleInView, find_first_detections, first_detection_figures
from usassist.evaluation.sweep_report import Sweeps, sweep_report, sweep_rows
from usassist.evaluation.sweep_table import print_clips, print_nodules
from usassist.evaluation.truth import NoduleSize, Scale

A, B = (200, 150, 40, 30), (380, 220, 40, 30)
MM = 0.1


class FixedIds:
    """A tracker that gives the ids it was made with, frame by frame, to findings from left to right."""

    def __init__(self, *ids):
        self._ids = list(ids)
        self.times, self.resets = [], 0

    def update(self, shown, image, t_s):
        self.times.append(t_s)
        given = np.array(self._ids.pop(0), np.int32)
        track = np.empty(len(shown), np.int32)
        track[np.argsort(shown.xyxy_px[:, 0])] = given
        return track

    def reset(self):
        self.resets += 1


def labelled(name, scenes, *, scale=None, sizes=None):
    frames = []
    for number, shown in enumerate(scenes):
        one = frame(f"{name}_{number}", [ellipse for ellipse, _ in shown])
        identity = np.zeros(one.truth.shape, np.uint8)
        for ellipse, value in shown:
            identity[frame("x", [ellipse]).truth] = value
        of_frame = None if sizes is None else tuple(sizes[value] for _, value in shown)
        frames.append(dataclasses.replace(one, case=name, identity=identity, scale=scale, sizes=of_frame))
    return frames


def outcomes_of(frames, score=0.9, sd=0.1):
    area = settle_area([one.image for one in frames])
    return run_frames(bright_ellipse_engine(score), SIZE_HW_PX, LABELS, frames, area=area, diameter_rel_sd=sd)


def report_of(*clips):
    sweeps = Sweeps(0.5)
    for name, outcomes, count in clips:
        sweeps.take(name, follow_clip(outcomes, range(count), 0.5), IdentitiesFrom.VALUES)
    return sweep_report(sweeps, None, "clip"), sweeps


def test_ids_of_a_tracker_give_switches_and_the_times_of_the_frames():
    pytest.importorskip("trackers.eval", reason="trackers is not installed (extra `eval`)")
    both = [(A, 1), (B, 2)]
    tracker = FixedIds([1, 2], [1, 2], [2, 1], [2, 1])
    frames = labelled("a", [both] * 4)
    kept = FixedIds([4, 5], [4, 5])
    report, sweeps = report_of(
        ("a", identify(outcomes_of(frames), tracker, 20.0), 4),
        ("b", identify(outcomes_of(labelled("b", [both] * 2)), kept, 20.0), 2),
    )
    assert tracker.times == pytest.approx([0.0, 0.05, 0.1, 0.15])
    first, second = (clip.identity for clip in report["clips"])
    assert (first.tracks, first.switches, first.transfers, first.fragmentations) == (2, 2, 2, 0)
    assert (second.switches, second.idf1) == (0, 1.0)
    assert first.idf1 == pytest.approx(0.5)
    figures = report["figures"]
    assert (figures["clips_without_switch"].value, figures["switches_per_clip"].value) == (0.5, 1.0)
    assert report["identities"] == {"told_by": {IdentitiesFrom.VALUES: 2}, "tracked": 2, "library": True}
    row = sweep_rows(sweeps, [])[0]
    assert (row["identities"], sorted(row["tracks"].split())) == ("1 2", ["1", "2"])


def test_without_a_tracker_there_is_no_count_of_switches():
    report, sweeps = report_of(("a", outcomes_of(labelled("a", [[(A, 1)]] * 3)), 3))
    assert report["clips"][0].identity is None
    assert "switches_per_clip" not in report["figures"]
    assert report["identities"]["tracked"] == 0
    assert sweep_rows(sweeps, [])[0]["tracks"] == ""


def test_without_the_library_switches_are_counted_and_the_rest_is_left_out(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "trackers", None)
    monkeypatch.setitem(__import__("sys").modules, "trackers.eval", None)
    tracker = FixedIds([1], [2])
    report, _ = report_of(("a", identify(outcomes_of(labelled("a", [[(A, 1)]] * 2)), tracker, 10.0), 2))
    assert report["clips"][0].identity.switches == 1
    assert report["clips"][0].identity.hota is None
    assert report["identities"]["library"] is False
    assert "hota" not in report["figures"]


def test_a_clip_without_a_nodule_counts_nothing():
    report, _ = report_of(("a", identify(outcomes_of(labelled("a", [[], []])), FixedIds([], []), 10.0), 2))
    clip = report["clips"][0]
    assert (clip.identity.tracks, clip.identity.followed, clip.first_detections, clip.sizes) == (0, 0, (), None)
    assert clip.identity.idf1 is None or np.isnan(clip.identity.idf1)


def test_a_nodule_is_not_tracked_where_the_engine_abstains_which_the_tracker_does_not_see():
    outcomes = list(outcomes_of(labelled("a", [[(A, 1)]] * 3)))
    empty = dataclasses.replace(
        outcomes[1],
        abstained=True,
        labelmap=np.zeros_like(outcomes[1].labelmap),
        score=np.empty(0),
        box_xyxy_px=np.empty((0, 4)),
        diameter_px=np.empty(0),
        size=None,
    )
    tracker = FixedIds([1], [1])
    report, _ = report_of(("a", identify([outcomes[0], empty, outcomes[2]], tracker, 10.0), 3))
    clip = report["clips"][0]
    assert (tracker.resets, tracker.times) == (0, [0.0, 0.2])
    assert (clip.abstained_with_nodule, clip.identity.switches, clip.identity.fragmentations) == (1, 0, 1)


def test_the_tracker_is_reset_where_the_image_is_another_one():
    frames = labelled("a", [[(A, 1)]] * 3)
    other = dataclasses.replace(frames[2], image=np.ascontiguousarray(frames[2].image[:, ::-1]))
    tracker = FixedIds([1], [1], [1])
    list(identify(outcomes_of([*frames[:2], other]), tracker, 10.0))
    assert tracker.resets == 1


def test_a_touching_pair_of_numbered_nodules_are_two():
    near = (278, 150, 40, 30)
    frames = labelled("a", [[(A, 1), (near, 2)]] * 2)
    tally = next(iter(follow_clip(outcomes_of(frames), range(2), 0.5)))[1].tally
    assert tally.identity.tolist() == [1, 2]
    assert len(tally.nodule_px) == 2


def test_sizes_in_mm_are_compared_where_there_is_a_scale():
    truth = {
        1: NoduleSize(identity=1, major_mm=8.0, is_cut=False),
        2: NoduleSize(identity=2, major_mm=2.0, is_cut=False),
    }
    scale = Scale(spacing_rc_mm=(MM, MM), rel_sd=0.01)
    frames = labelled("a", [[(A, 1), (B, 2)]] * 2, scale=scale, sizes=truth)
    report, sweeps = report_of(("a", outcomes_of(frames), 2))
    sizes = report["clips"][0].sizes
    assert sizes.count == 4
    assert sizes.coverage == 0.5  # the interval holds 8 mm of the first, and not 2 mm of the second
    figures = report["figures"]
    assert figures["diameter_u95_coverage"].value == 0.5
    assert figures["diameter_u95_rel"].value == pytest.approx(2.0 * np.hypot(0.1, 0.01), rel=0.05)
    assert sweep_rows(sweeps, [])[0]["truth_mm"].split() in (["8.00", "2.00"], ["2.00", "8.00"])
    assert [one.identity for one in report["clips"][0].first_detections] == [1], "the other one is less than 5 mm"


def test_a_cut_nodule_has_no_size_to_compare():
    truth = {1: NoduleSize(identity=1, major_mm=8.0, is_cut=True)}
    frames = labelled("a", [[(A, 1)]] * 2, scale=Scale(spacing_rc_mm=(MM, MM), rel_sd=0.01), sizes=truth)
    report, _ = report_of(("a", outcomes_of(frames), 2))
    assert report["clips"][0].sizes.count == 0
    assert report["clips"][0].first_detections == ()


def test_without_a_scale_or_the_uncertainty_of_the_engine_there_are_no_mm():
    truth = {1: NoduleSize(identity=1, major_mm=8.0, is_cut=False)}
    for frames, sd in (
        (labelled("a", [[(A, 1)]] * 2, sizes=truth), 0.1),
        (labelled("a", [[(A, 1)]] * 2, scale=Scale(spacing_rc_mm=(MM, MM), rel_sd=0.01), sizes=truth), None),
    ):
        report, _ = report_of(("a", outcomes_of(frames, sd=sd), 2))
        assert report["clips"][0].sizes is None
        assert "diameter_u95_coverage" not in report["figures"]


def shown(*states):
    """One nodule over frames: w = whole and 5 mm, s = smaller or cut; capital = found; - = out of view."""
    return [
        FrameNodules(
            in_view=()
            if state == "-"
            else (NoduleInView(identity=1, is_found=state.isupper(), is_whole=state.lower() == "w"),)
        )
        for state in states
    ]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("ssWw", (0, 2)),
        ("ssww-wW", (3, 4)),
        ("sSww", (0, 2)),  # found before it was 5 mm
        ("swws", (None, 3)),
        ("swwS", (2, 3)),
        ("sSs-", None),  # never 5 mm
        ("--", None),
    ],
)
def test_first_detection_counts_the_frames_that_show_a_nodule_from_full_view_on(states, expected):
    found = find_first_detections(shown(*states))
    assert [(one.frames, one.from_whole) for one in found] == ([] if expected is None else [expected])


def test_a_nodule_that_is_never_found_counts_with_all_frames_left():
    (never,), (at_once,) = (find_first_detections(shown(*states)) for states in ("wwww", "Wwww"))
    figures = first_detection_figures([("a", never), ("b", at_once)])
    assert figures["nodules_of_5mm_found"].value == 0.5
    assert figures["frames_to_detection_of_5mm"].value == 2.0


def printed(clips, *, library=True, width=40):
    console = Console(file=io.StringIO(), width=width)
    print_clips(console, clips, None)
    print_nodules(console, clips, library=library)
    return console.file.getvalue()


def test_a_narrow_console_leaves_no_number_and_no_name_out():
    truth = {1: NoduleSize(identity=1, major_mm=8.0, is_cut=False)}
    frames = labelled("a_long_name", [[(A, 1)]] * 3, scale=Scale(spacing_rc_mm=(MM, MM), rel_sd=0.01), sizes=truth)
    report, _ = report_of(("a_long_name", identify(outcomes_of(frames), FixedIds([1], [2], [2]), 10.0), 3))
    text = printed(report["clips"])
    assert text.count("a_long_name") == 3  # clips, identities, sizes
    assert "…" not in text
    row = next(line.split() for line in text.partition("identities")[2].splitlines() if "a_long_name" in line)
    assert row[1:5] == ["2", "1", "0", "0"]
    sizes = next(line.split() for line in text.partition("sizes")[2].splitlines() if "a_long_name" in line)
    assert (sizes[1:3], sizes[-1]) == (["0", "3"], "3/3")
    assert "not tracked" not in text


def test_what_is_not_known_is_said():
    report, _ = report_of(("a", outcomes_of(labelled("a", [[(A, 1)]] * 2)), 2))
    text = " ".join(printed(report["clips"], library=False, width=200).split())
    assert "identities: not tracked" in text
    assert "nothing is measured in mm" in text
    tracked, _ = report_of(("a", identify(outcomes_of(labelled("a", [[(A, 1)]] * 2)), FixedIds([1], [1]), 10.0), 2))
    text = " ".join(printed(tracked["clips"], library=False, width=200).split())
    assert "IDF1 and HOTA need the library trackers; run: pip install 'usassist[eval]'" in text
