"""From a recorded session to the document of the sweep."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from usassist.errors import SessionError, UsageError
from usassist.session.opening import RecordedSession
from usassist.session.summary.cuts import find_cuts
from usassist.session.summary.document import DOCUMENT_VERSION, SCHEMA_NAME, MarkOfSweep, SweepDocument
from usassist.session.summary.earlier import Earlier
from usassist.session.summary.nodules import describe_run, describe_track, find_chosen, find_runs, select_tracks
from usassist.session.summary.planes import find_planes
from usassist.session.summary.provenance import describe_provenance, describe_sweep, read_engines
from usassist.session.summary.seen import Seen, SweepLines, read_sweep
from usassist.session.summary.unseen import find_unseen
from usassist.sinks.plane_quality import LEAST_FRAMES, outline_sharpness

__all__ = ["LEAST_FRAMES", "NOTICE", "summarise"]

NOTICE = "Research use only; not a medical device."


def summarise(
    session: RecordedSession, *, least_frames: int = LEAST_FRAMES, earlier: Earlier | None = None
) -> SweepDocument:
    """Summarise a sweep: its nodules with their best planes, what was not seen, and with what it was made.

    Parameters
    ----------
    session : that was closed, and can be read whole
    least_frames : identities that were seen on fewer frames are counted and not listed one by one; one that is
        compared with an earlier report is listed
    earlier : report that nodules are compared with, for growth

    Raises
    ------
    SessionError
        If it is still being recorded, is damaged, or has no frame.
    UsageError
        If `least_frames` is less than 1, or a nodule that is to be compared is not in the sweep.
    """
    if least_frames < 1:
        raise UsageError(f"the least number of frames must be 1 or more, got {least_frames}")
    _check(session)
    engines = read_engines(session)
    sweep = read_sweep(session)
    sweep.planes = find_planes(session.frames, session.marks, find_cuts(sweep))
    compared = set() if earlier is None else set(earlier.same)
    unknown = sorted(compared - sweep.nodules.keys())
    if unknown:
        raise UsageError(f"there is no nodule N{unknown[0]} in this sweep; correct --same")
    listed, not_listed = select_tracks(sweep, least_frames, compared)
    chosen = {track_id: find_chosen(sweep, sweep.nodules[track_id]) for track_id in listed}
    runs = find_runs(sweep)
    with session.result_reader() as read_result:

        def read(item: Seen) -> Mapping[str, Any]:
            result = read_result(session.frames[item.index].frame_id)
            assert result is not None  # it was seen there
            nodule: Mapping[str, Any] = result["nodules"][item.row]
            return nodule

        candidates = [item for some in (*chosen.values(), *(find_chosen(sweep, run) for run in runs)) for item in some]
        sharpness, lost = _measure_sharpness(sweep, candidates, read)
        nodules = tuple(describe_track(sweep, number, chosen[number], sharpness, read, earlier) for number in listed)
        untracked = tuple(describe_run(sweep, run, sharpness, read) for run in runs)
    return SweepDocument(
        schema=SCHEMA_NAME,
        version=DOCUMENT_VERSION,
        notice=NOTICE,
        sweep=describe_sweep(session, sweep.moments),
        identities_known=not runs,
        nodules=nodules,
        not_listed=not_listed,
        untracked=untracked,
        marks=tuple(_marks(sweep)),
        unseen=find_unseen(sweep, lost),
        provenance=describe_provenance(session, engines),
    )


def _check(session: RecordedSession) -> None:
    folder, manifest = session.folder, session.manifest
    if session.problems:
        raise SessionError(
            f"{folder} is damaged: {session.problems[0]}; run usassist session verify, and usassist session repair"
        )
    if not manifest.closed:
        raise SessionError(
            f"{folder} is still being recorded, or its recorder was killed; wait for its end, or run usassist session "
            "repair and report on the repaired copy"
        )
    if not session.frames:
        raise SessionError(f"{folder} has no frames, so there is nothing to report; name another session")


def _measure_sharpness(
    sweep: SweepLines, candidates: Iterable[Seen], read: Callable[[Seen], Mapping[str, Any]]
) -> tuple[dict[Seen, float], int]:
    """Sharpness of each candidate along its outline, and the number of frames whose pixels are lost."""
    session = sweep.session
    by_frame: dict[int, set[Seen]] = defaultdict(set)
    for item in candidates:
        by_frame[session.frames[item.index].frame_id].add(item)
    sharpness: dict[Seen, float] = {}
    problems: list[str] = []
    came = 0
    for line, image in session.wanted_images(by_frame, problems):
        came += 1
        for item in by_frame[line.frame_id]:
            contour = np.asarray(read(item)["contour_xy_px"], np.float32)
            sharpness[item] = outline_sharpness(image, contour)
        if problems:
            break
    if problems:
        raise SessionError(
            f"{session.folder} is damaged: {problems[0]}; run usassist session verify, and usassist session repair"
        )
    return sharpness, len(by_frame) - came


def _marks(sweep: SweepLines) -> Iterable[MarkOfSweep]:
    index_of = {line.frame_id: index for index, line in enumerate(sweep.session.frames)}
    for mark in sweep.marks:
        index = index_of.get(mark.frame_id)
        yield MarkOfSweep(
            kind=mark.kind,
            frame_id=mark.frame_id,
            t_s=None if index is None else round(sweep.moments.t_s[index], 3),
            track_id=mark.track_id if mark.track_id >= 0 else None,
            plane=mark.plane,
            side=mark.side,
        )
