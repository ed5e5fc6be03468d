"""The thread between the bus and the browsers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from usassist.bus import Subscriber
from usassist.clock import Clock, MonotonicClock
from usassist.errors import SchemaVersionError
from usassist.sinks.panel.packet import Head, pack
from usassist.sinks.panel.scene import Scene
from usassist.sinks.panel.viewers import Viewers

__all__ = ["Feed"]

logger = logging.getLogger(__name__)

_TOPICS = ("frame", "result", "engine", "session", "health")
_POLL_MS = 20
_REPEAT_NS = 250_000_000  # a page that hears nothing for twice this long says that the connection is gone
_REPEATS_BEFORE_RETRY = 4


class Feed:
    """Reads a stream and offers each new picture to all who watch.

    Lives through the end of a stream, the start of another, and its own failures: whatever happens, the page is
    told. A picture is encoded once, and only when somebody watches.

    Parameters
    ----------
    address : of the stream, see ``bus.address.endpoint``
    viewers : who watches
    jpeg_quality : 1 to 100
    clock : for ages
    subscribe : makes the subscriber, in the feed's own thread
    """

    def __init__(
        self,
        address: str,
        viewers: Viewers,
        *,
        jpeg_quality: int = 85,
        clock: Clock | None = None,
        subscribe: Callable[[], Subscriber] | None = None,
    ) -> None:
        self._viewers = viewers
        self._clock = MonotonicClock() if clock is None else clock
        self._subscribe = subscribe if subscribe is not None else lambda: Subscriber(address, _TOPICS, "view")
        self._jpeg_quality = jpeg_quality
        self._scene = Scene(self._clock, jpeg_quality)
        self._latest = self._scene.head()
        self._offered_ns = 0
        self._logged = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="panel-feed", daemon=True)

    @property
    def latest(self) -> Head:
        """What the page was last told, table of findings and health included."""
        return self._latest

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End, and wait for the thread. May be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._subscribe() as subscriber:
                    while not self._stop.is_set():
                        self._step(subscriber)
            except Exception as error:  # noqa: BLE001 - a dead feed behind a living page would look like a calm scene
                problem = f"the panel cannot read the stream: {type(error).__name__}: {error}"
                self._log(problem, error)
                self._scene = Scene(self._clock, self._jpeg_quality)  # whatever broke the old one is not shown again
                self._scene.fail(problem)
                for _ in range(_REPEATS_BEFORE_RETRY):
                    self._offer()
                    self._stop.wait(_REPEAT_NS / 1e9)

    def _step(self, subscriber: Subscriber) -> None:
        try:
            for message in subscriber.events(_POLL_MS):
                self._scene.add(message)
        except SchemaVersionError as error:
            self._log(str(error), None)
            self._scene.fail(str(error))
        if self._scene.advance() or self._clock.now_ns() - self._offered_ns >= _REPEAT_NS:
            self._offer()

    def _log(self, problem: str, error: Exception | None) -> None:
        if problem != self._logged:  # the same may come back many times a second
            logger.error("%s", problem, exc_info=error)
            self._logged = problem

    def _offer(self) -> None:
        self._latest = self._scene.head()
        self._offered_ns = self._clock.now_ns()
        if len(self._viewers):
            self._viewers.offer(pack(self._latest, self._scene.jpeg()))
