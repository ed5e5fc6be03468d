"""How the system is doing: latency, frames without an answer, processes. The panel's thread feeds it, pages read it."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import Counter, deque
from dataclasses import dataclass

from usassist.bus import EngineBody, HealthBody, Message, ResultBody, SessionBody
from usassist.common.latency import LatencyHistogram
from usassist.sinks.panel.system.seconds import Second, Seconds
from usassist.sinks.reports import PROCESSES

__all__ = ["EDGES_MS", "Process", "System", "SystemLog"]

EDGES_MS = (0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0, 75.0, 100.0, 150.0, 250.0, 500.0, 1000.0)
"""Lower edges of the histogram; the last class has no upper one."""

_LOAD_NS = 5_000_000_000  # processor time is the mean over about so long
_EDGES_NS = tuple(int(edge * 1e6) for edge in EDGES_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of the session, as its last health messages have it.

    Attributes
    ----------
    cpu_percent : of one processor, mean over about 5 s; None until two messages have come
    rss_bytes : resident memory; None where it is not known
    body : the last message
    age_s : of that message, by the newest message of any kind
    """

    name: str
    cpu_percent: float | None
    rss_bytes: int | None
    body: HealthBody
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A snapshot.

    Attributes
    ----------
    realtime : False = the source does not keep time, so that latencies have no meaning
    seconds : of the last ten minutes
    since_start : ``count``, ``p50_ms``, ``p95_ms``, ``p99_ms``, ``max_ms`` of the session; None before the first answer
    histogram : frames per class of :data:`EDGES_MS`
    by_cause : frames of the session without an answer
    frames : of the session
    rate_hz : results a second over the last ten whole seconds; None before there is one
    """

    session_id: str
    realtime: bool
    seconds: list[Second]
    since_start: dict[str, float] | None
    histogram: list[int]
    by_cause: dict[str, int]
    frames: int
    rate_hz: float | None
    processes: list[Process]
    engine: EngineBody | None


class SystemLog:
    """The present session. Thread-safe: one thread adds, any may read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session_id = self._ended_id = ""
        self._realtime = True
        self._engine: EngineBody | None = None
        self._seconds = Seconds()
        self._latency = LatencyHistogram()
        self._histogram = [0] * len(EDGES_MS)
        self._by_cause: Counter[str] = Counter()
        self._frames = 0
        self._newest_ns = 0
        self._health: dict[str, deque[tuple[int, HealthBody]]] = {}

    def add(self, message: Message) -> None:
        """Take one message."""
        body, t_ns = message.body, message.t_publish_ns
        with self._lock:
            self._newest_ns = max(self._newest_ns, t_ns)
            if isinstance(body, ResultBody):
                self._add_result(body, t_ns)
            elif isinstance(body, HealthBody):
                if body.process in PROCESSES:
                    self._add_health(body, t_ns)
            elif isinstance(body, SessionBody):
                if body.session_id != self._ended_id:
                    self._enter(body.session_id)
                    self._realtime = body.realtime
            elif isinstance(body, EngineBody):
                self._engine = body

    def snapshot(self) -> System:
        """Everything so far."""
        with self._lock:
            seconds = self._seconds.last()
            ten = [item.frames for item in seconds if item.age_s <= 10]
            return System(
                session_id=self._session_id,
                realtime=self._realtime,
                seconds=seconds,
                since_start=self._latency.summary(),
                histogram=list(self._histogram),
                by_cause=dict(self._by_cause.most_common()),
                frames=self._frames,
                rate_hz=sum(ten) / len(ten) if ten else None,
                processes=[self._process(name) for name in PROCESSES if name in self._health],
                engine=self._engine,
            )

    def _enter(self, session_id: str) -> None:
        if session_id == self._session_id:
            return
        self._ended_id, self._session_id = self._session_id, session_id
        self._seconds.clear()
        self._latency = LatencyHistogram()
        self._histogram = [0] * len(EDGES_MS)
        self._by_cause.clear()
        self._health.clear()
        self._frames = 0

    def _add_result(self, body: ResultBody, t_ns: int) -> None:
        if body.session_id == self._ended_id:
            return
        self._enter(body.session_id)
        cause = "" if body.cause is None else body.cause.value
        latency_ns = None
        if self._realtime and body.t_infer_end_ns is not None:
            latency_ns = max(0, t_ns - body.t_capture_ns)
            self._latency.record(latency_ns)
            self._histogram[bisect_right(_EDGES_NS, latency_ns) - 1] += 1
        self._frames += 1
        if cause:
            self._by_cause[cause] += 1
        self._seconds.add(t_ns, latency_ns, cause)

    def _add_health(self, body: HealthBody, t_ns: int) -> None:
        history = self._health.setdefault(body.process, deque())
        if history and (body.cpu_s or 0.0) < (history[-1][1].cpu_s or 0.0):
            history.clear()  # another process took its place
        history.append((t_ns, body))
        while len(history) > 2 and t_ns - history[1][0] >= _LOAD_NS:
            history.popleft()

    def _process(self, name: str) -> Process:
        history = self._health[name]
        (first_ns, first), (last_ns, last) = history[0], history[-1]
        cpu_percent = None
        if first.cpu_s is not None and last.cpu_s is not None and last_ns > first_ns:
            cpu_percent = round(100.0 * (last.cpu_s - first.cpu_s) / ((last_ns - first_ns) / 1e9), 1)
        return Process(
            name=name,
            cpu_percent=cpu_percent,
            rss_bytes=last.rss_bytes,
            body=last,
            age_s=round((self._newest_ns - last_ns) / 1e9, 1),
        )
