"""Metrics of a session in the text format of Prometheus (prometheus.io).

The values are those of the ``health`` messages. A process that has sent none for ten seconds is left out, so that its
series ends instead of repeating the last value. Latencies are a summary without a sum: the histograms keep counts, not
values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from usassist.bus import HealthBody
from usassist.sinks.panel.figures import Figures
from usassist.sinks.reports import RecordingState

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SILENT_S = 10.0
_PROCESS = ("process",)


class Metrics(Collector):
    """Collects metrics from a snapshot.

    Parameters
    ----------
    figures : takes the snapshot
    """

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics in the text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """All metrics; called by the registry."""
        figures = self._figures()
        health = {name: body for name, body in figures.health.items() if figures.age_s[name] < _SILENT_S}
        yield from _of_processes(figures, health)
        yield from _of_frames(health)
        yield from _of_recording(figures, health)
        yield from _of_panel(figures)


def _of_processes(figures: Figures, health: dict[str, HealthBody]) -> Iterator[Metric]:
    info = InfoMetricFamily("usassist_engine", "The engine in use, and its back end.")
    if figures.engine_id:
        info.add_metric((), {"engine_id": figures.engine_id, "backend": figures.backend})
    yield info
    age = GaugeMetricFamily("usassist_health_age_seconds", "Age of the last health message.", labels=_PROCESS)
    for name, age_s in figures.age_s.items():
        age.add_metric((name,), age_s)
    yield age
    cpu = CounterMetricFamily("usassist_process_cpu_seconds", "CPU time of all threads.", labels=_PROCESS)
    rss = GaugeMetricFamily("usassist_process_resident_bytes", "Resident memory.", labels=_PROCESS)
    latency = Metric("usassist_latency_seconds", "Latency of one stage since the process started.", "summary")
    longest = GaugeMetricFamily(
        "usassist_latency_max_seconds", "Longest latency since the process started.", labels=("process", "stage")
    )
    for name, body in health.items():
        if body.cpu_s is not None:
            cpu.add_metric((name,), body.cpu_s)
        if body.rss_bytes is not None:
            rss.add_metric((name,), body.rss_bytes)
        for stage, figure in body.stages.items():
            labels = {"process": name, "stage": stage}
            for quantile, value_ms in (("0.5", figure.p50_ms), ("0.95", figure.p95_ms), ("0.99", figure.p99_ms)):
                latency.add_sample("usassist_latency_seconds", labels | {"quantile": quantile}, value_ms / 1e3)
            latency.add_sample("usassist_latency_seconds_count", labels, figure.count)
            longest.add_metric((name, stage), figure.max_ms / 1e3)
    yield from (cpu, rss, latency, longest)


def _of_frames(health: dict[str, HealthBody]) -> Iterator[Metric]:
    frames = CounterMetricFamily("usassist_frames", "Frames that a process has handled.", labels=_PROCESS)
    answered = CounterMetricFamily("usassist_frames_answered", "Of these, with an answer.", labels=_PROCESS)
    dropped = CounterMetricFamily(
        "usassist_frames_dropped",
        "Frames dropped or skipped; of the recorder, messages never received.",
        labels=_PROCESS,
    )
    for name, body in health.items():
        for metric, count in ((frames, body.frames), (answered, body.answered), (dropped, body.dropped)):
            metric.add_metric((name,), count)
    yield from (frames, answered, dropped)
    states = CounterMetricFamily("usassist_results", "Results of the stream, by state.", labels=("state",))
    rate = GaugeMetricFamily("usassist_frame_rate_hertz", "Frames a second of the stream, since its start.")
    stream = health.get("stream")
    if stream is not None:
        for state, count in stream.by_state.items():
            states.add_metric((state,), count)
        if stream.rate_hz is not None:
            rate.add_metric((), stream.rate_hz)
    yield from (states, rate)


def _of_recording(figures: Figures, health: dict[str, HealthBody]) -> Iterator[Metric]:
    state = GaugeMetricFamily("usassist_recording", "1 for the present state of the recording.", labels=("state",))
    for name in RecordingState:
        state.add_metric((name.value,), float(name is figures.recording))
    written = GaugeMetricFamily("usassist_recorded_bytes", "Size of the session's folder.")
    free = GaugeMetricFamily("usassist_free_bytes", "Free space on its disk.")
    record = health.get("record")
    if record is not None:
        for metric, value in ((written, record.recorded_bytes), (free, record.free_bytes)):
            if value is not None:
                metric.add_metric((), value)
    yield from (state, written, free)


def _of_panel(figures: Figures) -> Iterator[Metric]:
    causes = CounterMetricFamily(
        "usassist_results_without_answer", "Since this panel joined the session, by cause.", labels=("cause",)
    )
    for cause, count in figures.by_cause.items():
        causes.add_metric((cause,), count)
    marks = CounterMetricFamily("usassist_marks", "Marks since this panel joined the session.", labels=("kind",))
    for kind, count in figures.marks.items():
        marks.add_metric((kind,), count)
    yield from (causes, marks)
    yield GaugeMetricFamily("usassist_viewers", "Connected pages.", value=figures.viewers)
    yield CounterMetricFamily("usassist_bus_malformed", "Messages that this panel could not decode.", figures.malformed)
    yield CounterMetricFamily("usassist_bus_gaps", "Messages that this panel never received.", figures.gaps)
