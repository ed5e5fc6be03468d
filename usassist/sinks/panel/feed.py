"""The thread that reads the bus and offers packets to the browsers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from usassist.bus import HealthBody, Inbox, StageBody, Subscriber
from usassist.common.clock import Clock, MonotonicClock
from usassist.common.process_tuning import cpu_s, rss_bytes
from usassist.errors import SchemaVersionError
from usassist.sinks.covering import FindText
from usassist.sinks.panel.control import ControlIntake
from usassist.sinks.panel.figures import Figures
from usassist.sinks.panel.packet import Head, pack
from usassist.sinks.panel.said import Said
from usassist.sinks.panel.scene import Scene
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.sweep import ShownFrame, SweepLog
from usassist.sinks.panel.system import SystemLog
from usassist.sinks.panel.text_watch import TextWatch
from usassist.sinks.panel.viewers import Viewers

__all__ = ["PanelFeed"]

logger = logging.getLogger(__name__)

_EVENTS = ("result", "engine", "session", "health", "mark", "control")
_POLL_MS = 20
_IDLE_POLL_S = 0.25  # between two polls of the bus while no page is connected
_REPEAT_NS = 250_000_000  # a page that receives nothing for twice this long shows that the connection is lost
_REPEATS_BEFORE_RETRY = 4
_HEALTH_NS = 1_000_000_000
_LINGER_NS = 5_000_000_000  # a page that is reloaded finds the frames still subscribed


class PanelFeed:
    """Reads a stream and offers each new frame to all connected pages.

    Survives the end of a stream, the start of another, and its own failures; the page shows each of them. A frame is
    encoded once, and only while a page is connected. Without one the topic ``frame`` is not even subscribed.

    Parameters
    ----------
    address : of the stream, see ``bus.address.endpoint``
    viewers : the connected pages
    shown : records which frames are offered to them
    said : keeps what people say about frames and nodules
    controls : takes the answers to requests; None = none are made
    inbox : receives this panel's health messages; None = none are sent
    jpeg_quality : 1 to 100
    find_text : finds burnt-in text, which is covered; None = nothing is covered
    clock : for ages
    subscribe : makes a subscriber to the given topics, in the feed's thread

    Attributes
    ----------
    sweep, system : the whole sweep so far, and how the stream and its processes are doing
    iterations : of the feed's loop; they stop when it hangs
    """

    def __init__(
        self,
        address: str,
        viewers: Viewers,
        *,
        shown: ShownFrames | None = None,
        said: Said | None = None,
        controls: ControlIntake | None = None,
        inbox: Inbox | None = None,
        jpeg_quality: int = 85,
        find_text: FindText | None = None,
        clock: Clock | None = None,
        subscribe: Callable[[tuple[str, ...]], Subscriber] | None = None,
    ) -> None:
        self._viewers = viewers
        self._clock = MonotonicClock() if clock is None else clock
        self._shown = ShownFrames(self._clock) if shown is None else shown
        self._said = Said() if said is None else said
        self._controls, self._inbox = controls, inbox
        self._subscribe = subscribe if subscribe is not None else lambda topics: Subscriber(address, topics, "view")
        self._jpeg_quality = jpeg_quality
        self._find_text = find_text
        self.sweep, self.system = SweepLog(), SystemLog()
        self._scene = self._new_scene()
        self._latest = self._scene.head()
        self._figures = Figures()
        self._own: HealthBody | None = None
        self._malformed = 0  # of subscribers that are closed
        self._offered_ns = 0
        self._watched_ns = self._asked_ns = -_LINGER_NS
        self._next_health_ns = self._next_figures_ns = 0
        self._logged = ""
        self.iterations = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="panel-feed", daemon=True)

    @property
    def latest(self) -> Head:
        """The head of the last packet, with findings and health."""
        return self._latest

    @property
    def figures(self) -> Figures:
        """A snapshot of all processes, at most 0.25 s old while the feed runs."""
        return self._figures

    def watch(self) -> None:
        """Read frames for the next seconds, as if a page were connected. May be called from any thread."""
        self._asked_ns = self._clock.now_ns()

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and join it. May be called twice."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _new_scene(self) -> Scene:
        text = None if self._find_text is None else TextWatch(self._find_text)
        return Scene(self._clock, self._jpeg_quality, text, self._said)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                watched = self._is_watched()
                self._scene.set_watched(watched=watched)
                with self._subscribe(("frame", *_EVENTS) if watched else _EVENTS) as subscriber:
                    while not self._stop.is_set() and self._is_watched() is watched:
                        self._step(subscriber, watched=watched)
                    self._malformed += subscriber.malformed
            except Exception as error:  # noqa: BLE001 - a page whose feed has died would look like a quiet scene
                problem = f"the panel cannot read the stream: {type(error).__name__}: {error}"
                self._log(problem, error)
                self._scene = self._new_scene()  # nothing of the state that failed is kept
                self._scene.fail(problem)
                for _ in range(_REPEATS_BEFORE_RETRY):
                    self.iterations += 1
                    self._offer()
                    self._stop.wait(_REPEAT_NS / 1e9)

    def _is_watched(self) -> bool:
        now_ns = self._clock.now_ns()
        if len(self._viewers):
            self._watched_ns = now_ns
        return now_ns - max(self._watched_ns, self._asked_ns) < _LINGER_NS

    def _step(self, subscriber: Subscriber, *, watched: bool) -> None:
        self.iterations += 1
        if not watched:
            self._viewers.wait(_IDLE_POLL_S)
        try:
            for message in subscriber.events(_POLL_MS if watched else 0):
                self._scene.add(message)
                self.sweep.add(message)
                self.system.add(message)
                if self._controls is not None:
                    self._controls.take(message)
        except SchemaVersionError as error:
            self._log(str(error), None)
            self._scene.fail(str(error))
        changed = self._scene.advance()
        now_ns = self._clock.now_ns()
        if now_ns >= self._next_health_ns:
            self._next_health_ns = now_ns + _HEALTH_NS
            self._publish_health()
        if now_ns >= self._next_figures_ns:
            self._next_figures_ns = now_ns + _REPEAT_NS
            malformed = self._malformed + subscriber.malformed
            self._figures = Figures.of(self._scene, self._own, len(self._viewers), malformed)
        if changed or now_ns - self._offered_ns >= _REPEAT_NS:
            self._offer()

    def _publish_health(self) -> None:
        browser = self._shown.summary()
        self._scene.screen_ms = None if browser is None else (browser["p50_ms"], browser["p99_ms"])
        tally = self._scene.tally
        self._own = HealthBody(
            process="panel",
            frames=tally.shown_total,
            answered=tally.answered_total,
            dropped=tally.skipped_total,
            by_state={},
            rate_hz=None,
            latency_p50_ms=None,
            latency_p95_ms=None,
            last_error=self._logged,
            stages={} if browser is None else {"browser": StageBody(**browser)},
            cpu_s=cpu_s(),
            rss_bytes=rss_bytes(),
        )
        if self._inbox is not None:
            self._inbox.send("health", self._own)

    def _log(self, problem: str, error: Exception | None) -> None:
        if problem != self._logged:  # the same error may recur many times a second
            logger.error("%s", problem, exc_info=error)
            self._logged = problem

    def _offer(self) -> None:
        self._latest = self._scene.head()
        self._offered_ns = self._clock.now_ns()
        is_taken = len(self._viewers) > 0 and self._viewers.active()
        if is_taken or self._offered_ns - self._asked_ns < _LINGER_NS:
            on_screen = self._scene.on_screen()
            if on_screen is not None:
                self._shown.offered(*on_screen, self._latest.image_hw_px)
        if is_taken:
            packet = pack(self._latest, self._scene.jpeg())
            self._viewers.offer(packet)
            sent = self._scene.sent()
            if sent is not None and self._latest.live:
                frame, result, draw = sent
                self.sweep.show(ShownFrame(frame=frame, result=result, draw=draw, packet=packet, t_ns=self._offered_ns))
