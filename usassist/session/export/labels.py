"""The engine that a session's log announces, and the names of its labels."""

from __future__ import annotations

import contextlib

from usassist.bus import EngineBody
from usassist.errors import MessageError, SchemaVersionError, SessionError
from usassist.session.messages import whole_message
from usassist.session.opening import RecordedSession

__all__ = ["announced_engine", "label_names"]


def announced_engine(session: RecordedSession) -> EngineBody | None:
    """The first engine that the log announces; None if it does not, or is lost."""
    with contextlib.suppress(SessionError, SchemaVersionError):
        for record in session.messages():
            with contextlib.suppress(MessageError):
                message = whole_message(record)
                if message.topic.name == "engine":
                    body: EngineBody = message.body
                    return body
    return None


def label_names(session: RecordedSession, engine: EngineBody | None) -> dict[int, str]:
    """Label id → its name: those of the engine, and others that results have.

    Parameters
    ----------
    session : of which the results are
    engine : of :func:`announced_engine`
    """
    names = {} if engine is None else {label.id: label.name for label in engine.labels}
    for line in session.lines():
        for nodule in (line.result or {}).get("nodules", ()):
            names.setdefault(nodule["label_id"], nodule.get("label") or f"label {nodule['label_id']}")
    return dict(sorted(names.items()))
