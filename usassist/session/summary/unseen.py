"""What of a sweep was not looked at: frames without an answer, time that was not live, and where there was no scale."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from usassist.records import SignalState
from usassist.session.opening import RecordedSession
from usassist.session.summary.document import CauseTime, ScaleTime, Unseen
from usassist.session.summary.moments import merge_intervals
from usassist.session.summary.parts import Interval
from usassist.session.summary.seen import SweepLines

__all__ = ["find_unseen"]

_COVERAGE_FACTOR = 2.0
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
    """Every scale that frames had, in the order of their first frame; None = no scale."""
    kinds = {str(item.get("calibration_id")): str(item.get("kind")) for item in session.manifest.calibrations}
    found: dict[tuple[object, ...], list[int]] = {}
    for index, line in enumerate(session.frames):
        key = (line.calibration_id if line.spacing_rc_mm else None, line.spacing_rc_mm, line.spacing_rel_sd)
        found.setdefault(key, []).append(index)
    scales = []
    for indices in found.values():
        line = session.frames[indices[0]]
        name = line.calibration_id if line.spacing_rc_mm else None
        scales.append(
            ScaleTime(
                calibration_id=name,
                kind="none" if line.spacing_rc_mm is None else _kind(name, kinds),
                spacing_rc_mm=line.spacing_rc_mm,
                spacing_u95_percent=None
                if line.spacing_rel_sd is None
                else round(100.0 * _COVERAGE_FACTOR * line.spacing_rel_sd, 4),
                frames=len(indices),
                seconds=_s(sum(sweep.moments.lasts_s[i] for i in indices)),
                first_s=_s(sweep.moments.t_s[indices[0]]),
            )
        )
    return tuple(scales)


def _kind(name: str | None, kinds: dict[str, str]) -> str:
    """Where a scale comes from: ``geometry`` is a file, ``scale_by_…`` was read from what the source shows or says."""
    text = str(name)
    return text if text.startswith("scale_by_") else kinds.get(text, "geometry")


def _s(value: float) -> float:
    return round(value, 3)
