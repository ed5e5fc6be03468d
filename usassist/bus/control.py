"""Body of the topic ``control``: what a person asks of a running session, and what came of it."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from usassist.common.wire_fields import Int64

__all__ = ["ControlAction", "ControlBody", "ControlState"]

_LONGEST = {"request_id": 64, "value": 200, "reason": 500, "sender": 40}


class ControlAction(StrEnum):
    """What can be asked for."""

    RECORD = "record"  # value: on or off
    POINT = "point"  # value: name of an operating point
    ENGINE = "engine"  # value: name or name@version
    PRECISION = "precision"  # value: auto, or a name of one
    SOURCE = "source"  # value: name of a source that was offered


class ControlState(StrEnum):
    """Where a request stands. A viewer sends ``asked``; the other two come from the stream alone."""

    ASKED = "asked"
    REFUSED = "refused"  # nothing was changed; see `reason`
    DONE = "done"


class ControlBody(msgspec.Struct, frozen=True, kw_only=True):
    """Body of ``control``.

    A viewer posts a request with the state ``asked`` to the inbox. The stream publishes it, and later the same request
    with its outcome. ``request_id`` is made by the viewer and tells requests apart. ``t_control_ns`` is when it was
    asked (monotonic ns). ``reason`` is one line for a person; of ``done`` it may say what else is to be known.
    ``sender`` is the kind of viewer, such as ``page`` or ``window``, and never a person's name. ``value`` holds neither
    path nor password: sources are chosen by the names under which they were offered.
    """

    request_id: str
    action: ControlAction
    value: str
    t_control_ns: Int64
    state: ControlState
    reason: str = ""
    sender: str = ""

    def __post_init__(self) -> None:
        """Check the texts; a ``ValueError`` makes a message malformed."""
        for name, longest in _LONGEST.items():
            text = getattr(self, name)
            if len(text) > longest or not all(char.isprintable() for char in text):
                raise ValueError(f"{name} must be one line of {longest} characters at most, got {text[:60]!r}")
        if not self.request_id or not self.value:
            raise ValueError("a request needs a request_id and a value")
        if self.action is ControlAction.RECORD and self.value not in ("on", "off"):
            raise ValueError(f"recording is on or off, got {self.value!r}")
