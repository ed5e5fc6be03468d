"""The tab of the system: latency, frames without an answer, processes, recording, temperatures."""

from __future__ import annotations

from typing import Any

import gradio as gr
import msgspec
import pandas as pd
from gradio.events import api

from usassist.sinks.panel.context import PageContext
from usassist.sinks.panel.system import EDGES_MS, KEPT_S, System, read_temperatures
from usassist.sinks.panel.tabs.refresh import add_language, refresh_while_seen
from usassist.sinks.reports import RecordingState
from usassist.words import Words

__all__ = ["build_system_tab"]

_PERCENTILES = ("p50", "p95", "p99")
_BIN_S = 30
_BINS = tuple(f"{-minute / 2:g}" for minute in range(KEPT_S // _BIN_S - 1, -1, -1))
_COLORS = {"p50": "#5f9f75", "p95": "#d99a00", "p99": "#d0402f"}
_CAUSE_COLUMNS = ("cause", "frames", "share")
_PROCESS_COLUMNS = ("process", "cpu", "memory", "process_frames", "lost", "heard", "error")
_SENSOR_COLUMNS = ("sensor", "celsius")


class _SystemTab:
    def __init__(self, context: PageContext) -> None:
        self._context = context

    def update(self, language: str) -> list[Any]:
        """Everything, as it is now."""
        words = self._context.words(language or "en", "sweep")
        system = self._context.feed.system.snapshot()
        sensors = read_temperatures()
        return [
            self._summary(system, words),
            gr.LinePlot(
                value=_latency_rows(system, words),
                x_title=words("system.latency_x"),
                y_title=words("system.latency_y"),
                color_title=words("system.percentile"),
                color_map={words(f"system.{name}"): color for name, color in _COLORS.items()},
            ),
            gr.BarPlot(
                value=_histogram_rows(system),
                x_title=words("system.histogram_x"),
                y_title=words("system.frames"),
            ),
            gr.BarPlot(
                value=_cause_rows(system, words),
                x_title=words("system.minutes_ago"),
                y_title=words("system.frames"),
                color_title=words("system.cause"),
                visible=bool(system.by_cause),
            ),
            gr.Dataframe(
                value=[
                    [words(f"cause.{cause}"), str(count), words.number(100.0 * count / max(system.frames, 1), 2)]
                    for cause, count in system.by_cause.items()
                ]
                or [[words("system.causes_none"), "0", words.number(0.0, 2)]],
                headers=[words(f"system.{name}") for name in _CAUSE_COLUMNS],
            ),
            gr.Dataframe(
                value=_process_rows(system, words), headers=[words(f"system.{name}") for name in _PROCESS_COLUMNS]
            ),
            self._recorder(words),
            gr.Dataframe(
                value=[[sensor.name, words.number(sensor.celsius, 1)] for sensor in sensors],
                headers=[words(f"system.{name}") for name in _SENSOR_COLUMNS],
                visible=bool(sensors),
            ),
            "" if sensors else words("system.temperatures_unknown"),
        ]

    def _summary(self, system: System, words: Words) -> str:
        parts = [words("system.summary_none")]
        if not system.realtime:
            parts = [words("system.not_realtime")]
        elif system.since_start is not None:
            figures = {
                name: words.number(system.since_start[key], 1)
                for name, key in (("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms"), ("longest", "max_ms"))
            }
            rate = words("format.none") if system.rate_hz is None else words.number(system.rate_hz, 1)
            parts = [words("system.summary", rate=rate, count=int(system.since_start["count"]), **figures)]
        if system.engine is not None:
            viewers = len(self._context.viewers)
            parts.append(
                words("system.engine", engine=system.engine.engine_id, backend=system.engine.backend, viewers=viewers)
            )
        return " ".join(parts)

    def _recorder(self, words: Words) -> str:
        recording = self._context.feed.latest.recording
        if recording.state in (RecordingState.UNKNOWN, RecordingState.NONE):
            return words("system.recorder_off")
        if recording.state is not RecordingState.RUNNING:
            text = words("system.recorder_state", state=recording.reason or str(recording.state))
            return f"{text} {words('system.recorder_lost', missed=recording.missed)}" if recording.missed else text
        none = words("format.none")
        written, free = recording.recorded_bytes, recording.free_bytes
        return words(
            "system.recorder_on",
            size=none if written is None else words.number(written / 1e6),
            free=none if free is None else words.number(free / 1e9, 1),
            missed=recording.missed,
        )

    def api_system(self) -> dict[str, Any]:
        """Latency of every second of the last ten minutes and of the session, ms; frames without an answer; processes;
        temperatures, an empty list where this system tells none."""
        system = self._context.feed.system.snapshot()
        return {
            "session_id": system.session_id,
            "realtime": system.realtime,
            "frames": system.frames,
            "rate_hz": system.rate_hz,
            "since_start": system.since_start,
            "seconds": msgspec.to_builtins(system.seconds),
            "histogram": [
                {"from_ms": edge, "frames": count} for edge, count in zip(EDGES_MS, system.histogram, strict=True)
            ],
            "by_cause": system.by_cause,
            "processes": [
                {
                    "process": item.name,
                    "cpu_percent": item.cpu_percent,
                    "rss_bytes": item.rss_bytes,
                    "age_s": item.age_s,
                    "frames": item.body.frames,
                    "dropped": item.body.dropped,
                    "last_error": item.body.last_error,
                }
                for item in system.processes
            ],
            "engine_id": system.engine.engine_id if system.engine else None,
            "backend": system.engine.backend if system.engine else None,
            "viewers": len(self._context.viewers),
            "recording": msgspec.to_builtins(self._context.feed.latest.recording),
            "temperatures": msgspec.to_builtins(read_temperatures()),
        }


def _latency_rows(system: System, words: Words) -> pd.DataFrame:
    rows = [
        (-item.age_s, getattr(item, f"{name}_ms"), words(f"system.{name}"))
        for name in _PERCENTILES
        for item in system.seconds
    ]
    return pd.DataFrame(rows, columns=["age_s", "ms", "percentile"])


def _histogram_rows(system: System) -> pd.DataFrame:
    """Classes up to the last one that has frames."""
    last = max((at for at, count in enumerate(system.histogram) if count), default=-1)
    names = [f"{edge:g}" for edge in EDGES_MS]
    return pd.DataFrame(
        [(names[at], system.histogram[at]) for at in range(min(last + 2, len(names)))], columns=["from_ms", "frames"]
    )


def _cause_rows(system: System, words: Words) -> pd.DataFrame:
    """Of every half minute."""
    counts: dict[tuple[int, str], int] = {}
    for item in system.seconds:
        for cause, count in item.by_cause.items():
            key = min(item.age_s // _BIN_S, len(_BINS) - 1), cause
            counts[key] = counts.get(key, 0) + count
    causes = sorted({cause for _, cause in counts})
    rows = [
        (name, counts.get((age, cause), 0), words(f"cause_short.{cause}"))
        for cause in causes
        for age, name in enumerate(reversed(_BINS))
    ]
    return pd.DataFrame(rows, columns=["minute", "frames", "cause"])


def _process_rows(system: System, words: Words) -> list[list[str]]:
    none = words("format.none")
    rows = [
        [
            item.name,
            none if item.cpu_percent is None else words.number(item.cpu_percent),
            none if item.rss_bytes is None else words.number(item.rss_bytes / 1e6),
            str(item.body.frames),
            str(item.body.dropped),
            words.number(item.age_s, 1),
            item.body.last_error or none,
        ]
        for item in system.processes
    ]
    return rows or [[words("system.no_processes"), *[none] * (len(_PROCESS_COLUMNS) - 1)]]


def build_system_tab(context: PageContext) -> None:
    """Fill the tab."""
    tab, labels = _SystemTab(context), context.labels
    words = context.words("en", "sweep")
    language = add_language(context)
    summary = gr.Markdown()
    labels.add(gr.Markdown(elem_classes="us-h"), "sweep", value="system.latency")
    latency = gr.LinePlot(x="age_s", y="ms", color="percentile", height=280, elem_id="us-latency")
    with gr.Row():
        with gr.Column(min_width=320):
            labels.add(gr.Markdown(elem_classes="us-h"), "sweep", value="system.histogram")
            classes = [f"{edge:g}" for edge in EDGES_MS]
            histogram = gr.BarPlot(x="from_ms", y="frames", height=240, sort=classes, elem_id="us-histogram")
        with gr.Column(min_width=320):
            labels.add(gr.Markdown(elem_classes="us-h"), "sweep", value="system.causes")
            bins = list(_BINS)
            over_time = gr.BarPlot(
                x="minute", y="frames", color="cause", height=240, sort=bins, visible=False, elem_id="us-drops"
            )
    causes = _table(context, "causes_title", _CAUSE_COLUMNS, (420, 90, 90), words)
    processes = _table(context, "processes", _PROCESS_COLUMNS, (90, 110, 110, 90, 130, 110, 260), words)
    recorder = gr.Markdown()
    temperatures = _table(context, "temperatures", _SENSOR_COLUMNS, (300, 90), words)
    unknown = gr.Markdown()
    outputs = [summary, latency, histogram, over_time, causes, processes, recorder, temperatures, unknown]
    refresh_while_seen("system", tab.update, [language], outputs)
    api(tab.api_system, api_name="system")


def _table(
    context: PageContext, title: str, columns: tuple[str, ...], widths_px: tuple[int, ...], words: Words
) -> gr.Dataframe:
    table = gr.Dataframe(
        headers=[words(f"system.{name}") for name in columns],
        datatype="str",
        interactive=False,
        wrap=True,
        column_widths=[f"{width}px" for width in widths_px],
        elem_id=f"us-{title.replace('_', '-')}",
    )
    context.labels.add(table, "sweep", label=f"system.{title}")
    return table
