"""The report of ``usassist eval sweep``: from the frames of clips to figures, rows and tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from usassist.calibrate import AssociationRule
from usassist.evaluation.contact_sheet import Tile, WorstFrames
from usassist.evaluation.detection import calibration_bins, ece_figure, froc_figures, match_detections
from usassist.evaluation.extras import has_extra
from usassist.evaluation.figures import compute_score_figures
from usassist.evaluation.frame_reports import count_frames
from usassist.evaluation.identity import LIBRARY, IdentityCounts, count_identities, identity_figures
from usassist.evaluation.images import Skipped
from usassist.evaluation.mask_identities import IdentitiesFrom
from usassist.evaluation.run import FrameOutcome
from usassist.evaluation.sizes import size_figures
from usassist.evaluation.sweep_figures import ClipScore, SweepFrame, compute_sweep_figures, score_clip
from usassist.evaluation.sweep_nodules import first_detection_figures, summarise_identities, summarise_sizes

__all__ = ["Sweeps", "sweep_report", "sweep_rows"]

_TILES = 12  # of frames with a mask, and as many of frames without


@dataclass(frozen=True, slots=True, kw_only=True)
class _ScoredClip:
    score: ClipScore
    frames: tuple[SweepFrame, ...]
    identities: IdentityCounts | None
    told_by: IdentitiesFrom | None


class Sweeps:
    """Collects clips. Pixels are kept only for the contact sheet: of each clip the worst frame with and without mask.

    The worst is the one with the largest area that is wrong: missed or outlined falsely, relative to the scan area.
    Frames without mask are a group of their own, because they may show a nodule that nobody outlined.

    Parameters
    ----------
    threshold : detections with a lower score are ignored
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._clips: list[_ScoredClip] = []
        self._tiles: dict[bool, list[Tile]] = {True: [], False: []}

    def take(
        self,
        clip: str,
        frames: Iterable[tuple[FrameOutcome, SweepFrame]],
        told_by: IdentitiesFrom | None = None,
    ) -> None:
        """Add a clip, from :func:`usassist.evaluation.sweep_figures.follow_clip`.

        Parameters
        ----------
        clip : its name
        frames : all of them, in order
        told_by : what its nodules are told apart by; None = they are not
        """
        kept: list[SweepFrame] = []
        worst = {is_marked: WorstFrames(1) for is_marked in self._tiles}
        for outcome, frame in frames:
            kept.append(frame)
            wrong = float((outcome.found(self._threshold) ^ outcome.frame.truth).sum()) / frame.tally.scan_px
            if wrong:
                worst[frame.is_marked].offer(outcome, self._threshold, -wrong, _caption(frame))
        self._clips.append(_score(clip, kept, told_by))
        for is_marked, tiles in self._tiles.items():
            tiles.extend(worst[is_marked].tiles)
            tiles.sort(key=lambda tile: tile.key)
            del tiles[_TILES:]

    @property
    def clips(self) -> list[ClipScore]:
        """One for each clip."""
        return [clip.score for clip in self._clips]

    @property
    def frames(self) -> Iterator[tuple[str, SweepFrame]]:
        """The frames of all clips, each with the name of its clip."""
        return ((clip.score.clip, frame) for clip in self._clips for frame in clip.frames)

    @property
    def identities(self) -> list[tuple[str, IdentityCounts]]:
        """Of the clips whose nodules are told apart and tracked, each with its case."""
        return [(clip.score.case, clip.identities) for clip in self._clips if clip.identities is not None]

    @property
    def told_by(self) -> dict[IdentitiesFrom, int]:
        """How many clips have their nodules told apart by what."""
        ways = [clip.told_by for clip in self._clips if clip.told_by is not None]
        return {way: ways.count(way) for way in IdentitiesFrom if way in ways}

    @property
    def tiles(self) -> list[Tile]:
        """Of the contact sheet: those with mask, worst first, then those without."""
        return [*self._tiles[True], *self._tiles[False]]


def sweep_report(
    sweeps: Sweeps, rate_hz: float | None, by: str, association: AssociationRule | None = None
) -> dict[str, Any]:
    """Compute all figures of clips.

    Parameters
    ----------
    sweeps : at least one clip
    rate_hz : frames a second of the clips; None = not known
    by : what the intervals resample, in a word
    association : that the frames have passed through; None = each was answered alone. With it there is no FROC, because
        what is shown does not follow from a threshold, and the calibration is that of what is shown

    Returns
    -------
    ``by``, ``rate_hz``, ``association``, ``identities`` (``told_by``, clips by what tells their nodules apart;
    ``tracked``, number of clips with track ids, of which alone there are figures of identities; ``library``, whether
    IDF1 and HOTA could be computed), ``counts``, ``figures``, ``froc`` (``at``), ``score_calibration`` (``ece`` and
    ``bins``), ``clips`` (one each)
    """
    frames = [frame for _, frame in sweeps.frames]
    tallies = tuple(frame.tally for frame in frames)
    matched = [match_detections(frame) for frame in tallies]
    figures = compute_score_figures([frame.score for frame in frames])
    figures |= compute_sweep_figures(sweeps.clips, rate_hz)
    figures["ece"] = ece_figure(tallies)
    if sweeps.identities:
        figures |= identity_figures(sweeps.identities)
    first = [(clip.case, one) for clip in sweeps.clips for one in clip.first_detections]
    if first:
        figures |= first_detection_figures(first)
    if any(frame.nodules.has_scale for frame in frames):
        figures |= size_figures([(frame.score.case, one) for frame in frames for one in frame.nodules.sizes])
    return {
        "by": by,
        "rate_hz": rate_hz,
        "association": association,
        "identities": {
            "told_by": sweeps.told_by,
            "tracked": len(sweeps.identities),
            "library": "idf1" in figures,
        },
        "counts": count_frames(tallies)
        | {
            "clips": len(sweeps.clips),
            "clips_with_nodule": sum(clip.nodules > 0 for clip in sweeps.clips),
            "frames_abstained_with_nodule": sum(clip.abstained_with_nodule for clip in sweeps.clips),
            "frames_with_nothing_marked": sum(clip.unmarked for clip in sweeps.clips),
            "nodules": sum(clip.nodules for clip in sweeps.clips),
        },
        "figures": figures,
        "froc": {"at": froc_figures(tallies) if association is None else {}},
        "score_calibration": {
            "ece": figures["ece"],
            "bins": calibration_bins(
                np.concatenate([item.score for item in matched]), np.concatenate([item.is_hit for item in matched])
            ),
        },
        "clips": sweeps.clips,
    }


def sweep_rows(sweeps: Sweeps, skipped: Iterable[Skipped]) -> list[Mapping[str, Any]]:
    """One row per frame and per skipped file, for CSV."""
    rows: list[Mapping[str, Any]] = [
        {
            "name": frame.tally.name,
            "clip": clip,
            "frame": frame.number,
            "state": ("abstained" if frame.tally.abstained else "evaluated")
            + ("" if frame.is_marked else ", nothing marked"),
            "dice": frame.score.dice,
            "iou": frame.score.iou,
            "nodules": len(frame.tally.nodule_px),
            "hits": sum(frame.score.hits),
            "detections": frame.score.kept,
            "false_positives": frame.score.false_positives,
            "best_score": frame.tally.best_score,
            "change": frame.change,
            "truth_change": frame.truth_change,
            **_nodule_columns(frame),
            "crop_xyxy_px": " ".join(map(str, frame.tally.scan_xyxy_px))
            + ("" if frame.tally.cropped else " whole frame"),
            "converted": frame.tally.converted,
        }
        for clip, frame in sweeps.frames
    ]
    keys = list(rows[0])
    rows.extend(dict.fromkeys(keys) | {"name": item.name, "state": f"skipped: {item.reason}"} for item in skipped)
    return rows


def _score(clip: str, frames: list[SweepFrame], told_by: IdentitiesFrom | None) -> _ScoredClip:
    tracked = [frame.nodules.identity for frame in frames if frame.nodules.identity is not None]
    counts = None
    if len(tracked) == len(frames):
        counts = count_identities(tracked, with_library=has_extra(LIBRARY))
    errors = [one for frame in frames for one in frame.nodules.sizes]
    has_scale = any(frame.nodules.has_scale for frame in frames)
    score = score_clip(
        clip,
        frames,
        identity=None if counts is None else summarise_identities(counts),
        sizes=summarise_sizes(errors) if has_scale else None,
    )
    return _ScoredClip(score=score, frames=tuple(frames), identities=counts, told_by=told_by)


def _nodule_columns(frame: SweepFrame) -> dict[str, str]:
    """Identities in view, track ids of what is shown, and lengths in mm; empty where they are not known."""
    nodules = frame.nodules
    return {
        "identities": " ".join(str(nodule.identity) for nodule in nodules.in_view),
        "tracks": "" if nodules.identity is None else " ".join(map(str, nodules.identity.track.tolist())),
        "truth_mm": " ".join(f"{size.truth_mm:.2f}" for size in nodules.sizes),
        "measured_mm": " ".join(f"{size.measured_mm:.2f}" for size in nodules.sizes),
        "u95_mm": " ".join(f"{size.u95_mm:.2f}" for size in nodules.sizes),
    }


def _caption(frame: SweepFrame) -> str:
    what = f"Dice {frame.score.dice:.2f}" if frame.is_marked else "nothing marked"
    best = f"score {frame.tally.best_score:.2f}" if frame.score.kept else "nothing found"
    best = "abstained" if frame.tally.abstained else best
    return f"{frame.tally.name}   {what}   {best}"
