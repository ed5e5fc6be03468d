"""Begins and ends recordings of a live stream."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from usassist.app.runtime.child_process import ChildProcess, ChildReport, ChildTimeoutError
from usassist.app.runtime.current_session import CurrentSession, LiveReport
from usassist.app.runtime.supervised_process import POLL_S, PollClock, SupervisedProcess
from usassist.bus import ControlBody
from usassist.errors import UsAssistError

__all__ = ["RecordingSwitch", "wait_for"]

_ALREADY = {"on": "it is being recorded already", "off": "nothing was being recorded"}
_FINISH_S = 20.0
_SETTLED_S = 60.0
_CLOSE_S = 120.0  # for checksums of a long recording, beside the next one


class RecordingSwitch:
    """The recorder of a live session, which runs where a recording is wanted.

    Parameters
    ----------
    record : its process; None = nothing can be recorded
    session : whose options say whether there is a recorder
    report : says why a recording stopped
    refusal : why nothing can be recorded, where that is so

    Attributes
    ----------
    on_request : the next recorder begins in the middle of a stream, because somebody asked for it
    """

    def __init__(
        self, record: SupervisedProcess | None, session: CurrentSession, report: LiveReport, refusal: str = ""
    ) -> None:
        self._record, self._session, self._report, self._refusal = record, session, report, refusal
        self._waiting: list[ControlBody] = []
        self._closing: list[threading.Thread] = []
        self._answers: list[tuple[ControlBody, str, str]] = []
        self._asked_s = 0.0
        self.on_request = False

    @property
    def is_busy(self) -> bool:
        """A recording is just being begun or closed on request."""
        return bool(self._waiting)

    @property
    def is_ending(self) -> bool:
        """No recording is wanted: a recorder that exits is not restarted."""
        return not self._session.records

    @property
    def is_on(self) -> bool:
        """There is a recorder, or there will be one again when it has been restarted."""
        return self._record is not None and not self._record.finished

    def ask(self, request: ControlBody) -> None:
        """Take a request; :meth:`poll` gives its outcome."""
        if not self._waiting:
            self._asked_s = time.monotonic()
        if self._record is None:
            self._answers.append((request, self._refusal or "nothing can be recorded here", ""))
        elif self._waiting and request.value != self._waiting[0].value:
            self._answers.append((request, "the recording is just being begun or closed; try again in a moment", ""))
        elif self._waiting:
            self._waiting.append(request)
        elif (request.value == "on") == self.is_on:
            self._answers.append((request, "", _ALREADY[request.value]))
        elif request.value == "on":
            self._waiting.append(request)
            self.on_request = True
            self._record.start()
            self._session.records = True
        else:
            self._waiting.append(request)
            self._session.records = False
            if self._record.child is None or not self._record.child.send({"finish": True}):
                self._record.stop_restarting()

    def poll(self) -> Iterator[tuple[ControlBody, str, str]]:
        """Requests that are settled, each with why it was refused or an empty text, and with a note."""
        record = self._record
        if record is not None and self._waiting:
            wants = self._waiting[0].value == "on"
            if wants and record.is_ready:
                self._report.recording_stopped = ""
                self._settle("")
            elif wants and record.finished and record.child is None:
                self._session.records = False
                self._settle(record.problem or "the recorder exited; run usassist doctor")
            elif not wants and record.finished and record.child is None:
                self._settle("")
            elif time.monotonic() - self._asked_s > _SETTLED_S:
                self._session.records = False
                record.stop_restarting()
                if record.child is not None:
                    record.child.kill()
                self._settle(f"the recorder did not answer in {_SETTLED_S:.0f} s and was ended")
        answers, self._answers = self._answers, []
        yield from answers

    def _settle(self, problem: str) -> None:
        self._answers += [
            (request, problem, _ALREADY[request.value] if number and not problem else "")
            for number, request in enumerate(self._waiting)
        ]
        self._waiting.clear()

    def end_with(self, stream: ChildProcess | None) -> list[ChildReport]:
        """End a stream in order, with its recorder, so that another one can use its address.

        The recorder receives everything; its files are closed in a thread while the next stream starts.

        Parameters
        ----------
        stream : detached from its supervisor; None = it has died

        Returns
        -------
        reports : what the stream has reported meanwhile
        """
        reports: list[ChildReport] = []
        if stream is None:
            self.close()
            return reports
        recorder = None if self._record is None else self._record.detach()
        stream.terminate()
        with contextlib.suppress(UsAssistError):  # one that hangs is killed
            wait_for(stream, "ended", "done", others=reports)
            if recorder is not None:
                wait_for(recorder, "received", "done")
        stream.stop()
        if recorder is not None:
            self._close(recorder)
        return reports

    def begin_with(self) -> None:
        """Start the recorder of a stream that has just been started, where there is to be one."""
        self.on_request = False
        if self._record is not None and self._session.records:
            self._record.start()

    def close(self) -> None:
        """Let the recorder of a stream that has died close its files; the next stream gets a new recorder."""
        self.on_request = False
        child = None if self._record is None else self._record.detach()
        if child is not None:
            self._close(child)

    def _close(self, recorder: ChildProcess) -> None:
        thread = threading.Thread(target=recorder.stop, args=(_CLOSE_S,), name="close-recording")
        thread.start()
        self._closing = [before for before in self._closing if before.is_alive()] + [thread]

    def join(self) -> None:
        """Wait until all recordings of before are closed."""
        for thread in self._closing:
            thread.join()


def wait_for(child: ChildProcess, *events: str, others: list[ChildReport] | None = None) -> dict[str, Any]:
    """Wait for the final report of a child; kill it where it hangs.

    Parameters
    ----------
    child : asked to finish
    events : that are waited for
    others : gets its other reports

    Raises
    ------
    UsAssistError
        If it hangs, exits or reports an error.
    """
    clock = PollClock(threading.Event())
    deadline_s = time.monotonic() + _FINISH_S
    while time.monotonic() < deadline_s and not (reason := child.hang_reason(clock.elapsed_s())):
        try:
            return child.wait_for(*events, timeout_s=POLL_S, others=others)
        except ChildTimeoutError:
            continue
    child.kill()
    raise UsAssistError(
        f"the process {child.name} was killed at the end: {reason or f'it took more than {_FINISH_S:.0f} s'}"
    )
