"""Whether a nodule keeps its identity over the frames of a clip: switches, transfers, gaps, IDF1 and HOTA.

Matching within a frame is by IoU of masks. Switches, transfers and gaps are counted here, at an IoU of 0.3, with the
correspondence of the frame before kept while it holds (CLEAR MOT: Bernardin and Stiefelhagen 2008, doi
10.1155/2008/246309). IDF1 (Ristani et al. 2016, doi 10.1007/978-3-319-48881-3_2) at an IoU of 0.3, and HOTA (Luiten et
al. 2021, doi 10.1007/s11263-020-01375-2) over its 19 thresholds from 0.05 to 0.95, are those of the library `trackers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.evaluation.extras import import_extra
from usassist.evaluation.figures import figure_of_sums
from usassist.evaluation.metrics import Figure, label_overlaps, match_overlaps
from usassist.evaluation.tally import MIN_IOU

__all__ = [
    "LIBRARY",
    "NOT_TRACKED",
    "IdentityCounts",
    "IdentityFrame",
    "LibraryCounts",
    "count_identities",
    "identity_figures",
]

Array = npt.NDArray[Any]

LIBRARY = "trackers.eval"
"""Module of the extra `eval` that has IDF1 and HOTA."""
NOT_TRACKED = -1
"""Track id of a detection that belongs to no track."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdentityFrame:
    """One frame with T nodules that have a known identity, and N detections.

    Attributes
    ----------
    nodule : int64 (T,), identity of each nodule in view; each once
    track : int64 (N,), track id of each detection; each once, or -1 = not tracked, any number of times
    overlap : float64 (N, T), IoU of every detection with every nodule
    """

    nodule: Array
    track: Array
    overlap: Array

    def __post_init__(self) -> None:
        """Check shapes, and that no identity comes twice."""
        if self.overlap.shape != (len(self.track), len(self.nodule)):
            raise ValueError(f"overlap must be {(len(self.track), len(self.nodule))}, got {self.overlap.shape}")
        tracked = self.track[self.track != NOT_TRACKED]
        for what, values in (("nodule", self.nodule), ("track", tracked)):
            if len(np.unique(values)) < len(values):
                raise ValueError(f"a {what} comes twice on one frame: {values.tolist()}")

    @classmethod
    def of_labelmaps(cls, truth: Array, found: Array, track: Sequence[int]) -> IdentityFrame:
        """From two label maps.

        Parameters
        ----------
        truth : integers (H, W), 0 = nothing, else the identity of a nodule
        found : integers (H, W), 0 = nothing, k = detection k - 1
        track : track id of each detection
        """
        nodule = np.unique(truth[truth > 0]).astype(np.int64)
        rows = np.searchsorted(nodule, truth) + 1
        overlap = label_overlaps(found, len(track), np.where(truth > 0, rows, 0), len(nodule))
        return cls(nodule=nodule, track=np.array(track, np.int64), overlap=overlap)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LibraryCounts:
    """What IDF1 and HOTA of a clip are made of; over several clips each is summed.

    Attributes
    ----------
    idtp, idfn, idfp : detections with the right identity, and what is missing and false
    tp, fn, fp : float64 (19,), of detection, at each threshold of HOTA
    ass : float64 (19,), association accuracy summed over the detections that are right
    """

    idtp: int
    idfn: int
    idfp: int
    tp: Array
    fn: Array
    fp: Array
    ass: Array

    @property
    def sums(self) -> Array:
        """All of them in a row, float64 (79,)."""
        return np.concatenate([[self.idtp, self.idfn, self.idfp], self.tp, self.fn, self.fp, self.ass])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IdentityCounts:
    """The identities of one clip.

    Attributes
    ----------
    nodules : number of nodules with an identity of their own
    tracks : number of track ids
    tracked : nodule sightings (nodules on frames) that are matched by a detection with a track
    followed : nodules that are tracked on two frames or more, so that they could have switched
    switches : times that a nodule is tracked under another id than the last time
    transfers : times that a track is on another nodule than the last time
    fragmentations : times that a nodule is tracked again after frames that show it without a track; frames on which it
        is out of view are no gap
    library : of IDF1 and HOTA; None where the library is not installed
    """

    nodules: int
    tracks: int
    tracked: int
    followed: int
    switches: int
    transfers: int
    fragmentations: int
    library: LibraryCounts | None


def count_identities(frames: Sequence[IdentityFrame], *, with_library: bool = True) -> IdentityCounts:
    """Count what happens to the identities of one clip.

    Parameters
    ----------
    frames : of the clip, in order
    with_library : False = without IDF1 and HOTA

    Raises
    ------
    UsageError
        If the library is wanted and not installed.
    """
    last_track: dict[int, int] = {}
    last_nodule: dict[int, int] = {}
    times: dict[int, int] = {}
    lost: set[int] = set()
    before: dict[int, int] = {}
    switches = transfers = fragmentations = 0
    for frame in frames:
        now = _match(frame, before)
        in_view = set(frame.nodule.tolist())
        lost &= in_view
        for nodule, track in now.items():
            switches += last_track.get(nodule, track) != track
            transfers += last_nodule.get(track, nodule) != nodule
            fragmentations += nodule in lost
            last_track[nodule], last_nodule[track] = track, nodule
            times[nodule] = times.get(nodule, 0) + 1
        # Lost is what was tracked before while in view without a break, and is in view now.
        lost = (lost | (before.keys() & in_view)) - now.keys()
        before = now
    tracks = {track for frame in frames for track in frame.track.tolist() if track != NOT_TRACKED}
    return IdentityCounts(
        nodules=len({nodule for frame in frames for nodule in frame.nodule.tolist()}),
        tracks=len(tracks),
        tracked=sum(times.values()),
        followed=sum(count > 1 for count in times.values()),
        switches=switches,
        transfers=transfers,
        fragmentations=fragmentations,
        library=_ask_library(frames) if with_library else None,
    )


def identity_figures(clips: Sequence[tuple[str, IdentityCounts]]) -> dict[str, Figure]:
    """Figures of identities over all clips, with intervals by their cases.

    Parameters
    ----------
    clips : (case, counts), at least one; `library` of all or of none

    Returns
    -------
    ``clips_without_switch`` : of the clips in which a nodule is followed over two frames or more
    ``switches_per_clip``, ``transfers_per_clip``, ``fragmentations_per_clip`` : mean over the same clips
    ``idf1``, ``hota``, ``det_a``, ``ass_a`` : over all clips, from sums as the library joins sequences; only with it.
        NaN where there is neither a nodule nor a detection
    """
    followed = [(case, counts) for case, counts in clips if counts.followed]
    cases = [case for case, _ in followed]

    def mean(values: Sequence[float]) -> Figure:
        sums = np.array([(value, 1.0) for value in values], np.float64).reshape(-1, 2)
        return figure_of_sums(cases, sums, lambda sums: sums[:, 0] / sums[:, 1], len(values))

    figures = {
        "clips_without_switch": mean([counts.switches == 0 for _, counts in followed]),
        "switches_per_clip": mean([counts.switches for _, counts in followed]),
        "transfers_per_clip": mean([counts.transfers for _, counts in followed]),
        "fragmentations_per_clip": mean([counts.fragmentations for _, counts in followed]),
    }
    libraries = [(case, counts.library) for case, counts in clips if counts.library is not None]
    if libraries:
        sums = np.array([library.sums for _, library in libraries])
        count = int(sums[:, 0].sum() + sums[:, 1].sum())
        for name, statistic in (("idf1", _idf1), ("hota", _hota), ("det_a", _det_a), ("ass_a", _ass_a)):
            figures[name] = figure_of_sums([case for case, _ in libraries], sums, statistic, count)
    return figures


def _match(frame: IdentityFrame, before: dict[int, int]) -> dict[int, int]:
    """Nodule → track on this frame, one to one: a pair of the frame before goes first, then the best overlap."""
    rows = np.flatnonzero(frame.track != NOT_TRACKED)
    track, overlap = frame.track[rows], frame.overlap[rows]
    last = np.array([before.get(nodule, NOT_TRACKED) for nodule in frame.nodule.tolist()], np.int64)
    goes_on = (track[:, None] == last[None, :]) & (overlap >= MIN_IOU)
    return {
        int(frame.nodule[nodule]): int(track[found]) for found, nodule in match_overlaps(overlap + goes_on, MIN_IOU)
    }


def _ask_library(frames: Sequence[IdentityFrame]) -> LibraryCounts:
    library = import_extra(LIBRARY)
    nodules, tracks, overlaps = [], [], []
    free = 1 + max((int(frame.track.max(initial=0)) for frame in frames), default=0)
    for frame in frames:
        track = frame.track.copy()
        alone = np.flatnonzero(track == NOT_TRACKED)
        track[alone] = np.arange(free, free + len(alone))  # a detection without a track is a track of one frame
        free += len(alone)
        nodules.append(frame.nodule)
        tracks.append(track)
        overlaps.append(np.ascontiguousarray(frame.overlap.T))
    identity = library.compute_identity_metrics(nodules, tracks, overlaps, MIN_IOU)
    hota = library.compute_hota_metrics(nodules, tracks, overlaps)
    tp = np.asarray(hota["HOTA_TP_array"], np.float64)
    return LibraryCounts(
        idtp=identity["IDTP"],
        idfn=identity["IDFN"],
        idfp=identity["IDFP"],
        tp=tp,
        fn=np.asarray(hota["HOTA_FN_array"], np.float64),
        fp=np.asarray(hota["HOTA_FP_array"], np.float64),
        ass=tp * np.asarray(hota["AssA_array"], np.float64),
    )


def _idf1(sums: Array) -> Array:
    idtp, idfn, idfp = sums[:, :3].T
    return np.asarray(2.0 * idtp / (2.0 * idtp + idfn + idfp))


def _per_threshold(sums: Array) -> tuple[Array, Array]:
    """Detection and association accuracy at each threshold, float64 (rounds, 19) each; NaN where there is nothing."""
    tp, fn, fp, ass = np.split(sums[:, 3:], 4, axis=1)
    total = tp + fn + fp
    return tp / total, np.where(total > 0, ass / np.maximum(tp, 1.0), np.nan)


def _det_a(sums: Array) -> Array:
    return np.asarray(_per_threshold(sums)[0].mean(axis=1))


def _ass_a(sums: Array) -> Array:
    return np.asarray(_per_threshold(sums)[1].mean(axis=1))


def _hota(sums: Array) -> Array:
    det_a, ass_a = _per_threshold(sums)
    return np.asarray(np.sqrt(det_a * ass_a).mean(axis=1))
