from __future__ import annotations

import dataclasses

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from usassist.bus import HealthBody, StageBody
from usassist.sinks.panel.figures import Figures
from usassist.sinks.panel.metrics import Metrics
from usassist.sinks.reports import RecordingState

STREAM = HealthBody(
    process="stream",
    frames=100,
    answered=90,
    dropped=4,
    by_state={"finding": 60, "no_finding": 30, "no_result": 10},
    rate_hz=29.5,
    latency_p50_ms=1.0,
    latency_p95_ms=2.0,
    last_error="cannot read /home/doctor/patient_example.mp4",
    stages={"infer": StageBody(count=90, p50_ms=20.0, p95_ms=30.0, p99_ms=40.0, max_ms=50.0)},
    cpu_s=12.5,
    rss_bytes=1000,
)
RECORD = msgspec.structs.replace(
    STREAM, process="record", stages={}, by_state={}, recorded_bytes=5000, free_bytes=7000, recording="running"
)
FIGURES = Figures(
    health={"stream": STREAM, "record": RECORD},
    age_s={"stream": 0.2, "record": 1.5},
    engine_id="thyroid_nodule@1.0.0+abc",
    backend="openvino",
    recording=RecordingState.RUNNING,
    by_cause={"dropped": 4, "late": 6},
    marks={"wrong": 2},
    viewers=3,
    malformed=1,
    gaps=5,
)


def samples(figures: Figures) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = Metrics(lambda: figures).text().decode("utf-8")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(figures: Figures, name: str, **labels: str) -> float:
    return samples(figures)[name, frozenset(labels.items())]


@pytest.mark.parametrize(
    ("name", "labels", "wanted"),
    [
        ("latency_seconds", {"process": "stream", "stage": "infer", "quantile": "0.5"}, 0.02),
        ("latency_seconds", {"process": "stream", "stage": "infer", "quantile": "0.99"}, 0.04),
        ("latency_seconds_count", {"process": "stream", "stage": "infer"}, 90),
        ("latency_max_seconds", {"process": "stream", "stage": "infer"}, 0.05),
        ("frames_total", {"process": "stream"}, 100),
        ("frames_answered_total", {"process": "stream"}, 90),
        ("frames_dropped_total", {"process": "stream"}, 4),
        ("results_total", {"state": "no_result"}, 10),
        ("results_without_answer_total", {"cause": "late"}, 6),
        ("frame_rate_hertz", {}, 29.5),
        ("process_cpu_seconds_total", {"process": "stream"}, 12.5),
        ("process_resident_bytes", {"process": "record"}, 1000),
        ("recorded_bytes", {}, 5000),
        ("free_bytes", {}, 7000),
        ("recording", {"state": "running"}, 1),
        ("recording", {"state": "stopped"}, 0),
        ("marks_total", {"kind": "wrong"}, 2),
        ("viewers", {}, 3),
        ("bus_malformed_total", {}, 1),
        ("bus_gaps_total", {}, 5),
        ("health_age_seconds", {"process": "record"}, 1.5),
        ("engine_info", {"engine_id": "thyroid_nodule@1.0.0+abc", "backend": "openvino"}, 1),
    ],
)
def test_the_figures_of_health_can_be_read_back(name: str, labels: dict[str, str], wanted: float) -> None:
    assert value(FIGURES, f"usassist_{name}", **labels) == pytest.approx(wanted)


def test_latencies_are_a_summary() -> None:
    text = Metrics(lambda: FIGURES).text().decode("utf-8")
    kinds = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert kinds["usassist_latency_seconds"] == "summary"
    assert kinds["usassist_frames"] == "counter"


def test_figures_of_a_process_that_has_fallen_silent_end() -> None:
    silent = dataclasses.replace(FIGURES, age_s={"stream": 10.5, "record": 0.5})
    seen = samples(silent)
    assert {name for name, labels in seen if ("process", "stream") in labels} == {"usassist_health_age_seconds"}
    assert not [name for name, _ in seen if name in ("usassist_results_total", "usassist_frame_rate_hertz")]
    assert value(silent, "usassist_health_age_seconds", process="stream") == 10.5
    assert value(silent, "usassist_frames_total", process="record") == 100


def test_before_anything_is_known_the_text_is_valid_and_claims_nothing() -> None:
    names = {name for name, _ in samples(Figures())}
    assert names == {
        "usassist_recording",
        "usassist_viewers",
        "usassist_bus_malformed_total",
        "usassist_bus_gaps_total",
    }


def test_neither_errors_nor_paths_nor_sources_are_told() -> None:
    text = Metrics(lambda: FIGURES).text().decode("utf-8")
    assert "patient" not in text
    assert "/home" not in text


def test_two_panels_in_one_process_do_not_meet() -> None:
    first, second = Metrics(lambda: FIGURES), Metrics(Figures)
    assert first.text() != second.text()
