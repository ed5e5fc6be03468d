"""Clips drawn by hand, of which is known what happens to the identities."""

from __future__ import annotations

import numpy as np
import pytest

from usassist.errors import UsageError
from usassist.evaluation.identity import IdentityFrame, count_identities, identity_figures
from usassist.evaluation.metrics import iou, label_overlaps

A, B = 1, 2


def seen(*nodules, overlap=1.0):
    """A frame: (nodule, track that is on it); track None = missed, -1 = found without a track."""
    found = [(row, track) for row, (_, track) in enumerate(nodules) if track is not None]
    matrix = np.zeros((len(found), len(nodules)))
    for number, (row, _) in enumerate(found):
        matrix[number, row] = overlap
    return IdentityFrame(
        nodule=np.array([nodule for nodule, _ in nodules], np.int64),
        track=np.array([track for _, track in found], np.int64),
        overlap=matrix,
    )


def counted(*frames, with_library=False):
    return count_identities(frames, with_library=with_library)


def test_a_nodule_under_one_id_has_no_switch():
    counts = counted(*[seen((A, 7))] * 4)
    assert (counts.nodules, counts.tracks, counts.tracked, counts.followed) == (1, 1, 4, 1)
    assert (counts.switches, counts.transfers, counts.fragmentations) == (0, 0, 0)


def test_two_nodules_that_exchange_their_ids_are_two_switches_and_two_transfers():
    counts = counted(seen((A, 1), (B, 2)), seen((A, 1), (B, 2)), seen((A, 2), (B, 1)), seen((A, 2), (B, 1)))
    assert (counts.switches, counts.transfers, counts.fragmentations) == (2, 2, 0)


def test_a_gap_in_view_is_a_fragmentation_and_under_a_new_id_a_switch_too():
    same = counted(seen((A, 1)), seen((A, None)), seen((A, None)), seen((A, 1)))
    assert (same.switches, same.fragmentations) == (0, 1)
    new = counted(seen((A, 1)), seen((A, None)), seen((A, 2)), seen((A, None)), seen((A, 2)))
    assert (new.switches, new.fragmentations) == (1, 2)


def test_a_nodule_that_leaves_and_comes_back_is_no_fragmentation_and_under_a_new_id_a_switch():
    away = seen()
    assert counted(seen((A, 1)), away, seen((A, 1))).switches == 0
    back = counted(seen((A, 1)), seen((A, None)), away, seen((A, None)), seen((A, 2)))
    assert (back.switches, back.transfers, back.fragmentations) == (1, 0, 0)


def test_a_nodule_that_is_lost_for_good_is_neither():
    counts = counted(seen((A, 1)), seen((A, None)), seen((A, None)))
    assert (counts.tracked, counts.followed, counts.switches, counts.fragmentations) == (1, 0, 0, 0)


def test_another_nodule_that_inherits_the_id_is_a_transfer_and_no_switch():
    counts = counted(seen((A, 1)), seen((A, 1)), seen((B, 1)), seen((B, 1)))
    assert (counts.tracks, counts.switches, counts.transfers) == (1, 0, 1)


def test_a_detection_without_a_track_does_not_carry_an_identity():
    counts = counted(seen((A, 1)), seen((A, -1)), seen((A, 1)))
    assert (counts.tracked, counts.tracks, counts.switches, counts.fragmentations) == (2, 1, 0, 1)
    assert counted(seen((A, -1), (B, -1)), seen((A, -1), (B, -1))).followed == 0


def test_less_overlap_than_that_of_a_found_nodule_is_no_match():
    assert counted(*[seen((A, 1), overlap=0.29)] * 3).tracked == 0
    assert counted(*[seen((A, 1), overlap=0.31)] * 3).tracked == 3


def test_a_pair_goes_on_while_it_overlaps_although_another_overlaps_more():
    first = IdentityFrame(nodule=np.array([A]), track=np.array([1]), overlap=np.array([[0.8]]))
    both = IdentityFrame(nodule=np.array([A]), track=np.array([1, 2]), overlap=np.array([[0.4], [0.6]]))
    gone = IdentityFrame(nodule=np.array([A]), track=np.array([1, 2]), overlap=np.array([[0.2], [0.6]]))
    assert counted(first, both, both).switches == 0
    assert counted(first, both, gone).switches == 1


def test_nothing_at_all_and_clips_without_nodules_have_no_figures():
    empty = counted(seen(), seen())
    assert (empty.nodules, empty.followed) == (0, 0)
    false = IdentityFrame(nodule=np.zeros(0, np.int64), track=np.array([4]), overlap=np.zeros((1, 0)))
    figures = identity_figures([("a", empty), ("b", counted(false, false))])
    assert figures["clips_without_switch"].count == 0
    assert np.isnan(figures["switches_per_clip"].value)


def test_an_id_that_comes_twice_on_a_frame_is_refused():
    with pytest.raises(ValueError, match="track comes twice"):
        seen((A, 3), (B, 3))
    with pytest.raises(ValueError, match="nodule comes twice"):
        seen((A, 3), (A, 4))
    with pytest.raises(ValueError, match="overlap must be"):
        IdentityFrame(nodule=np.array([1]), track=np.array([1, 2]), overlap=np.zeros((1, 1)))


def test_figures_are_of_the_clips_in_which_a_nodule_is_followed():
    good = counted(*[seen((A, 1))] * 3)
    bad = counted(seen((A, 1)), seen((A, 2)), seen((A, 3)), seen((A, None)), seen((A, 3)))
    never = counted(*[seen((A, None))] * 3)
    figures = identity_figures([("a", good), ("b", bad), ("c", never)])
    assert {name: figure.value for name, figure in figures.items()} == {
        "clips_without_switch": 0.5,
        "switches_per_clip": 1.0,
        "transfers_per_clip": 0.0,
        "fragmentations_per_clip": 0.5,
    }
    assert (figures["switches_per_clip"].low, figures["switches_per_clip"].high) == (0.0, 2.0)
    assert figures["switches_per_clip"].count == 2


def test_label_maps_give_the_overlaps_of_their_regions():
    truth, found = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    truth[2:10, 2:10], truth[2:10, 20:28] = 5, 3
    found[2:10, 4:12], found[12:15, 2:10] = 1, 2
    frame = IdentityFrame.of_labelmaps(truth, found, [9, -1, 11])  # the third has no pixel
    assert frame.nodule.tolist() == [3, 5]
    assert frame.track.tolist() == [9, -1, 11]
    expected = [[iou(found == one, truth == other) for other in (3, 5)] for one in (1, 2)] + [[0.0, 0.0]]
    assert np.allclose(frame.overlap, expected)
    assert label_overlaps(found, 2, truth, 0 + 5).shape == (2, 5)


def test_without_the_library_its_figures_are_missing_and_asking_for_them_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "trackers", None)
    monkeypatch.setitem(__import__("sys").modules, "trackers.eval", None)
    frames = [seen((A, 1))] * 2
    with pytest.raises(UsageError, match=r"trackers is needed.*pip install 'usassist\[eval\]'"):
        count_identities(frames)
    counts = count_identities(frames, with_library=False)
    assert counts.library is None
    assert "hota" not in identity_figures([("a", counts)])


def library():
    return pytest.importorskip("trackers.eval", reason="trackers is not installed (extra `eval`)")


def test_idf1_of_known_clips():
    library()

    def idf1(*frames):
        return identity_figures([("a", counted(*frames, with_library=True))])["idf1"].value

    assert idf1(*[seen((A, 1), (B, 2))] * 4) == 1.0
    assert idf1(*[seen((A, 1))] * 3, *[seen((A, 2))] * 3) == 0.5  # half of the sightings have the right identity
    assert idf1(*[seen((A, 1))] * 3, seen((A, None))) == pytest.approx(6 / 7)
    assert idf1(*[seen((A, -1))] * 4) == 0.25  # each detection is a track of one frame
    assert idf1(*[seen((A, None))] * 4) == 0.0


def test_hota_of_known_clips():
    library()

    def figures(*frames):
        found = identity_figures([("a", counted(*frames, with_library=True))])
        return tuple(found[name].value for name in ("hota", "det_a", "ass_a"))

    assert figures(*[seen((A, 1), (B, 2))] * 4) == (1.0, 1.0, 1.0)
    # All are detected; each of the two tracks shares half of the nodule's sightings.
    assert figures(*[seen((A, 1))] * 3, *[seen((A, 2))] * 3) == pytest.approx((0.5**0.5, 1.0, 0.5))
    # IoU 0.5 passes the ten thresholds from 0.05 to 0.5 of nineteen.
    assert figures(*[seen((A, 1), overlap=0.5)] * 4) == pytest.approx((10 / 19, 10 / 19, 10 / 19))
    assert np.isnan(figures(seen(), seen())).all()


def random_clip(seed):
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(40):
        nodule = np.flatnonzero(rng.random(3) < 0.9) + 1
        track = np.flatnonzero(rng.random(4) < 0.8) + 1
        nodule, track = (ids if len(ids) else np.array([1]) for ids in (nodule, track))
        frames.append(IdentityFrame(nodule=nodule, track=track, overlap=rng.random((len(track), len(nodule))) ** 2))
    return frames


@pytest.mark.parametrize("seed", range(6))
def test_switches_are_those_of_the_library_where_every_frame_has_nodules_and_detections(seed):
    # One nodule in view, so that the library's best sum and the best overlap first are the same pairs.
    frames = [
        IdentityFrame(nodule=frame.nodule[:1], track=frame.track, overlap=frame.overlap[:, :1])
        for frame in random_clip(seed)
    ]
    theirs = library().compute_clear_metrics(
        [frame.nodule for frame in frames],
        [frame.track for frame in frames],
        [frame.overlap.T for frame in frames],
        0.3,
    )
    ours = counted(*frames)
    assert (ours.switches, ours.tracked) == (theirs["IDSW"], theirs["CLR_TP"])
    assert ours.switches > 0


def test_figures_of_several_clips_are_those_of_the_library_joined():
    trackers = library()
    clips = [random_clip(seed) for seed in (1, 2, 3)]
    figures = identity_figures([(str(n), count_identities(frames)) for n, frames in enumerate(clips)])
    arguments = [
        ([frame.nodule for frame in frames], [frame.track for frame in frames], [frame.overlap.T for frame in frames])
        for frames in clips
    ]
    hota = trackers.aggregate_hota_metrics([trackers.compute_hota_metrics(*one) for one in arguments])
    identity = trackers.aggregate_identity_metrics([trackers.compute_identity_metrics(*one, 0.3) for one in arguments])
    expected = {"hota": hota["HOTA"], "det_a": hota["DetA"], "ass_a": hota["AssA"], "idf1": identity["IDF1"]}
    for name, value in expected.items():
        assert figures[name].value == pytest.approx(value)
        assert figures[name].low <= value <= figures[name].high
