"""What is displayed for a frame: one rule for overlay and panel.

"No result" never looks like "no finding", and neither does a late answer, an engine that was not announced, or a
stream that has stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

from usassist.bus import EngineBody, SessionBody, SessionState
from usassist.records import Cause, Result, ResultState, SignalState

__all__ = ["STATE_COLOR_RGB", "View", "view_of_frame", "view_of_silence"]

STATE_COLOR_RGB: dict[ResultState, tuple[int, int, int]] = {
    ResultState.FINDING: (255, 196, 0),
    ResultState.NO_FINDING: (130, 200, 150),
    ResultState.NO_RESULT: (232, 80, 64),
    ResultState.STALE: (200, 120, 255),
}


_NOT_LIVE = {
    SignalState.FROZEN: "FROZEN",
    SignalState.LOST: "SIGNAL LOST",
    SignalState.CHANGED: "PICTURE CHANGED",
    SignalState.NOT_B_MODE: "NOT B-MODE",
    SignalState.DAMAGED: "FRAME DAMAGED",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What to show.

    Attributes
    ----------
    state : as of the result, or stricter
    headline : short text for the state
    detail : the reason, where there is one
    draw : True only when the outlines may be drawn on the frame
    age_ms : from capture to now, None where that means nothing (a replay that does not keep time)
    word : what the headline says, as a key for tables of words: a state, the name of a signal state, ``abstains``,
        ``waiting`` before the first frame, or ``over`` after the end of the stream
    count : of findings
    domain : what the frame does not show, where the engine abstains
    """

    state: ResultState
    headline: str
    detail: str
    draw: bool
    age_ms: float | None
    word: str = "no_result"
    count: int = 0
    domain: str = ""


def view_of_frame(
    result: Result | None,
    engine: EngineBody | None,
    session: SessionBody | None,
    now_ns: int,
    picture: SignalState = SignalState.LIVE,
) -> View:
    """How to show a frame with its own result.

    Parameters
    ----------
    result : the frame's own result, None when it did not arrive in time
    engine : the last ``engine`` message, None when none has come
    session : the last ``session`` message, None when none has come
    now_ns : monotonic ns
    picture : of the frame
    """
    if result is None:
        return _no_result("the result for this frame did not arrive in time")
    if result.cause in (Cause.NOT_LIVE, Cause.DAMAGED):
        return _not_live(picture, result.reason)
    realtime = session is None or session.realtime
    age_ms = (now_ns - result.t_capture_ns) / 1e6 if realtime else None
    if result.cause is Cause.OUT_OF_DOMAIN:
        return _abstains(result, engine, age_ms)
    if result.state is ResultState.NO_RESULT:
        return _no_result(result.reason, age_ms)
    if result.state is ResultState.STALE:
        return _stale(result.reason, age_ms)
    if engine is None or engine.engine_id != result.engine_id:
        return _no_result(f"engine {result.engine_id} has not been announced", age_ms)
    if age_ms is not None and session is not None and age_ms > session.max_age_ms:
        detail = f"answer is {age_ms:.0f} ms old, limit {session.max_age_ms:.0f} ms"
        return _stale(detail, age_ms)
    if result.state is ResultState.NO_FINDING:
        return View(state=result.state, headline="NO FINDING", detail="", draw=False, age_ms=age_ms, word="no_finding")
    count = len(result.detections)
    headline = f"{count} FINDING" if count == 1 else f"{count} FINDINGS"
    return View(state=result.state, headline=headline, detail="", draw=True, age_ms=age_ms, word="finding", count=count)


def view_of_silence(session: SessionBody | None, silent_ms: float | None) -> View | None:
    """What to show when no more frames arrive; None while the stream is alive.

    Parameters
    ----------
    session : the last ``session`` message
    silent_ms : time since the last frame, None when none has ever come
    """
    if session is not None and session.state is not SessionState.RUNNING:
        text = {
            SessionState.ENDED: "the recording has ended",
            SessionState.INTERRUPTED: "the stream was stopped",
            SessionState.FAILED: f"the stream failed: {session.reason}",
        }[session.state]
        return _no_result(text, word="over")
    signal = None if session is None else session.signal
    period_ms = 1000.0 / session.rate_hz if session is not None and session.rate_hz else 33.3
    silent = silent_ms is None or silent_ms > max(10.0 * period_ms, 330.0)
    if signal is not None and signal.state is not SignalState.LIVE:
        # Frozen frames still arrive; with a lost or changed signal the last frame is stale.
        if silent or signal.state in (SignalState.LOST, SignalState.CHANGED):
            return _not_live(signal.state, signal.reason)
        return None
    if silent_ms is None:
        return _no_result("waiting for the first frame", word="waiting")
    if silent:
        return _no_result(f"no frame for {silent_ms / 1000.0:.1f} s")
    return None


def _not_live(state: SignalState, detail: str) -> View:
    headline = _NOT_LIVE.get(state, "NO RESULT")
    word = str(state) if state in _NOT_LIVE else "no_result"
    return View(state=ResultState.NO_RESULT, headline=headline, detail=detail, draw=False, age_ms=None, word=word)


def _abstains(result: Result, engine: EngineBody | None, age_ms: float | None) -> View:
    """The engine does not know this kind of frame, which is said in so many words: nobody has looked for anything."""
    if engine is None or engine.engine_id != result.engine_id or not engine.domain:
        return _no_result(result.reason, age_ms)
    return View(
        state=ResultState.NO_RESULT,
        headline=f"NOT {engine.domain.upper()}",
        detail=f"no result: {result.reason}",
        draw=False,
        age_ms=age_ms,
        word="abstains",
        domain=engine.domain,
    )


def _stale(detail: str, age_ms: float | None) -> View:
    return View(state=ResultState.STALE, headline="STALE", detail=detail, draw=False, age_ms=age_ms, word="stale")


def _no_result(detail: str, age_ms: float | None = None, word: str = "no_result") -> View:
    return View(state=ResultState.NO_RESULT, headline="NO RESULT", detail=detail, draw=False, age_ms=age_ms, word=word)
