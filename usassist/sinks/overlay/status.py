"""What stands in the bars above and below the image, in words of one language."""

from __future__ import annotations

from dataclasses import dataclass, replace

from usassist.bus import EngineBody, Plane, SessionBody, Side
from usassist.records import Frame, Result, ResultState
from usassist.sinks.reports import Recording, RecordingState
from usassist.sinks.view import View
from usassist.words import Words

__all__ = ["Status", "headline_of", "held", "place_in_words", "recorded", "status_of"]

_BUILDING = " is being built"  # in the note of an engine, see ``engine.failover``


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The texts of both bars.

    Attributes
    ----------
    state : gives the colour
    sign : of ``signs.SIGNS``
    headline : the state, in capital letters
    detail : its reason
    note : what else limits the answer: no scale, an engine that is being built
    frame : whether it is live, its number, the time in the clip, the age of the result
    recording : state of the recording, in short
    is_recording : it runs
    lost : what it lost, in short; empty = nothing
    lower : engine, back end, operating point and more
    alert : before it, what has to be seen
    said : what became of the last key that was pressed
    notice : research use only
    """

    state: ResultState
    sign: str
    headline: str
    detail: str = ""
    note: str = ""
    frame: str = ""
    recording: str = ""
    is_recording: bool = False
    lost: str = ""
    lower: str = ""
    alert: str = ""
    said: str = ""
    notice: str = ""


def status_of(
    frame: Frame | None,
    result: Result | None,
    view: View,
    engine: EngineBody | None,
    words: Words,
    session: SessionBody | None = None,
) -> Status:
    """The texts for one frame, without those of the recording.

    Parameters
    ----------
    frame : None while none has come
    result : its own, or None
    view : of both
    engine : None = none was announced
    words : of the part ``window``
    session : tells whether it is live; None = that is not said
    """
    ran = result.backend if result is not None else (engine.backend if engine is not None else "")
    name = words("detail.no_engine") if engine is None else engine.engine_id.partition("+")[0]
    point = "" if engine is None or engine.point is None else engine.point.name
    return Status(
        state=view.state,
        sign=view.word,
        headline=headline_of(view, words),
        detail=view.detail,
        note="   ".join(filter(None, (_scale_note(frame, view, words), _engine_note(engine, words)))),
        frame="   ".join(filter(None, (_kind_in_words(session, view, words), _frame_in_words(frame, view, words)))),
        lower="   ".join(filter(None, (name, ran, point))),
        notice=words("detail.notice"),
    )


def headline_of(view: View, words: Words) -> str:
    """The state in capital letters."""
    if view.word == "finding" and view.count != 1:
        return words("state.findings", count=view.count)
    key = f"domain.{view.domain.lower()}"
    domain = words(key) if words.known(key) else view.domain.upper()
    return words(f"state.{view.word}", domain=domain)


def held(status: Status, silence: View | None, words: Words) -> Status:
    """The texts while the display is held by its user.

    Parameters
    ----------
    status : of the frame that is shown
    silence : what the stream is like now; None = frames come
    """
    detail = words("detail.held", headline=status.headline)
    now = "" if silence is None else words("detail.now", headline=headline_of(silence, words), detail=silence.detail)
    return replace(
        status,
        sign="held",
        headline=words("state.held"),
        detail=detail,
        note="   ".join(filter(None, (status.detail, status.note))),
        alert="   ".join(filter(None, (now, status.alert))),
    )


def recorded(status: Status, recording: Recording, words: Words) -> Status:
    """The texts with those of the recording: never that it runs without what it has lost."""
    alert = words("recording.why", reason=recording.reason) if recording.reason else ""
    if recording.missed:
        alert = "   ".join(filter(None, (alert, words("recording.lost", count=recording.missed))))
    lost = words("recording.missed", count=recording.missed) if recording.missed else ""
    if recording.state is RecordingState.UNKNOWN:
        return status
    if recording.state is RecordingState.RUNNING:
        seconds = int(recording.elapsed_s or 0.0)
        time = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        return replace(
            status, recording=words("recording.running", time=time), is_recording=True, lost=lost, alert=alert
        )
    text = words(f"recording.{recording.state.value}")
    if recording.state in (RecordingState.STOPPED, RecordingState.SILENT):
        return replace(status, lost=f"{text}  {lost}".strip(), alert=alert)
    return replace(status, recording=text, lost=lost, alert=alert)


def place_in_words(side: Side | None, plane: Plane | None, words: Words) -> str:
    """Side and plane as they were stated; empty where neither was."""
    return " ".join(words(f"place.{part.value}") for part in (side, plane) if part is not None)


def _scale_note(frame: Frame | None, view: View, words: Words) -> str:
    is_uncalibrated = frame is not None and frame.spacing_rc_mm is None and view.state.is_answer
    return words("detail.uncalibrated") if is_uncalibrated else ""


def _engine_note(engine: EngineBody | None, words: Words) -> str:
    if engine is None or not engine.note:
        return ""
    if _BUILDING in engine.note:
        return words("detail.building", note=engine.note.replace(_BUILDING, ""))
    return words("detail.note", note=engine.note)


def _kind_in_words(session: SessionBody | None, view: View, words: Words) -> str:
    """LIVE, CLIP, SIMULATED or REPLAY; empty where it is not stated, and where a live signal is not live now."""
    if session is None or (session.kind == "live" and not session.replayed and view.age_ms is None):
        return ""
    parts = ["replay"] if session.replayed else []
    if session.kind in ("live", "clip", "simulated") and (not session.replayed or session.kind == "simulated"):
        parts.append(session.kind)
    return " ".join(words(f"kind.{part}") for part in parts)


def _frame_in_words(frame: Frame | None, view: View, words: Words) -> str:
    if frame is None:
        return words("frame.none")
    parts = [words("frame.number", number=frame.frame_id)]
    if frame.pts is not None and frame.time_base is not None:
        seconds = float(frame.pts * frame.time_base)
        parts.append(f"{int(seconds // 60)}:{words.number(seconds % 60, 1).rjust(4, '0')}")
    if view.age_ms is not None:
        parts.append(words("frame.age", ms=f"{view.age_ms:.0f}"))
    return "   ".join(parts)
