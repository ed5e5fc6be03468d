"""Receives what is published in a thread of its own, beside the writer.

The stream queues few messages for a recorder and drops what does not fit. So one thread only receives, at the priority
of the stream, and a writer that stalls for a short time finds the messages queued here.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator

from usassist.bus import Message, Subscriber
from usassist.sinks.end_of_stream import POLL_MS

__all__ = ["Intake"]

_MAX_BYTES = 96 * 2**20
Data = bytes | memoryview


class Intake(threading.Thread):
    """Messages of one subscriber, in order. It runs from :meth:`start` to :meth:`close`.

    Parameters
    ----------
    subscriber : of an archive; nothing else may receive from it
    most_bytes : limit of the queue; beyond it nothing is received until there is room
    """

    def __init__(self, subscriber: Subscriber, most_bytes: int = _MAX_BYTES) -> None:
        super().__init__(name="intake", daemon=True)
        self._subscriber = subscriber
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[Data, Message]] = deque()
        self._bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        self._error: Exception | None = None

    def run(self) -> None:
        """Receive until it is closed or the subscriber fails."""
        try:
            for data, message in self._subscriber.each(POLL_MS, lambda: self._closing):
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or self._bytes < self._most_bytes)
                    if self._closing:
                        return
                    self._waiting.append((data, message))
                    self._bytes += len(data)
                    self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - raised in each()
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def each(self, stop: Callable[[], bool]) -> Iterator[tuple[Data, Message] | None]:
        """Every message with its bytes, and None after each timeout without one, until `stop()` is true.

        Parameters
        ----------
        stop : polled after every timeout without a message

        Raises
        ------
        Exception
            What the subscriber raised, after all messages before it.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._error is not None, POLL_MS / 1e3)
                item = self._waiting.popleft() if self._waiting else None
                if item is not None:
                    self._bytes -= len(item[0])
                    self._changed.notify_all()
                elif self._error is not None:
                    raise self._error
            if item is None and stop():
                return
            yield item

    def close(self) -> None:
        """End the thread and wait for it; what is still queued is dropped. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self.is_alive():
            self.join()
        self._waiting.clear()
