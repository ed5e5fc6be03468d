"""Which identities are listed, and the document of each."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usassist.session.summary.best_plane import Candidates, choose, find_candidates
from usassist.session.summary.categories import confirmed_words, describe_categories, describe_nodule
from usassist.session.summary.document import NotListed, Untracked
from usassist.session.summary.earlier import Earlier, find_growth
from usassist.session.summary.moments import merge_intervals
from usassist.session.summary.parts import Interval, Nodule, Section
from usassist.session.summary.sections import describe_near, describe_section, find_dimensions
from usassist.session.summary.seen import Seen, SweepLines
from usassist.sinks.plane_quality import NEAR_S

__all__ = ["MOST_LISTED", "Chosen", "describe_run", "describe_track", "find_chosen", "find_runs", "select_tracks"]

MOST_LISTED = 30
_PLANES = ("transverse", "longitudinal")
_TOGETHER_S = 0.2  # parts of a track with less between them are one stretch of the timeline

ReadNodule = Callable[[Seen], Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The frames among which the planes of a nodule are chosen: of all, and of those marked as one plane."""

    best: Candidates
    transverse: Candidates
    longitudinal: Candidates

    def __iter__(self) -> Iterator[Seen]:
        """Every candidate; one may come twice."""
        for candidates in (self.best, self.transverse, self.longitudinal):
            yield from candidates.seen


def select_tracks(sweep: SweepLines, least_frames: int, wanted: Collection[int] = ()) -> tuple[list[int], NotListed]:
    """Track ids that are listed, in ascending order, and a count of the rest.

    Listed are those seen on at least `least_frames` frames, and those about which a descriptor was confirmed or that
    were marked, or are `wanted`; if these are more than :data:`MOST_LISTED`, the ones seen on most frames, marked ones
    first.
    """
    marked = {mark.track_id for mark in sweep.marks} | set(wanted)
    tracks = {number: len(seen) for number, seen in sweep.nodules.items() if number >= 0}
    often = [number for number, frames in tracks.items() if frames >= least_frames or number in marked]
    often.sort(key=lambda number: (number not in marked, -tracks[number], number))
    listed = sorted(often[:MOST_LISTED])
    rest = sorted(set(tracks) - set(listed))
    return listed, NotListed(
        least_frames=least_frames,
        most_listed=MOST_LISTED,
        identities=len(rest),
        seen_too_rarely=len(tracks) - len(often),
        beyond_most=len(often) - len(listed),
        frames=sum(tracks[number] for number in rest),
        track_ids=tuple(rest),
    )


def find_chosen(sweep: SweepLines, seen: Sequence[Seen]) -> Chosen:
    """The candidates of one nodule."""
    t_s = sweep.moments.t_s
    by_plane = {name: [item for item in seen if sweep.planes[item.index].plane == name] for name in _PLANES}
    return Chosen(
        best=find_candidates(seen, t_s),
        transverse=find_candidates(by_plane["transverse"], t_s),
        longitudinal=find_candidates(by_plane["longitudinal"], t_s),
    )


def describe_track(
    sweep: SweepLines,
    track_id: int,
    chosen: Chosen,
    sharpness: Mapping[Seen, float],
    read: ReadNodule,
    earlier: Earlier | None = None,
) -> Nodule:
    """The document of one identity.

    Parameters
    ----------
    sweep : the lines of the session
    track_id : of the nodule
    chosen : its candidates
    sharpness : of those whose pixels could be read
    read : gives what was recorded of the nodule on a frame
    earlier : report that it is compared with, where that has the same nodule
    """
    seen = sweep.nodules[track_id]
    best_seen, best_score = choose(chosen.best, sharpness)
    best = _section(sweep, best_seen, best_score, read)
    planes: dict[str, Section | None] = {}
    for name in _PLANES:
        candidates: Candidates = getattr(chosen, name)
        planes[name] = _section(sweep, *choose(candidates, sharpness), read) if candidates.seen else None
    sections = [best, *(section for section in planes.values() if section is not None)]
    confirmed = confirmed_words(sweep.marks, track_id)
    estimated = read(best_seen).get("descriptors") or ()
    transverse = planes["transverse"]
    shape = best.ap_t if best.plane == "transverse" or transverse is None else transverse.ap_t
    first, last = seen[0].index, seen[-1].index
    frames = sweep.session.frames
    dimensions = find_dimensions(planes["longitudinal"], transverse)
    return Nodule(
        track_id=track_id,
        name=f"N{track_id}",
        label=best_seen.label,
        frames=len(seen),
        frames_cut=sum(bool(item.cut) for item in seen),
        first_frame_id=frames[first].frame_id,
        last_frame_id=frames[last].frame_id,
        first_s=round(sweep.moments.t_s[first], 3),
        last_s=round(sweep.moments.t_s[last], 3),
        seen=_stretches(sweep, seen),
        sides=tuple(sorted({side for item in seen if (side := sweep.planes[item.index].side) is not None})),
        best=best,
        transverse=transverse,
        longitudinal=planes["longitudinal"],
        near_best=describe_near([dict(read(item)) for item in _near(sweep, seen, best_seen)]),
        dimensions=dimensions,
        growth=find_growth(track_id, dimensions, earlier),
        descriptors=describe_nodule(confirmed, estimated, sweep.described.get(track_id, {}), shape),
        categories=describe_categories(confirmed, max(sections, key=_longest)),
    )


def find_runs(sweep: SweepLines) -> list[list[Seen]]:
    """Findings without identity, in runs: an answered frame without any of them, or half a second, ends a run."""
    runs: list[list[Seen]] = []
    none_since = [0]  # answered frames without a finding, up to each frame
    for why, count in zip(sweep.why_not, sweep.findings, strict=True):
        none_since.append(none_since[-1] + (not why and not count))
    for item in sweep.nodules.get(-1, ()):
        before = runs[-1][-1].index if runs else None
        if before is None or none_since[item.index] > none_since[before + 1] or _apart(sweep, before, item.index):
            runs.append([])
        runs[-1].append(item)
    return runs


def _apart(sweep: SweepLines, before: int, after: int) -> bool:
    return sweep.moments.t_s[after] - sweep.moments.t_s[before] > NEAR_S


def describe_run(
    sweep: SweepLines, run: Sequence[Seen], sharpness: Mapping[Seen, float], read: ReadNodule
) -> Untracked:
    """The document of a run of findings without identity."""
    frames, first, last = sweep.session.frames, run[0].index, run[-1].index
    indices = [item.index for item in run]
    return Untracked(
        first_frame_id=frames[first].frame_id,
        last_frame_id=frames[last].frame_id,
        first_s=round(sweep.moments.t_s[first], 3),
        last_s=round(sweep.moments.t_s[last], 3),
        frames=len(set(indices)),
        most_at_once=max(indices.count(index) for index in set(indices)),
        best=_section(sweep, *choose(find_candidates(run, sweep.moments.t_s), sharpness), read),
    )


def _section(sweep: SweepLines, item: Seen, score: Any, read: ReadNodule) -> Section:
    line, t_s = sweep.session.frames[item.index], sweep.moments.t_s[item.index]
    return describe_section(read(item), line, t_s, sweep.planes[item.index], score)


def _longest(section: Section) -> tuple[bool, bool, float]:
    size = section.sizes["longest_diameter"]
    mm = None if size is None else size.mm
    return (not section.cut, mm is not None, mm or 0.0)


def _near(sweep: SweepLines, seen: Sequence[Seen], best: Seen) -> list[Seen]:
    """The frames near the best one, without those on which the nodule is cut."""
    t_s = sweep.moments.t_s
    indices = [item.index for item in seen]
    low = bisect.bisect_left(indices, best.index)
    high = low
    while low > 0 and t_s[best.index] - t_s[indices[low - 1]] <= NEAR_S:
        low -= 1
    while high < len(seen) and t_s[indices[high]] - t_s[best.index] <= NEAR_S:
        high += 1
    return [item for item in seen[low:high] if not item.cut]


def _stretches(sweep: SweepLines, seen: Sequence[Seen]) -> tuple[Interval, ...]:
    t_s, lasts_s = sweep.moments.t_s, sweep.moments.lasts_s
    parts = ((t_s[item.index], t_s[item.index] + lasts_s[item.index], "seen") for item in seen)
    return tuple(
        Interval(first_s=round(begin, 3), last_s=round(end, 3), kind=kind)
        for begin, end, kind in merge_intervals(parts, _TOGETHER_S)
    )
