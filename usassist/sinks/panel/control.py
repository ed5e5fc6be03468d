"""Requests from the page to change the running session: checked, sent to the stream, and what came of them."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from usassist.bus import ControlAction, ControlBody, ControlState, EngineBody, Inbox, Message, SessionBody
from usassist.common.clock import Clock
from usassist.sinks.panel.marks import RateLimit

__all__ = ["Answer", "Choices", "ControlIntake", "Outcome", "state_document"]

_KEPT = 200  # outcomes
_LONGEST_S = {ControlAction.RECORD: 65.0}  # a recorder that does not answer is ended after 60 s
_USUAL_LONGEST_S = 150.0  # another engine may be opened, and the one of before again
SENDER = "page"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What may be chosen, and what of it is not in the messages of the stream.

    Attributes
    ----------
    engines : ``name@version`` of each
    precisions : ``auto`` and those of the engines
    sources : names of the sources
    precision, source : as chosen when the page was started
    """

    engines: tuple[str, ...] = ()
    precisions: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    precision: str = ""
    source: str = ""


class Answer(StrEnum):
    """What came of a request."""

    DONE = "done"
    REFUSED = "refused"
    SILENT = "silent"  # nothing came back


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a request, with one line of reason; empty where there is nothing to say."""

    answer: Answer
    reason: str = ""


class ControlIntake:
    """Sends requests to the stream, and keeps what came of them. May be used from several threads.

    Parameters
    ----------
    inbox : to the stream
    clock : stamps the requests
    choices : what may be chosen; None = nothing may be changed, as where no ``usassist live`` supervises the stream

    Attributes
    ----------
    choices : as given
    """

    def __init__(self, inbox: Inbox, clock: Clock, choices: Choices | None = None) -> None:
        self._inbox, self._clock = inbox, clock
        self.choices = choices
        self._limit = RateLimit(clock)  # of all pages together: there is one session
        self._changed = threading.Condition()
        self._outcomes: OrderedDict[str, ControlBody] = OrderedDict()
        self._chosen: dict[ControlAction, str] = {}
        if choices is not None:
            self._chosen = {ControlAction.PRECISION: choices.precision, ControlAction.SOURCE: choices.source}
        self._engine: EngineBody | None = None
        self._session: SessionBody | None = None
        self._closed = False

    def take(self, message: Message) -> None:
        """Take a message of the stream; those of other topics are ignored. Called by the thread that reads the bus."""
        body = message.body
        with self._changed:
            if isinstance(body, EngineBody):
                self._engine = body
            elif isinstance(body, SessionBody):
                self._session = body
            elif isinstance(body, ControlBody) and body.state is not ControlState.ASKED:
                self._outcomes[body.request_id] = body
                if len(self._outcomes) > _KEPT:
                    self._outcomes.popitem(last=False)
                if body.state is ControlState.DONE:
                    self._chosen[body.action] = body.value
                self._changed.notify_all()

    @property
    def engine(self) -> EngineBody | None:
        """The last ``engine`` message."""
        return self._engine

    @property
    def session(self) -> SessionBody | None:
        """The last ``session`` message."""
        return self._session

    def chosen(self, action: ControlAction) -> str:
        """What is chosen now; empty where that is not known."""
        engine = self._engine
        if action is ControlAction.ENGINE:
            return "" if engine is None else engine.engine_id.partition("+")[0]
        if action is ControlAction.POINT:
            return "" if engine is None or engine.point is None else engine.point.name
        return self._chosen.get(action, "")

    def offered(self, action: ControlAction) -> tuple[str, ...]:
        """What may be chosen."""
        if self.choices is None:
            return ()
        if action is ControlAction.POINT:
            return () if self._engine is None else tuple(point.name for point in self._engine.points)
        return {
            ControlAction.RECORD: ("on", "off"),
            ControlAction.ENGINE: self.choices.engines,
            ControlAction.PRECISION: self.choices.precisions,
            ControlAction.SOURCE: self.choices.sources,
        }[action]

    def request(self, action: ControlAction, value: str, *, timeout_s: float | None = None) -> Outcome:
        """Ask for a change, and wait for what comes of it. Never raises for a bad value.

        Parameters
        ----------
        action : what
        value : see ``bus.ControlAction``
        timeout_s : longest wait; None = as long as the supervisor may take
        """
        if self.choices is None:
            return Outcome(answer=Answer.REFUSED, reason="nothing of this stream can be changed from here")
        if value not in self.offered(action):
            known = ", ".join(self.offered(action)) or "none"
            return Outcome(answer=Answer.REFUSED, reason=f"{value[:60]!r} was not offered; choose one of: {known}")
        with self._changed:
            if not self._limit.take():
                return Outcome(answer=Answer.REFUSED, reason="too many requests in a short time; wait a moment")
        body = ControlBody(
            request_id=secrets.token_hex(8),
            action=action,
            value=value,
            t_control_ns=self._clock.now_ns(),
            state=ControlState.ASKED,
            sender=SENDER,
        )
        if not self._inbox.send("control", body):
            return Outcome(answer=Answer.REFUSED, reason="no stream is running")
        return self._wait(body, _LONGEST_S.get(action, _USUAL_LONGEST_S) if timeout_s is None else timeout_s)

    def _wait(self, request: ControlBody, timeout_s: float) -> Outcome:
        until_s = time.monotonic() + timeout_s
        with self._changed:
            while request.request_id not in self._outcomes and not self._closed:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            outcome = self._outcomes.get(request.request_id)
        if outcome is None:
            return Outcome(answer=Answer.SILENT, reason=f"no answer came in {timeout_s:.0f} s")
        answer = Answer.DONE if outcome.state is ControlState.DONE else Answer.REFUSED
        return Outcome(answer=answer, reason=outcome.reason)

    def close(self) -> None:
        """Let those who wait go on."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def state_document(intake: ControlIntake) -> dict[str, object]:
    """What runs now and what may be chosen, for programs."""
    session = intake.session
    return {
        "session_id": None if session is None else session.session_id,
        "state": None if session is None else str(session.state),
        "chosen": {
            str(action): intake.chosen(action) for action in ControlAction if action is not ControlAction.RECORD
        },
        "offered": {str(action): list(intake.offered(action)) for action in ControlAction},
    }
