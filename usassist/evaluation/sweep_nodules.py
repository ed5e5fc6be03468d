"""The nodules of a clip one by one: their identities, their sizes, and when each is found first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from usassist.evaluation.figures import mean_by_case
from usassist.evaluation.identity import IdentityCounts, IdentityFrame, identity_figures
from usassist.evaluation.metrics import Figure, match_overlaps
from usassist.evaluation.run import FrameOutcome
from usassist.evaluation.sizes import SizeError, summarise_lengths
from usassist.evaluation.tally import MIN_IOU, FrameTally

__all__ = [
    "MIN_WHOLE_MM",
    "ClipIdentity",
    "ClipSizes",
    "FirstDetection",
    "FrameNodules",
    "NoduleInView",
    "find_first_detections",
    "first_detection_figures",
    "look_at_nodules",
    "summarise_identities",
    "summarise_sizes",
]

MIN_WHOLE_MM = 5.0
"""From this longest diameter on, in full view, the frames to the first detection of a nodule are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleInView:
    """A nodule on one frame.

    Attributes
    ----------
    identity : of the nodule
    is_found : a detection matches it
    is_whole : it is 5 mm or more, and the border of the scan does not cut it; None = its size is not known
    """

    identity: int
    is_found: bool
    is_whole: bool | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameNodules:
    """The nodules of one frame at one threshold.

    Attributes
    ----------
    in_view : those with an identity
    identity : for the figures of identities; None = the masks do not tell nodules apart, or nothing gives track ids
    sizes : of the nodules found that are whole and shown as such, where there is a scale and their size is known
    has_scale : whether lengths are measured in mm
    """

    in_view: tuple[NoduleInView, ...] = ()
    identity: IdentityFrame | None = None
    sizes: tuple[SizeError, ...] = ()
    has_scale: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipIdentity:
    """The identities of one clip; see :class:`usassist.evaluation.identity.IdentityCounts`.

    Attributes
    ----------
    tracks, followed, switches, transfers, fragmentations : counts
    idf1, hota, det_a, ass_a : of this clip; None where the library is not installed, NaN where there is no nodule
    """

    tracks: int
    followed: int
    switches: int
    transfers: int
    fragmentations: int
    idf1: float | None
    hota: float | None
    det_a: float | None
    ass_a: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSizes:
    """Longest diameters measured in one clip.

    Attributes
    ----------
    count : nodules on frames
    error_mm_p50, error_mm_p90, error_rel_p50, error_rel_p90 : amount of the error; NaN without any
    coverage : share of the stated 95 % intervals that hold
    """

    count: int
    error_mm_p50: float
    error_mm_p90: float
    error_rel_p50: float
    error_rel_p90: float
    coverage: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDetection:
    """When a nodule of 5 mm or more is found.

    Attributes
    ----------
    identity : of the nodule
    frames : frames that show it, from the first on which it is whole and 5 mm or more to the first on which it is
        found; 0 = on that frame or before; None = never
    from_whole : all frames that show it from then on
    """

    identity: int
    frames: int | None
    from_whole: int


def look_at_nodules(outcome: FrameOutcome, counted: FrameTally, threshold: float) -> FrameNodules:
    """The nodules of a frame, of which detections with a lower score are ignored."""
    if counted.identity is None:
        return FrameNodules(has_scale=outcome.size is not None)
    kept = counted.kept(threshold)
    pairs = match_overlaps(counted.overlap[:kept], MIN_IOU)
    truth = {size.identity: size for size in outcome.frame.sizes or ()}
    identities = counted.identity.tolist()
    found = {nodule for _, nodule in pairs}
    in_view = []
    for index, identity in enumerate(identities):
        size = truth.get(identity)
        is_whole = None if size is None else size.major_mm >= MIN_WHOLE_MM and not size.is_cut
        in_view.append(NoduleInView(identity=identity, is_found=index in found, is_whole=is_whole))
    tracked = None
    if outcome.track_id is not None:
        tracked = IdentityFrame(
            nodule=counted.identity, track=outcome.track_id[:kept].astype(np.int64), overlap=counted.overlap[:kept]
        )
    sizes, measured = [], outcome.size
    for row, index in pairs:
        size = truth.get(identities[index])
        if measured is not None and size is not None and not (size.is_cut or measured.is_cut[row]):
            measured_mm, u95_mm = float(measured.major_mm[row]), float(measured.u95_mm[row])
            sizes.append(SizeError(truth_mm=size.major_mm, measured_mm=measured_mm, u95_mm=u95_mm))
    return FrameNodules(in_view=tuple(in_view), identity=tracked, sizes=tuple(sizes), has_scale=measured is not None)


def find_first_detections(frames: Sequence[FrameNodules]) -> tuple[FirstDetection, ...]:
    """Of the frames of one clip in order: one for each nodule that is whole and 5 mm or more on a frame."""
    seen: dict[int, list[NoduleInView]] = {}
    for frame in frames:
        for nodule in frame.in_view:
            seen.setdefault(nodule.identity, []).append(nodule)
    detections = []
    for identity, shown in sorted(seen.items()):
        whole = [index for index, nodule in enumerate(shown) if nodule.is_whole]
        if whole:
            found = [index for index, nodule in enumerate(shown) if nodule.is_found]
            frames_to = max(0, found[0] - whole[0]) if found else None
            detections.append(FirstDetection(identity=identity, frames=frames_to, from_whole=len(shown) - whole[0]))
    return tuple(detections)


def first_detection_figures(detections: Sequence[tuple[str, FirstDetection]]) -> dict[str, Figure]:
    """Figures of (case, first detection).

    Returns
    -------
    ``nodules_of_5mm_found`` : share of the nodules that are 5 mm or more in full view on a frame
    ``frames_to_detection_of_5mm`` : mean; one that is never found counts with all frames that show it from then on,
        which is less than it would have taken
    """

    def frames(one: FirstDetection) -> int:
        return one.from_whole if one.frames is None else one.frames

    return {
        "nodules_of_5mm_found": mean_by_case([(case, one.frames is not None) for case, one in detections]),
        "frames_to_detection_of_5mm": mean_by_case([(case, frames(one)) for case, one in detections]),
    }


def summarise_identities(counts: IdentityCounts) -> ClipIdentity:
    """The identities of one clip, for its row."""
    of_library: dict[str, Any] = dict.fromkeys(("idf1", "hota", "det_a", "ass_a"))
    figures = identity_figures([("", counts)])
    for name in of_library.keys() & figures.keys():
        of_library[name] = figures[name].value if counts.nodules else float("nan")
    return ClipIdentity(
        tracks=counts.tracks,
        followed=counts.followed,
        switches=counts.switches,
        transfers=counts.transfers,
        fragmentations=counts.fragmentations,
        **of_library,
    )


def summarise_sizes(errors: Sequence[SizeError]) -> ClipSizes:
    """The sizes of one clip, for its row."""
    arrays = np.array([(one.truth_mm, one.measured_mm, one.u95_mm) for one in errors], np.float64).reshape(-1, 3).T
    found = summarise_lengths(*arrays)
    return ClipSizes(
        count=len(errors),
        error_mm_p50=found["abs_p50"],
        error_mm_p90=found["abs_p90"],
        error_rel_p50=found["p50"],
        error_rel_p90=found["p90"],
        coverage=found["coverage"],
    )
