"""What of a sweep was not looked at: frames without an answer, time that was not live, and where there was no scale."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator

from usassist.records import FrameLine, SignalState
from usassist.session.opening import RecordedSession
from usassist.session.summary.document import CauseTime, ScaleTime, Unseen
from usassist.session.summary.moments import merge_intervals
from usassist.session.summary.parts import Interval
from usassist.session.summary.seen import SweepLines

__all__ = ["find_unseen"]

_COVERAGE_FACTOR = 2.0
_SAME_SCALE = 0.02  # relative; a change of depth is more
_ABSTAINED = "out_of_domain"


def find_unseen(sweep: SweepLines, pixels_lost: int) -> Unseen:
    """Count frames and seconds.

    Parameters
    ----------
    sweep : the lines of the session
    pixels_lost : frames that were wanted for their pixels, and whose pixels could not be read
    """
    session, lasts_s = sweep.session, sweep.moments.lasts_s
    no_result = _by_name((why, lasts_s[i]) for i, why in enumerate(sweep.why_not) if why)
    pictures = [str(line.picture) for line in session.frames]
    not_live = _by_name((name, lasts_s[i]) for i, name in enumerate(pictures) if name != SignalState.LIVE)
    answered = [i for i, why in enumerate(sweep.why_not) if not why]
    abstained = next((item for item in no_result if item.name == _ABSTAINED), None)
    scale = _scales(session, sweep)
    unscaled = [item for item in scale if item.spacing_rc_mm is None]
    return Unseen(
        answered_frames=len(answered),
        answered_s=_s(sum(lasts_s[i] for i in answered)),
        finding_frames=sum(sweep.findings[i] > 0 for i in answered),
        no_finding_frames=sum(sweep.findings[i] == 0 for i in answered),
        no_result=no_result,
        not_live=not_live,
        abstained_frames=0 if abstained is None else abstained.frames,
        abstained_s=0.0 if abstained is None else abstained.seconds,
        frames_lost=_lost(session, "frame"),
        without_frames_s=_s(sum(sweep.moments.silent_s)),
        results_lost=_lost(session, "result"),
        messages_lost=sum(session.manifest.gaps.values()),
        pixels_lost=pixels_lost,
        scale=scale,
        without_scale_frames=sum(item.frames for item in unscaled),
        without_scale_s=_s(sum(item.seconds for item in unscaled)),
        timeline=tuple(
            Interval(first_s=_s(begin), last_s=_s(end), kind=kind)
            for begin, end, kind in merge_intervals(_stretches(sweep))
        ),
    )


def _stretches(sweep: SweepLines) -> Iterator[tuple[float, float, str]]:
    moments = sweep.moments
    for index, line in enumerate(sweep.session.frames):
        kind = (
            "not_live" if line.picture is not SignalState.LIVE else "no_result" if sweep.why_not[index] else "answered"
        )
        begin = moments.t_s[index]
        end = begin + moments.lasts_s[index]
        yield begin, end, kind
        if moments.silent_s[index] > 0.0:
            yield end, end + moments.silent_s[index], "no_frames"


def _by_name(items: Iterable[tuple[str, float]]) -> tuple[CauseTime, ...]:
    """The most frequent first."""
    frames: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for name, lasts_s in items:
        frames[name] = frames.get(name, 0) + 1
        seconds[name] = seconds.get(name, 0.0) + lasts_s
    order = sorted(frames, key=lambda name: (-frames[name], name))
    return tuple(CauseTime(name=name, frames=frames[name], seconds=_s(seconds[name])) for name in order)


def _lost(session: RecordedSession, topic: str) -> int:
    """Frames or results that are missing in between; what came after the end is not counted."""
    return sum(
        gap.last_frame_id - gap.first_frame_id + 1
        for gap in session.gaps
        if gap.topic == topic and gap.last_frame_id is not None
    )


def _scales(session: RecordedSession, sweep: SweepLines) -> tuple[ScaleTime, ...]:
    """Every scale that frames had, in the order of their first frame; steps within 2 % are one scale, read again."""
    kinds = {str(item.get("calibration_id")): str(item.get("kind")) for item in session.manifest.calibrations}
    groups: list[list[int]] = []
    for index, line in enumerate(session.frames):
        group = next((item for item in groups if _same_scale(session.frames[item[0]], line)), None)
        if group is None:
            group = []
            groups.append(group)
        group.append(index)
    return tuple(_scale_time(sweep, group, kinds) for group in groups)


def _same_scale(one: FrameLine, other: FrameLine) -> bool:
    if one.spacing_rc_mm is None or other.spacing_rc_mm is None:
        return one.spacing_rc_mm is other.spacing_rc_mm
    pairs = zip(one.spacing_rc_mm, other.spacing_rc_mm, strict=True)
    return one.calibration_id == other.calibration_id and all(abs(b / a - 1.0) <= _SAME_SCALE for a, b in pairs)


def _scale_time(sweep: SweepLines, indices: list[int], kinds: dict[str, str]) -> ScaleTime:
    """Median of the steps, and the largest uncertainty."""
    lines = [sweep.session.frames[i] for i in indices]
    steps = [line.spacing_rc_mm for line in lines if line.spacing_rc_mm is not None]
    name = lines[0].calibration_id if steps else None
    row, column = (statistics.median(step[axis] for step in steps) if steps else 0.0 for axis in (0, 1))
    largest_sd = max((line.spacing_rel_sd for line in lines if line.spacing_rel_sd is not None), default=None)
    return ScaleTime(
        calibration_id=name,
        kind=_kind(name, kinds) if steps else "none",
        spacing_rc_mm=(round(row, 6), round(column, 6)) if steps else None,
        spacing_u95_percent=None if largest_sd is None else round(100.0 * _COVERAGE_FACTOR * largest_sd, 4),
        frames=len(indices),
        seconds=_s(sum(sweep.moments.lasts_s[i] for i in indices)),
        first_s=_s(sweep.moments.t_s[indices[0]]),
    )


def _kind(name: str | None, kinds: dict[str, str]) -> str:
    """Where a scale comes from: ``geometry`` is a file, ``scale_by_…`` was read from what the source shows or says."""
    text = str(name)
    return text if text.startswith("scale_by_") else kinds.get(text, "geometry")


def _s(value: float) -> float:
    return round(value, 3)
