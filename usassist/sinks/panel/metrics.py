"""The figures of a session for Prometheus (prometheus.io), in its text format.

Same figures as the ``health`` messages; those of a process that has been silent for ten seconds are left out, so that
they end in a graph instead of staying as they were. Latencies are a summary without a sum: the histograms keep counts
and not the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from usassist.bus import HealthBody
from usassist.sinks.panel.figures import Figures
from usassist.sinks.panel.reports import RecordingState

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SILENT_S = 10.0
_PROCESS = ("process",)


class Metrics(Collector):
    """Makes the text from the figures of the moment.

    Parameters
    ----------
    figures : gives them
    """

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """Everything, in the text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """All metrics; asked for by the registry."""
        figures = self._figures()
        health = {name: body for name, body in figures.health.items() if figures.age_s[name] < _SILENT_S}
        yield from _of_processes(figures, health)
        yield from _of_frames(health)
        yield from _of_recording(figures, health)
        yield from _of_panel(figures)


def _of_processes(figures: Figures, health: dict[str, HealthBody]) -> Iterator[Metric]:
    info = InfoMetricFamily("usassist_engine", "The engine that answers, and its back end.")
    if figures.engine_id:
        info.add_metric((), {"engine_id": figures.engine_id, "backend": figures.backend})
    yield info
    age = GaugeMetricFamily("usassist_health_age_seconds", "Since a process last said how it is.", labels=_PROCESS)
    for name, age_s in figures.age_s.items():
        age.add_metric((name,), age_s)
    yield age
    cpu = CounterMetricFamily("usassist_process_cpu_seconds", "Processor time of all its threads.", labels=_PROCESS)
    rss = GaugeMetricFamily("usassist_process_resident_bytes", "Resident memory.", labels=_PROCESS)
    latency = Metric("usassist_latency_seconds", "Latency of one stage since the process was started.", "summary")
    longest = GaugeMetricFamily(
        "usassist_latency_max_seconds", "Longest latency since the process was started.", labels=("process", "stage")
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
    frames = CounterMetricFamily("usassist_frames", "Frames that a process has dealt with.", labels=_PROCESS)
    answered = CounterMetricFamily("usassist_frames_answered", "Of these, with an answer.", labels=_PROCESS)
    dropped = CounterMetricFamily(
        "usassist_frames_dropped", "Frames passed over; of the recorder, messages that never came.", labels=_PROCESS
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
    state = GaugeMetricFamily("usassist_recording", "1 for the state that the recording is in.", labels=("state",))
    for name in RecordingState:
        state.add_metric((name.value,), float(name is figures.recording))
    written = GaugeMetricFamily("usassist_recorded_bytes", "Size of the session's folder.")
    free = GaugeMetricFamily("usassist_free_bytes", "Room left where it lies.")
    record = health.get("record")
    if record is not None:
        for metric, value in ((written, record.recorded_bytes), (free, record.free_bytes)):
            if value is not None:
                metric.add_metric((), value)
    yield from (state, written, free)


def _of_panel(figures: Figures) -> Iterator[Metric]:
    causes = CounterMetricFamily(
        "usassist_results_without_answer", "Since this panel first saw the session, by cause.", labels=("cause",)
    )
    for cause, count in figures.by_cause.items():
        causes.add_metric((cause,), count)
    marks = CounterMetricFamily("usassist_marks", "Marks since this panel first saw the session.", labels=("kind",))
    for kind, count in figures.marks.items():
        marks.add_metric((kind,), count)
    yield from (causes, marks)
    yield GaugeMetricFamily("usassist_viewers", "Pages that watch.", value=figures.viewers)
    yield CounterMetricFamily("usassist_bus_malformed", "Messages that this panel could not read.", figures.malformed)
    yield CounterMetricFamily("usassist_bus_gaps", "Messages that never reached this panel.", figures.gaps)
