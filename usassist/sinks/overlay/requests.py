"""What is asked of the running session from the window: recording on and off, the next operating point.

A request is done when the stream has said so over the bus; until then it is only asked for.
"""

from __future__ import annotations

import secrets

from usassist.bus import ControlAction, ControlBody, ControlState, EngineBody
from usassist.common.clock import Clock
from usassist.sinks.overlay.marks import Outbox
from usassist.sinks.overlay.notices import Notice
from usassist.sinks.reports import Recording, RecordingState
from usassist.words import Words

__all__ = ["WindowRequests"]

_ANSWER_WITHIN_NS = 60_000_000_000  # a session that begins anew may have to open an engine first
_AGAIN_NS = 4_000_000_000
_SENDER = "window"


class WindowRequests:
    """Sends requests, and has a notice for each step of them.

    Parameters
    ----------
    outbox : to the stream; None = nothing can be asked for
    clock : for time stamps and time limits
    notice : says it
    words : of the part ``window``
    """

    def __init__(self, outbox: Outbox | None, clock: Clock, notice: Notice, words: Words) -> None:
        self._outbox, self._clock, self._notice, self._words = outbox, clock, notice, words
        self._open: dict[str, tuple[ControlBody, int]] = {}  # by id, with its time limit
        self._stop_until_ns = 0

    def toggle_recording(self, recording: Recording) -> None:
        """Ask to start the recording, or to stop it: that only where it is said twice, because a key is hit easily.

        Parameters
        ----------
        recording : as it is now
        """
        now_ns = self._clock.now_ns()
        if recording.state is RecordingState.UNKNOWN:
            self._notice.say(self._words("said.no_recording"))
        elif recording.state is not RecordingState.RUNNING:
            self._ask(ControlAction.RECORD, "on")
        elif now_ns < self._stop_until_ns:
            self._stop_until_ns = 0
            self._ask(ControlAction.RECORD, "off")
        else:
            self._stop_until_ns = now_ns + _AGAIN_NS
            self._notice.say(self._words("said.again"))

    def next_point(self, engine: EngineBody | None) -> None:
        """Ask for the operating point after the present one."""
        names = [] if engine is None else [point.name for point in engine.points]
        present = "" if engine is None or engine.point is None else engine.point.name
        if len(names) < 2:
            self._notice.say(self._words("said.no_points"))
            return
        index = names.index(present) + 1 if present in names else 0
        self._ask(ControlAction.POINT, names[index % len(names)])

    def take(self, body: ControlBody) -> None:
        """A message about a request, of this window or of another viewer, who is looked over the shoulder."""
        if body.state is ControlState.ASKED:
            return
        self._open.pop(body.request_id, None)
        what = self._what(body)
        if body.state is ControlState.REFUSED:
            self._notice.say(self._words("said.refused", what=what, reason=body.reason))
        else:
            text = self._words("said.done", what=what)
            self._notice.say(f"{text}, {body.reason}" if body.reason else text)

    def poll(self) -> None:
        """Say which requests have had no answer."""
        now_ns = self._clock.now_ns()
        for body, until_ns in list(self._open.values()):
            if now_ns > until_ns:
                del self._open[body.request_id]
                self._notice.say(self._words("said.ask_no_answer", what=self._what(body)))

    def _ask(self, action: ControlAction, value: str) -> None:
        now_ns = self._clock.now_ns()
        body = ControlBody(
            request_id=secrets.token_hex(8),
            action=action,
            value=value,
            t_control_ns=now_ns,
            state=ControlState.ASKED,
            sender=_SENDER,
        )
        if self._outbox is None or not self._outbox.send("control", body):
            self._notice.say(self._words("said.ask_no_stream", what=self._what(body)))
            return
        self._open[body.request_id] = body, now_ns + _ANSWER_WITHIN_NS
        self._notice.say(self._words("said.asked", what=self._what(body)))

    def _what(self, body: ControlBody) -> str:
        if body.action is ControlAction.RECORD:
            return self._words(f"said.record_{body.value}")
        if body.action is ControlAction.POINT:
            return self._words("said.point", value=body.value)
        return self._words("said.other", action=body.action.value, value=body.value)
