"""What a recorded sweep comes to, on sweeps whose truth is known."""

from __future__ import annotations

import json
import math
from pathlib import Path

import msgspec
import pytest

from tests.samples import ENGINE
from tests.sweeps import Moment, Shown, mark, record_sweep
from usassist.bus import MarkKind, Plane, Side
from usassist.errors import SessionError, UsageError
from usassist.records import Cause, SignalState
from usassist.session import open_session
from usassist.session.summary import SweepDocument, parse_same, read_earlier, summarise
from usassist.session.summary.categories import describe_categories
from usassist.session.summary.cuts import find_cuts
from usassist.session.summary.parts import Section
from usassist.session.summary.planes import find_planes
from usassist.session.summary.seen import read_sweep

CONFIRMED = {
    "composition": ("solid",),
    "echogenicity": ("hypoechoic",),
    "shape": ("wider",),
    "margin": ("smooth",),
    "foci": ("none",),
}
EMPTY = Moment()


def _summary(folder: Path, moments: list[Moment], *marks: object, **options: object) -> SweepDocument:
    return summarise(open_session(record_sweep(folder / "s", moments, marks)), **options)  # type: ignore[arg-type]


def _of(*nodules: Shown, **moment: object) -> Moment:
    return Moment(nodules=nodules, **moment)  # type: ignore[arg-type]


def test_every_nodule_has_its_frames_times_and_sizes(tmp_path: Path) -> None:
    one, two = Shown(track_id=1), Shown(track_id=2, center=(30, 90), axes=(10, 10))
    moments = [EMPTY, *[_of(one)] * 4, _of(one, two), *[_of(two)] * 5, EMPTY]
    document = _summary(tmp_path, moments)
    first, second = document.nodules
    assert (first.name, first.frames, first.first_frame_id, first.last_frame_id) == ("N1", 5, 1, 5)
    assert (second.name, second.frames, second.first_s, second.last_s) == ("N2", 6, 0.2, 0.4)
    assert document.identities_known
    assert not document.untracked
    longest = first.best.sizes["longest_diameter"]
    assert longest is not None
    assert longest.mm == pytest.approx(41 * 0.2, abs=0.15)
    assert 0 < (longest.u95_mm or 0) < longest.mm
    assert first.near_best.frames == 5
    assert first.near_best.sizes["ap"].median == pytest.approx(25 * 0.2, abs=0.05)
    assert [(item.first_s, item.last_s) for item in first.seen] == [(0.04, 0.24)]


def test_the_best_plane_is_the_largest_sharpest_most_certain(tmp_path: Path) -> None:
    def nodule(**changes: object) -> Shown:
        return Shown(track_id=1, **changes)  # type: ignore[arg-type]

    moments = [
        _of(nodule(axes=(14, 9))),
        _of(nodule(), blur_px=4),
        _of(nodule(score=0.4)),
        _of(nodule()),
        _of(nodule(axes=(16, 10))),
    ]
    (found,) = _summary(tmp_path, moments).nodules
    assert found.best.frame_id == 3
    assert found.best.plane_score.total == pytest.approx(0.9, abs=0.01)


def test_one_outline_that_is_far_too_large_is_not_the_best_plane_by_its_size(tmp_path: Path) -> None:
    usual = [_of(Shown(track_id=1, score=0.9))] * 19
    moments = [*usual, _of(Shown(track_id=1, axes=(60, 40), score=0.85))]
    (found,) = _summary(tmp_path, moments).nodules
    assert found.best.frame_id < 19


def test_a_frame_on_which_the_nodule_is_cut_is_chosen_only_where_there_is_no_other(tmp_path: Path) -> None:
    whole, cut = Shown(track_id=1, axes=(12, 9), score=0.5), Shown(track_id=1, axes=(30, 20), cut=True)
    (found,) = _summary(tmp_path, [*[_of(cut)] * 5, _of(whole)]).nodules
    assert (found.best.frame_id, found.best.cut, found.frames_cut) == (5, False, 5)
    (found,) = _summary(tmp_path / "all", [_of(cut)] * 5).nodules
    assert found.best.cut
    assert found.best.sizes["across"] is None
    assert found.best.ap_t is None
    longest = found.best.sizes["longest_diameter"]
    assert longest is not None
    assert longest.u95_mm is None
    assert found.near_best.frames == 0


def test_a_frame_that_is_not_live_is_neither_seen_nor_chosen(tmp_path: Path) -> None:
    nodule = Shown(track_id=1)
    frozen = Moment(nodules=(nodule,), picture=SignalState.FROZEN)
    document = _summary(tmp_path, [*[_of(nodule)] * 5, *[frozen] * 6, EMPTY])
    assert document.nodules[0].frames == 5
    assert document.unseen.not_live[0].name == "frozen"
    assert document.unseen.not_live[0].seconds == pytest.approx(6 * 0.04)
    assert {item.kind for item in document.unseen.timeline} == {"answered", "not_live"}


def test_two_marked_planes_give_three_diameters_and_a_volume(tmp_path: Path) -> None:
    wide, long = Shown(track_id=1, axes=(20, 12)), Shown(track_id=1, axes=(26, 12))
    moments = [*[_of(wide)] * 5, *[_of(long)] * 5]
    marks = (
        mark(0, MarkKind.PLANE, plane=Plane.TRANSVERSE, side=Side.RIGHT),
        mark(5, MarkKind.PLANE, plane=Plane.LONGITUDINAL, side=Side.RIGHT),
    )
    (found,) = _summary(tmp_path, moments, *marks).nodules
    assert found.dimensions is not None
    length, width, depth = 53 * 0.2, 41 * 0.2, 25 * 0.2
    volume = math.pi / 6 * length * width * depth / 1000
    assert found.dimensions.length_mm.value == pytest.approx(length, abs=0.15)
    assert found.dimensions.volume_ml.value == pytest.approx(volume, rel=0.02)
    assert found.dimensions.volume_ml.u95 == pytest.approx(volume * 0.32, rel=0.15)  # three times the diameters' 10.2 %
    assert found.sides == ("right",)
    assert found.transverse is not None
    assert found.transverse.ap_t is not None
    assert found.transverse.ap_t.verdict == "wider"
    assert found.longitudinal is not None
    assert found.longitudinal.ap_t is not None
    assert found.longitudinal.ap_t.verdict == "not_transverse"


def _both_planes(folder: Path, axes: tuple[int, int], length: int, track_id: int = 1) -> Path:
    """A sweep with a nodule in both planes."""
    wide, long = Shown(track_id=track_id, axes=axes), Shown(track_id=track_id, axes=(length, axes[1]))
    marks = (mark(0, MarkKind.PLANE, plane=Plane.TRANSVERSE), mark(5, MarkKind.PLANE, plane=Plane.LONGITUDINAL))
    return record_sweep(folder, [*[_of(wide)] * 5, *[_of(long)] * 5], marks)


@pytest.mark.parametrize(
    ("axes", "length", "state"), [((36, 30), 45, "grown"), ((18, 11), 23, "not_grown"), ((20, 12), 26, "uncertain")]
)
def test_growth_is_judged_against_the_nodule_that_a_person_names(
    tmp_path: Path, axes: tuple[int, int], length: int, state: str
) -> None:
    before = tmp_path / "before.json"
    before.write_bytes(msgspec.json.encode(summarise(open_session(_both_planes(tmp_path / "a", (20, 12), 26, 4)))))
    session = open_session(_both_planes(tmp_path / "b", axes, length))
    (found,) = summarise(session, earlier=read_earlier(before, {1: 4})).nodules
    assert found.growth is not None
    assert (found.growth.earlier_name, found.growth.missing) == ("N4", "")
    assert found.growth.length_ratio == pytest.approx((2 * length + 1) / 53, rel=0.03)
    assert found.growth.state == state
    (alone,) = summarise(session).nodules
    assert alone.growth is None


def test_growth_without_three_diameters_is_not_judged(tmp_path: Path) -> None:
    before = tmp_path / "before.json"
    before.write_bytes(msgspec.json.encode(summarise(open_session(_both_planes(tmp_path / "a", (20, 12), 26)))))
    session = open_session(record_sweep(tmp_path / "b", [_of(Shown(track_id=1))] * 6))
    (found,) = summarise(session, earlier=read_earlier(before, {1: 1})).nodules
    assert found.growth is not None
    assert (found.growth.missing, found.growth.state, found.growth.volume_ratio) == ("now", None, None)


def test_an_earlier_report_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    folder = _both_planes(tmp_path / "a", (20, 12), 26)
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(msgspec.json.encode(summarise(open_session(folder))))
    bad.write_bytes(good.read_bytes()[:-20])
    for same, words in (({1: 7}, "does not list N7"), ({}, "no nodule is named")):
        with pytest.raises(UsageError, match=words):
            read_earlier(good, same)
    with pytest.raises(UsageError, match="no nodule N9 in this sweep"):
        summarise(open_session(folder), earlier=read_earlier(good, {9: 1}))
    with pytest.raises(SessionError, match="is no report of usassist"):
        read_earlier(bad, {1: 1})
    with pytest.raises(SessionError, match="cannot be read"):
        read_earlier(tmp_path / "none.json", {1: 1})
    other = json.loads(good.read_bytes()) | {"version": [2, 0]}
    bad.write_text(json.dumps(other))
    with pytest.raises(SessionError, match=r"usassist.report 2"):
        read_earlier(bad, {1: 1})


@pytest.mark.parametrize("text", ["", "1", "N1", "N1=", "=N1", "N1=N2=N3", "a=b", "N-1=N2"])
def test_what_does_not_name_two_nodules_is_refused(text: str) -> None:
    assert parse_same("n1 = N3") == parse_same("1=3") == (1, 3)
    with pytest.raises(UsageError, match="does not name two nodules"):
        parse_same(text)


def test_without_a_mark_the_plane_is_not_known_and_nothing_follows_from_it(tmp_path: Path) -> None:
    (found,) = _summary(tmp_path, [_of(Shown(track_id=1))] * 5).nodules
    assert found.best.ap_t is not None
    assert (found.best.plane, found.best.ap_t.verdict) == (None, "plane_not_marked")
    assert found.dimensions is None
    assert {item.name: item.basis for item in found.descriptors}["shape"] == "needs_clinician"


@pytest.mark.parametrize(
    ("between", "other", "holds"),
    [
        ([_of(Shown(track_id=1), other=True, follows=False)], True, False),
        ([Moment(cause=Cause.DROPPED, other=True), _of(Shown(track_id=1), other=True, follows=False)], True, False),
        ([Moment(picture=SignalState.FROZEN), _of(Shown(track_id=1), other=True, follows=False)], True, False),
        ([Moment(picture=SignalState.CHANGED)], False, False),
        ([Moment(picture=SignalState.FROZEN), _of(Shown(track_id=1), follows=False)], False, True),
        ([_of(Shown(track_id=1), follows=False)], False, True),
        ([_of(Shown(track_id=1), wait_ns=2_000_000_000, follows=False)], False, True),
    ],
    ids=[
        "cut",
        "cut at a dropped frame",
        "cut while frozen",
        "changed",
        "frozen",
        "association begins anew",
        "silence",
    ],
)
def test_a_plane_mark_holds_until_the_image_is_another_one(
    tmp_path: Path, between: list[Moment], other: bool, holds: bool
) -> None:
    moments = [*[_of(Shown(track_id=1))] * 5, *between, *[_of(Shown(track_id=1), other=other)] * 6]
    (found,) = _summary(tmp_path, moments, mark(2, MarkKind.PLANE, plane=Plane.TRANSVERSE)).nodules
    assert found.transverse is not None
    sweep = read_sweep(open_session(tmp_path / "s"))
    planes = find_planes(sweep.session.frames, sweep.marks, find_cuts(sweep))
    assert [item.plane for item in planes[:5]] == [None, None, "transverse", "transverse", "transverse"]
    assert {item.plane for item in planes[-6:]} == {"transverse" if holds else None}


def test_a_plane_that_is_marked_on_a_frozen_frame_is_that_of_the_last_live_one(tmp_path: Path) -> None:
    nodule = Shown(track_id=1)
    moments = [*[_of(nodule)] * 5, *[Moment(picture=SignalState.FROZEN)] * 5]
    (found,) = _summary(tmp_path, moments, mark(8, MarkKind.PLANE, plane=Plane.TRANSVERSE)).nodules
    assert found.transverse is not None
    assert found.transverse.frame_id == 4


def test_without_a_scale_there_are_px_and_no_millimetres_anywhere(tmp_path: Path) -> None:
    moments = [_of(Shown(track_id=1), scaled=False)] * 6
    marks = (
        mark(0, MarkKind.PLANE, plane=Plane.TRANSVERSE),
        mark(3, MarkKind.PLANE, plane=Plane.LONGITUDINAL),
        mark(3, MarkKind.DESCRIPTORS, track_id=1, descriptors=CONFIRMED),
    )
    document = _summary(tmp_path, moments, *marks)
    (found,) = document.nodules
    assert all(size is not None and size.mm is None and size.u95_mm is None for size in found.best.sizes.values())
    assert found.near_best.sizes["longest_diameter"].unit == "px"
    assert found.dimensions is None
    assert found.transverse is not None
    assert found.transverse.ap_t is not None
    assert found.transverse.ap_t.verdict == "no_scale"
    assert {item.state for category in found.categories for item in category.thresholds} == {"no_scale"}
    assert document.unseen.without_scale_frames == 6
    assert document.unseen.without_scale_s == pytest.approx(6 * 0.04)


def test_frames_with_a_scale_are_chosen_before_larger_ones_without(tmp_path: Path) -> None:
    moments = [*[_of(Shown(track_id=1, axes=(24, 14)), scaled=False)] * 5, _of(Shown(track_id=1))]
    (found,) = _summary(tmp_path, moments).nodules
    assert found.best.frame_id == 5


def test_without_identities_runs_of_findings_are_listed_and_no_nodule_is_made_up(tmp_path: Path) -> None:
    one, two = Shown(track_id=-1), Shown(track_id=-1, center=(30, 90), axes=(9, 9))
    moments = [_of(one), _of(one, two), EMPTY, _of(two), Moment(cause=Cause.DROPPED), _of(two), EMPTY]
    document = _summary(tmp_path, moments)
    assert not document.identities_known
    assert document.nodules == ()
    assert [(run.first_frame_id, run.last_frame_id, run.frames, run.most_at_once) for run in document.untracked] == [
        (0, 1, 2, 2),
        (3, 5, 2, 1),
    ]
    assert sum(run.frames for run in document.untracked) == document.unseen.finding_frames


def test_a_flood_of_outlines_is_counted_and_not_hidden(tmp_path: Path) -> None:
    nodule = Shown(track_id=1)
    flood = [_of(nodule, Shown(track_id=2 + i, center=(30, 30), axes=(8, 8), score=0.5)) for i in range(100)]
    document = _summary(tmp_path, flood)
    assert [item.name for item in document.nodules] == ["N1"]
    rest = document.not_listed
    assert (rest.identities, rest.seen_too_rarely, rest.frames, rest.beyond_most) == (100, 100, 100, 0)
    assert rest.track_ids == tuple(range(2, 102))
    every = summarise(open_session(tmp_path / "s"), least_frames=1)
    assert len(every.nodules) == 30
    assert every.nodules[0].name == "N1"  # seen on most frames
    assert (every.not_listed.identities, every.not_listed.beyond_most) == (71, 71)


def test_a_nodule_with_a_mark_of_its_own_is_listed_however_rarely_it_was_seen(tmp_path: Path) -> None:
    moments = [*[_of(Shown(track_id=1))] * 5, _of(Shown(track_id=2)), EMPTY]
    document = _summary(tmp_path, moments, mark(5, MarkKind.DESCRIPTORS, track_id=2, descriptors=CONFIRMED))
    assert [item.track_id for item in document.nodules] == [1, 2]


def test_descriptors_have_their_origin_and_only_confirmed_ones_lead_to_a_category(tmp_path: Path) -> None:
    moments = [*[_of(Shown(track_id=1, axes=(36, 20)))] * 5, EMPTY, EMPTY]
    earlier = mark(5, MarkKind.DESCRIPTORS, track_id=1, descriptors=CONFIRMED | {"margin": ("irregular",)})
    last = mark(6, MarkKind.DESCRIPTORS, track_id=1, descriptors=CONFIRMED)
    plain = summarise(open_session(record_sweep(tmp_path / "plain", moments))).nodules[0]
    assert plain.categories == ()
    origin = {item.name: item for item in plain.descriptors}
    assert {name: item.basis for name, item in origin.items()} == {
        "composition": "needs_clinician",
        "echogenicity": "estimated",
        "shape": "needs_clinician",
        "margin": "needs_clinician",
        "foci": "needs_clinician",
    }
    assert origin["echogenicity"].agreement == "kappa 0.40 (0.20 to 0.60), 9 nodules of 7 cases"
    assert (origin["echogenicity"].same_in_frames, origin["echogenicity"].described_frames) == (1.0, 5)
    (found,) = _summary(tmp_path, moments, earlier, last).nodules
    assert {item.basis for item in found.descriptors} == {"confirmed"}
    levels = {item.system_id: (item.level, item.points) for item in found.categories}
    assert levels == {"acr_2017": ("TR4", 4), "k_2021": ("K-TIRADS 4", None), "eu_2017": ("EU-TIRADS 4", None)}
    acr = found.categories[[item.system_id for item in found.categories].index("acr_2017")]
    states = {item.kind: (item.threshold_mm, item.state) for item in acr.thresholds}
    assert states == {"fna": (15.0, "within"), "follow_up": (10.0, "reached")}  # 14.6 mm, 13.1 to 16.1


def test_a_part_of_the_descriptors_gives_no_category_and_names_what_is_missing(tmp_path: Path) -> None:
    some = mark(5, MarkKind.DESCRIPTORS, track_id=1, descriptors={"composition": ("solid",)})
    (found,) = _summary(tmp_path, [*[_of(Shown(track_id=1))] * 5, EMPTY], some).nodules
    for category in found.categories:
        assert category.level is None
        assert category.missing == ("echogenicity", "shape", "margin", "foci")
        assert category.thresholds == ()


def test_words_that_this_version_does_not_have_give_no_category(tmp_path: Path) -> None:
    strange = mark(5, MarkKind.DESCRIPTORS, track_id=1, descriptors=CONFIRMED | {"margin": ("woolly",)})
    (found,) = _summary(tmp_path, [*[_of(Shown(track_id=1))] * 5, EMPTY], strange).nodules
    assert {item.level for item in found.categories} == {None}
    assert all("woolly" in item.reason for item in found.categories)


@pytest.mark.parametrize(
    ("mm", "u95_mm", "fna"),
    [(17.0, 2.0, "reached"), (17.0, 2.1, "within"), (13.0, 1.9, "not_reached"), (13.0, 2.0, "within")],
)
def test_a_threshold_is_reached_only_where_the_whole_interval_lies_beyond_it(
    tmp_path: Path, mm: float, u95_mm: float, fna: str
) -> None:
    (found,) = _summary(
        tmp_path,
        [*[_of(Shown(track_id=1))] * 5, EMPTY],
        mark(5, MarkKind.DESCRIPTORS, track_id=1, descriptors=CONFIRMED),
    ).nodules
    longest = found.best.sizes["longest_diameter"]
    assert longest is not None
    size = msgspec.structs.replace(longest, mm=mm, u95_mm=u95_mm)
    section: Section = msgspec.structs.replace(found.best, sizes={"longest_diameter": size})
    session = open_session(tmp_path / "s")
    acr = next(item for item in describe_categories(session.marks[-1], section) if item.system_id == "acr_2017")
    assert {item.kind: item.state for item in acr.thresholds}["fna"] == fna  # at least 15 mm


def test_what_was_not_seen_is_counted_by_cause_and_in_seconds(tmp_path: Path) -> None:
    moments = [
        _of(Shown(track_id=1)),
        EMPTY,
        Moment(cause=Cause.DROPPED),
        Moment(cause=Cause.DROPPED),
        Moment(cause=Cause.OUT_OF_DOMAIN),
        Moment(result=False),
        Moment(gap=3),
        Moment(wait_ns=1_000_000_000),
        Moment(scaled=False),
    ]
    document = _summary(tmp_path, moments)
    unseen = document.unseen
    assert {item.name: item.frames for item in unseen.no_result} == {
        "dropped": 2,
        "out_of_domain": 1,
        "result_lost": 1,
    }
    assert (unseen.answered_frames, unseen.finding_frames, unseen.no_finding_frames) == (5, 1, 4)
    assert (unseen.abstained_frames, unseen.abstained_s) == (1, 0.04)
    assert (unseen.frames_lost, unseen.results_lost) == (3, 1)
    assert unseen.without_frames_s == pytest.approx(0.12 + 1.0)
    assert document.sweep.length_s == pytest.approx(9 * 0.04 + 0.12 + 1.0)
    assert sum(item.last_s - item.first_s for item in unseen.timeline) == pytest.approx(document.sweep.length_s)
    assert [(item.kind, item.frames) for item in unseen.scale] == [("scale_by_ruler", 8), ("none", 1)]
    assert unseen.scale[0].spacing_u95_percent == 2.0


def test_with_what_it_was_made_is_in_it_and_no_path_or_name_of_a_machine(tmp_path: Path) -> None:
    document = _summary(tmp_path, [_of(Shown(track_id=1))] * 5)
    made = document.provenance
    assert made.engines[0]["engine_id"] == ENGINE.engine_id
    assert made.engines[0]["precision"] == "fp32"
    assert made.point is not None
    assert made.point["sensitivity"] == 0.95
    assert made.scores_calibrated
    assert made.versions["usassist"] == "0.1.0"
    assert document.sweep.session_id == "20260101T000000Z-000000"
    assert made.association is None


def test_marks_are_listed_with_their_times(tmp_path: Path) -> None:
    marks = (mark(1, MarkKind.MISSED), mark(2, MarkKind.WRONG), mark(3, MarkKind.BOOKMARK))
    document = _summary(tmp_path, [_of(Shown(track_id=1))] * 5, *marks)
    assert [(item.kind, item.frame_id, item.t_s) for item in document.marks] == [
        ("missed", 1, 0.04),
        ("wrong", 2, 0.08),
        ("bookmark", 3, 0.12),
    ]


def test_the_same_session_gives_the_same_document(tmp_path: Path) -> None:
    first = _summary(tmp_path, [_of(Shown(track_id=1), Shown(track_id=2, center=(30, 90), axes=(9, 9)))] * 6)
    assert summarise(open_session(tmp_path / "s")) == first


def test_a_session_that_is_not_closed_is_refused(killed: Path) -> None:
    with pytest.raises(SessionError, match="session repair"):
        summarise(open_session(killed))


def test_a_session_that_is_still_being_recorded_is_refused(tmp_path: Path) -> None:
    folder = record_sweep(tmp_path / "s", [EMPTY] * 3)
    manifest = folder / "session.toml"
    manifest.write_text(manifest.read_text().replace('recording = "closed"', 'recording = "running"'))
    with pytest.raises(SessionError, match="still being recorded"):
        summarise(open_session(folder))


@pytest.mark.parametrize("file", ["results.jsonl", "bus.log", "frames.nut"])
def test_a_damaged_session_is_refused_and_the_way_on_is_named(tmp_path: Path, file: str) -> None:
    folder = record_sweep(tmp_path / "s", [_of(Shown(track_id=1))] * 6)
    path = folder / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = b"x" * 40
    path.write_bytes(bytes(content))
    with pytest.raises(SessionError, match="usassist session repair"):
        summarise(open_session(folder))


def test_a_session_without_frames_is_refused(tmp_path: Path) -> None:
    folder = record_sweep(tmp_path / "s", [])
    with pytest.raises(SessionError, match="no frames"):
        summarise(open_session(folder))


def test_the_least_number_of_frames_is_one(tmp_path: Path) -> None:
    folder = record_sweep(tmp_path / "s", [EMPTY])
    with pytest.raises(UsageError, match="1 or more"):
        summarise(open_session(folder), least_frames=0)
