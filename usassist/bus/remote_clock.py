"""Times of a stream that runs on another machine, in this machine's monotonic time.

Monotonic clocks of two machines are unrelated: without translation a stale answer could pass for a new one. Every
message carries the time of its publication. The message with the shortest transit gives the offset of the clocks, up to
that transit time, so ages are too small by that much and no more: well below a millisecond in one building, but as long
as the queue on a link that is saturated. From then on the offset may grow by no more than the drift between two bad
quartz clocks, so a message that was delayed for long shows its age.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from usassist.bus.codec import Message
from usassist.common.clock import Clock, MonotonicClock

__all__ = ["RemoteClock"]

_NEAR_NS = 1_000_000_000  # a first message of this machine's own clock is younger than that
_BEFORE_NS = -1_000_000  # and none of them comes before it was sent
_DRIFT = 200e-6


class RemoteClock:
    """The offset of a stream's clock to this machine's, from the messages received.

    Parameters
    ----------
    clock : this machine's
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = MonotonicClock() if clock is None else clock
        self._is_ours: bool | None = None
        self._least_ns: int | None = None
        self._told_ns = 0

    def restart(self) -> None:
        """Forget the offset: there is a new connection, maybe to another machine."""
        if self._is_ours is False:
            self._is_ours = self._least_ns = None

    def translate(self, message: Message) -> Message:
        """The message with all its times in this machine's time; the same one where the clock is this machine's."""
        now_ns = self._clock.now_ns()
        ahead_ns = now_ns - message.t_publish_ns
        if self._is_ours is None:
            self._is_ours = 0 <= ahead_ns < _NEAR_NS
        if self._is_ours and ahead_ns >= _BEFORE_NS:
            return message
        self._is_ours = False
        if self._least_ns is not None:
            ahead_ns = min(ahead_ns, self._least_ns + int((now_ns - self._told_ns) * _DRIFT))
        self._least_ns, self._told_ns = ahead_ns, now_ns
        return _moved(message, ahead_ns)


def _moved(message: Message, by_ns: int) -> Message:
    moved = dataclasses.replace(
        message, t_publish_ns=message.t_publish_ns + by_ns, body=_moved_struct(message.body, by_ns)
    )
    if message.record is not None:
        times = {
            item.name: value + by_ns
            for item in dataclasses.fields(message.record)
            if _is_time(item.name) and (value := getattr(message.record, item.name)) is not None
        }
        object.__setattr__(moved, "record", dataclasses.replace(message.record, **times))
    return moved


def _moved_struct(body: Any, by_ns: int) -> Any:
    changes: dict[str, Any] = {}
    for name in body.__struct_fields__:
        value = getattr(body, name)
        if isinstance(value, int) and _is_time(name):
            changes[name] = value + by_ns
        elif isinstance(value, msgspec.Struct):
            changes[name] = _moved_struct(value, by_ns)
    return msgspec.structs.replace(body, **changes) if changes else body


def _is_time(name: str) -> bool:
    return name.startswith("t_") and name.endswith("_ns")
