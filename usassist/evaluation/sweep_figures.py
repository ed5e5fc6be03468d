"""What a clip is scored by: its frames one after the other, and the figures of many clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from usassist.evaluation.figures import figure_of_sums
from usassist.evaluation.metrics import Figure, iou
from usassist.evaluation.run import FrameOutcome
from usassist.evaluation.sweep_nodules import (
    ClipIdentity,
    ClipSizes,
    FirstDetection,
    FrameNodules,
    find_first_detections,
    look_at_nodules,
)
from usassist.evaluation.tally import FrameScore, FrameTally, score_frame, tally

__all__ = ["ClipScore", "SweepFrame", "compute_sweep_figures", "follow_clip", "score_clip"]

_PER_FRAMES = 1000.0  # false alarms are given per so many frames where the rate is not known


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SweepFrame:
    """One frame of a clip at one threshold.

    Attributes
    ----------
    number : of the frame in its clip
    tally, score : as of a single frame
    change : 1 - IoU of all that is outlined on this frame and on the one before; NaN on the first
    truth_change : the same of the marked outlines
    nodules : one by one, where they are told apart
    """

    number: int
    tally: FrameTally
    score: FrameScore
    change: float
    truth_change: float
    nodules: FrameNodules

    @property
    def has_nodule(self) -> bool:
        """Whether a nodule (a region of 50 px or more) is marked."""
        return len(self.tally.nodule_px) > 0

    @property
    def is_found(self) -> bool:
        """Whether a marked nodule is found."""
        return any(self.score.hits)

    @property
    def is_marked(self) -> bool:
        """Whether anything is marked."""
        return self.tally.truth_px > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipScore:
    """One clip at one threshold.

    Attributes
    ----------
    clip, case : of the clip
    frames, marked, unmarked : number of frames, of those with a mask, and of those without
    frames_with_nodule : with a marked region of 50 px or more
    abstained, abstained_with_nodule : frames on which the engine abstained, and those of them with a nodule, which is
        missed there
    dice : mean over the frames with a mask; NaN without one
    nodules, found : marked regions of 50 px or more in all frames, and how many of them are found
    to_first_detection : frames from the first that shows the nodule to the first on which it is found, 0 = at once;
        None where there is no nodule, or it is never found
    from_first_nodule : frames from the first that shows the nodule to the end
    pairs : neighbouring frames that both have a nodule
    flicker, truth_flicker : mean over the pairs of 1 - IoU of what is outlined, and of what is marked; NaN without a
        pair
    changes : pairs in which the nodule is found on one frame only
    false_positives_marked, false_positives_unmarked : detections that match no nodule, on frames with and without mask
    alarms_marked, alarms_unmarked : false alarms that begin on a frame with and without mask; a false alarm is an
        unbroken run of frames with false positives
    identity : of its nodules; None = not tracked, or the masks do not tell nodules apart
    sizes : in mm; None = there is no scale
    first_detections : of the nodules of 5 mm or more; empty also where sizes are not known
    """

    clip: str
    case: str
    frames: int
    marked: int
    unmarked: int
    frames_with_nodule: int
    abstained: int
    abstained_with_nodule: int
    dice: float
    nodules: int
    found: int
    to_first_detection: int | None
    from_first_nodule: int
    pairs: int
    flicker: float
    truth_flicker: float
    changes: int
    false_positives_marked: int
    false_positives_unmarked: int
    alarms_marked: int
    alarms_unmarked: int
    identity: ClipIdentity | None = None
    sizes: ClipSizes | None = None
    first_detections: tuple[FirstDetection, ...] = ()


def follow_clip(
    outcomes: Iterable[FrameOutcome], numbers: Iterable[int], threshold: float
) -> Iterator[tuple[FrameOutcome, SweepFrame]]:
    """Score the frames of one clip in order, each beside the one before it; pixels of earlier frames are not kept.

    Parameters
    ----------
    outcomes, numbers : of the frames of one clip, which have one size
    threshold : detections with a lower score are ignored
    """
    found_before: npt.NDArray[np.bool_] | None = None
    truth_before: npt.NDArray[np.bool_] | None = None
    for outcome, number in zip(outcomes, numbers, strict=True):
        counted, found, truth = tally(outcome), outcome.found(threshold), outcome.frame.truth
        frame = SweepFrame(
            number=number,
            tally=counted,
            score=score_frame(counted, threshold),
            change=float("nan") if found_before is None else 1.0 - iou(found, found_before),
            truth_change=float("nan") if truth_before is None else 1.0 - iou(truth, truth_before),
            nodules=look_at_nodules(outcome, counted, threshold),
        )
        yield outcome, frame
        found_before, truth_before = found, truth


def score_clip(
    clip: str, frames: Sequence[SweepFrame], identity: ClipIdentity | None = None, sizes: ClipSizes | None = None
) -> ClipScore:
    """Score a clip by its frames, of which there is at least one.

    Parameters
    ----------
    clip : its name
    frames : in order
    identity, sizes : of its nodules, from :mod:`usassist.evaluation.sweep_nodules`; None = not known
    """
    with_nodule = [index for index, frame in enumerate(frames) if frame.has_nodule]
    found_on = [index for index, frame in enumerate(frames) if frame.is_found]
    pairs = [(before, frame) for before, frame in pairwise(frames) if before.has_nodule and frame.has_nodule]
    marked = [frame for frame in frames if frame.is_marked]
    unmarked = [frame for frame in frames if not frame.is_marked]
    begun = [
        frame
        for index, frame in enumerate(frames)
        if frame.score.false_positives and not (index and frames[index - 1].score.false_positives)
    ]
    return ClipScore(
        clip=clip,
        case=frames[0].score.case,
        frames=len(frames),
        marked=len(marked),
        unmarked=len(unmarked),
        frames_with_nodule=len(with_nodule),
        abstained=sum(frame.tally.abstained for frame in frames),
        abstained_with_nodule=sum(frame.tally.abstained and frame.has_nodule for frame in frames),
        dice=_mean([frame.score.dice for frame in marked]),
        nodules=sum(len(frame.score.hits) for frame in frames),
        found=sum(sum(frame.score.hits) for frame in frames),
        to_first_detection=found_on[0] - with_nodule[0] if found_on else None,
        from_first_nodule=len(frames) - with_nodule[0] if with_nodule else 0,
        pairs=len(pairs),
        flicker=_mean([frame.change for _, frame in pairs]),
        truth_flicker=_mean([frame.truth_change for _, frame in pairs]),
        changes=sum(before.is_found != frame.is_found for before, frame in pairs),
        false_positives_marked=sum(frame.score.false_positives for frame in marked),
        false_positives_unmarked=sum(frame.score.false_positives for frame in unmarked),
        alarms_marked=sum(frame.is_marked for frame in begun),
        alarms_unmarked=sum(not frame.is_marked for frame in begun),
        identity=identity,
        sizes=sizes,
        first_detections=find_first_detections([frame.nodules for frame in frames]),
    )


def compute_sweep_figures(clips: Sequence[ClipScore], rate_hz: float | None) -> dict[str, Figure]:
    """What is known of clips and not of single frames, over all clips, with intervals by their cases.

    Parameters
    ----------
    clips : at least one
    rate_hz : frames a second of the clips; None = not known: false alarms are given per 1000 frames

    Returns
    -------
    ``clips_found`` : share of the clips with a nodule in which it is found on at least one frame
    ``frames_to_first_detection`` : mean over the clips with a nodule; a clip in which it is never found counts with all
        its frames from the first that shows it, which is less than it would have taken
    ``flicker``, ``flicker_of_truth``, ``changes_per_100_pairs`` : over all pairs of all clips
    ``false_positives_per_marked_frame``, ``false_positives_per_unmarked_frame``
    ``false_alarms_…`` : ``per_minute`` or ``per_1000_frames``; also of those that begin on frames with and without
        mask, by the time, or the number, of these frames
    """
    scale, unit = (_PER_FRAMES, "per_1000_frames") if rate_hz is None else (60.0 * rate_hz, "per_minute")

    def ratio(over: Callable[[ClipScore], float], under: Callable[[ClipScore], float], scale: float = 1.0) -> Figure:
        sums = np.array([(over(clip) if under(clip) else 0.0, under(clip)) for clip in clips], np.float64)
        cases = [clip.case for clip in clips]
        return figure_of_sums(cases, sums, lambda sums: scale * sums[:, 0] / sums[:, 1], int(sums[:, 1].sum()))

    def delay(clip: ClipScore) -> int:
        return clip.from_first_nodule if clip.to_first_detection is None else clip.to_first_detection

    return {
        "clips_found": ratio(lambda clip: clip.found > 0, lambda clip: clip.nodules > 0),
        "frames_to_first_detection": ratio(delay, lambda clip: clip.nodules > 0),
        "flicker": ratio(lambda clip: clip.flicker * clip.pairs, lambda clip: clip.pairs),
        "flicker_of_truth": ratio(lambda clip: clip.truth_flicker * clip.pairs, lambda clip: clip.pairs),
        "changes_per_100_pairs": ratio(lambda clip: clip.changes, lambda clip: clip.pairs, 100.0),
        "false_positives_per_marked_frame": ratio(lambda clip: clip.false_positives_marked, lambda clip: clip.marked),
        "false_positives_per_unmarked_frame": ratio(
            lambda clip: clip.false_positives_unmarked, lambda clip: clip.unmarked
        ),
        f"false_alarms_{unit}": ratio(
            lambda clip: clip.alarms_marked + clip.alarms_unmarked, lambda clip: clip.frames, scale
        ),
        f"false_alarms_marked_{unit}": ratio(lambda clip: clip.alarms_marked, lambda clip: clip.marked, scale),
        f"false_alarms_unmarked_{unit}": ratio(lambda clip: clip.alarms_unmarked, lambda clip: clip.unmarked, scale),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
