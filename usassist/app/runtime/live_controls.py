"""Carries out what people ask of a live session: recording on and off, another engine, operating point, source.

Recording on and off leaves the stream alone. Everything else begins a new session: the stream ends in order, its
recorder receives the rest of it, and the warm standby starts with the new options. Where that fails, the stream starts
again with the options of before. One change at a time; a request that comes meanwhile is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from usassist.app.runtime.current_session import CurrentSession, LiveReport
from usassist.app.runtime.offered import Offered
from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.recording_switch import RecordingSwitch
from usassist.app.runtime.supervised_process import SupervisedProcess
from usassist.bus import ControlAction, ControlBody, ControlState
from usassist.errors import UsAssistError
from usassist.pipeline import answer_to

__all__ = ["LiveControls"]

_READY_S = 60.0  # for an engine to be opened
_FIRST_FRAME_S = 10.0  # for another source to give a frame
_TELL_AFTER_S = (1.0, 3.0)  # readers connect to a new stream within half a second
_MAX_CHANGES = 200
_UNDER_WAY = "another change is under way; try again in a moment"


@dataclass(slots=True)
class _Change:
    """A change that is under way.

    Attributes
    ----------
    request : whose outcome is due
    before : options to come back to
    needs_frame : it is done only when a frame has come
    refused : why it has failed; the stream is on its way back to the options of before then
    since_s : when the stream was started for it
    """

    request: ControlBody
    before: StreamOptions
    needs_frame: bool
    since_s: float
    refused: str = ""
    ready_s: float = field(default=0.0)


class LiveControls:
    """Takes the requests that the stream has received, and gives it the outcomes.

    Parameters
    ----------
    stream : the process of the stream
    switch : begins and ends recordings
    offered : what may be chosen
    session : whose options change
    report : gets one line for every request
    log : called with the same line
    """

    def __init__(
        self,
        stream: SupervisedProcess,
        switch: RecordingSwitch,
        offered: Offered,
        session: CurrentSession,
        report: LiveReport,
        log: Callable[[str], None],
    ) -> None:
        self._stream, self._switch, self._offered = stream, switch, offered
        self._session, self._report, self._log = session, report, log
        self._change: _Change | None = None
        self._missed: list[ControlBody] = []  # sent to a stream that was just being ended
        self._later: list[tuple[float, ControlBody]] = []

    def poll(self) -> None:
        """Carry on; call it after the processes have been polled, and before those that died are restarted."""
        reports = list(self._stream.reports)
        self._stream.reports.clear()
        streams = any(report.event == "streaming" for report in reports)
        if self._change is not None:
            self._follow_change(self._change, streams=streams)
        for report in reports:
            if report.event == "control":
                self._take(msgspec.convert(report.content["request"], ControlBody))
        for request, problem, note in self._switch.poll():
            self._answer(request, problem, note=note)
        now_s = time.monotonic()
        due = [outcome for at_s, outcome in self._later if at_s <= now_s]
        self._later = [item for item in self._later if item[0] > now_s]
        for outcome in due:
            self._tell(outcome)

    def _take(self, request: ControlBody) -> None:
        if self._change is not None:
            self._answer(request, _UNDER_WAY)
        elif request.action is ControlAction.RECORD:
            self._switch.ask(request)
        elif self._switch.is_busy:
            self._answer(request, "the recording is just being begun or closed; try again in a moment")
        else:
            self._begin(request)

    def _begin(self, request: ControlBody) -> None:
        before = self._session.stream
        try:
            changed = self._offered.change(before, request.action, request.value)
        except UsAssistError as error:
            self._answer(request, str(error))
            return
        if changed is before:
            self._answer(request, "", note="it is so already")
            return
        if not self._stream.is_ready:
            self._answer(request, "the stream is just starting; try again in a moment")
            return
        self._log(f"{_words(request)} is asked for; a new session begins")
        self._change = _Change(request, before, request.action is ControlAction.SOURCE, 0.0)
        self._restart(changed)

    def _restart(self, options: StreamOptions) -> None:
        assert self._change is not None
        missed = self._switch.end_with(self._stream.detach())
        self._session.stream = options
        self._stream.start()
        self._switch.begin_with()
        self._change.since_s, self._change.ready_s = time.monotonic(), 0.0
        for report in missed:
            if report.event == "control":
                self._missed.append(msgspec.convert(report.content["request"], ControlBody))

    def _follow_change(self, change: _Change, *, streams: bool) -> None:
        now_s = time.monotonic()
        problem = ""
        if self._stream.reap():
            problem = self._stream.problem or "the stream exited"
        elif self._stream.is_ready:
            change.ready_s = change.ready_s or now_s
            if not change.needs_frame or streams or change.refused:
                self._finish(change)
                return
            if now_s - change.ready_s > _FIRST_FRAME_S:
                problem = f"no frame came from it in {_FIRST_FRAME_S:.0f} s"
        elif now_s - change.since_s > _READY_S and self._stream.child is not None:
            self._stream.child.kill()
            problem = f"the stream was not ready in {_READY_S:.0f} s"
        if not problem:
            return
        if change.refused:  # the options of before do not work either: the supervisor goes on trying
            self._log(f"the stream does not come back: {problem}")
            self._finish(change)
            return
        change.refused = problem
        self._log(f"{_words(change.request)} failed: {problem}; the stream starts again as it was")
        self._restart(change.before)

    def _finish(self, change: _Change) -> None:
        self._change = None
        for request in self._missed:
            self._answer(request, _UNDER_WAY, later=True)
        self._missed.clear()
        self._answer(change.request, change.refused, later=True)

    def _answer(self, request: ControlBody, problem: str, *, note: str = "", later: bool = False) -> None:
        """Give the outcome to the stream, and report it.

        Parameters
        ----------
        request : that was asked
        problem : why it was refused; empty = it is done
        note : what else is to be known where it is done
        later : a new stream has just started, and its readers are not connected yet
        """
        state = ControlState.REFUSED if problem else ControlState.DONE
        outcome = answer_to(request, state, problem or note)
        line = f"{_words(request)}: {state}" + (f", {outcome.reason}" if outcome.reason else "")
        if len(self._report.changes) < _MAX_CHANGES:
            self._report.changes.append(line)
        self._log(line)
        if later:
            self._later += [(time.monotonic() + wait_s, outcome) for wait_s in _TELL_AFTER_S]
        else:
            self._tell(outcome)

    def _tell(self, outcome: ControlBody) -> None:
        if self._stream.child is not None:
            self._stream.child.send({"outcome": msgspec.to_builtins(outcome)})


def _words(request: ControlBody) -> str:
    named = {
        ControlAction.RECORD: "recording",
        ControlAction.POINT: "operating point",
        ControlAction.ENGINE: "engine",
        ControlAction.PRECISION: "precision",
        ControlAction.SOURCE: "source",
    }[request.action]
    return f"{named} {request.value}" + (f" (from the {request.sender})" if request.sender else "")
