from __future__ import annotations

from pathlib import Path

from tests.samples import ENGINE, make_result
from usassist.bus import HealthBody, SessionBody, SessionState, decode
from usassist.bus.codec import encode, encode_result
from usassist.bus.topics import TOPICS
from usassist.records import Cause, ResultState
from usassist.sinks.panel.system import EDGES_MS, SystemLog, read_temperatures

SECOND_NS = 1_000_000_000


def add_result(log: SystemLog, frame_id: int, t_ns: int, latency_ms: float, cause: Cause | None = None) -> None:
    state = ResultState.NO_FINDING if cause is None else ResultState.NO_RESULT
    result = make_result(frame_id, state, t_capture_ns=t_ns - int(latency_ms * 1e6), cause=cause)
    log.add(decode(bytes(encode_result(result, frame_id, t_ns))))


def add_health(log: SystemLog, t_ns: int, cpu_s: float, process: str = "stream") -> None:
    body = HealthBody(
        process=process,
        frames=10,
        answered=9,
        dropped=1,
        by_state={},
        rate_hz=None,
        latency_p50_ms=None,
        latency_p95_ms=None,
        cpu_s=cpu_s,
        rss_bytes=123_000_000,
    )
    log.add(decode(bytes(encode(TOPICS["health"], "us0", 0, t_ns, body, {}))))


def add_session(log: SystemLog, *, realtime: bool, session_id: str = "20260101T000000Z-000000") -> None:
    body = SessionBody(
        session_id=session_id,
        state=SessionState.RUNNING,
        source="test",
        image_hw_px=(48, 64),
        rate_hz=30.0,
        frame_count=None,
        calibration_id=None,
        last_frame_id=-1,
        realtime=realtime,
        max_age_ms=150.0,
    )
    log.add(decode(bytes(encode(TOPICS["session"], "us0", 0, 0, body, {}))))


def test_percentiles_of_each_second_and_of_the_session() -> None:
    log = SystemLog()
    for frame in range(300):
        latency_ms = 100.0 if frame % 100 == 99 else 10.0 + 10.0 * (frame // 100)
        add_result(log, frame, 5 * SECOND_NS + frame * SECOND_NS // 100, latency_ms)
    add_result(log, 300, 9 * SECOND_NS, 10.0)  # after a second without frames
    system = log.snapshot()
    assert [(item.age_s, item.frames, item.p50_ms, item.p99_ms) for item in system.seconds] == [
        (4, 100, 10.0, 10.0),
        (3, 100, 20.0, 20.0),
        (2, 100, 30.0, 30.0),
    ]
    assert system.since_start is not None
    assert system.since_start["count"] == 301
    assert system.since_start["max_ms"] == 100.0
    classes = dict(zip(EDGES_MS, system.histogram, strict=True))
    assert (classes[10.0], classes[20.0], classes[30.0], classes[100.0]) == (100, 99, 99, 3)
    assert system.rate_hz == 100.0


def test_only_ten_minutes_are_kept() -> None:
    log = SystemLog()
    for second in range(1000):
        add_result(log, second, second * SECOND_NS, 10.0)
    assert log.snapshot().seconds[0].age_s == 600
    assert log.snapshot().frames == 1000


def test_frames_without_an_answer_are_counted_by_cause_and_have_no_latency() -> None:
    log = SystemLog()
    add_result(log, 0, SECOND_NS, 10.0)
    add_result(log, 1, SECOND_NS, 900.0, Cause.DROPPED)
    add_result(log, 2, SECOND_NS, 900.0, Cause.DROPPED)
    add_result(log, 3, 2 * SECOND_NS, 900.0, Cause.NOT_LIVE)
    system = log.snapshot()
    assert system.by_cause == {"dropped": 2, "not_live": 1}
    assert system.seconds[0].by_cause == {"dropped": 2}
    assert system.since_start is not None
    assert system.since_start["max_ms"] == 10.0


def test_a_source_that_keeps_no_time_has_no_latency() -> None:
    log = SystemLog()
    add_session(log, realtime=False)
    add_result(log, 0, SECOND_NS, 10.0)
    assert not log.snapshot().realtime
    assert log.snapshot().since_start is None


def test_a_new_session_begins_with_nothing_and_the_old_one_does_not_return() -> None:
    log = SystemLog()
    add_result(log, 0, SECOND_NS, 10.0)
    add_health(log, SECOND_NS, 1.0)
    add_session(log, realtime=True, session_id="20260101T000001Z-000001")
    assert (log.snapshot().frames, log.snapshot().processes) == (0, [])
    add_result(log, 1, SECOND_NS, 10.0)
    assert log.snapshot().frames == 0


def test_processor_time_is_a_mean_and_begins_again_with_another_process() -> None:
    log = SystemLog()
    log.add(decode(bytes(encode(TOPICS["engine"], "us0", 0, 0, ENGINE, {}))))
    for second in range(20):
        add_health(log, second * SECOND_NS, 0.25 * second)
        add_health(log, second * SECOND_NS, 1.0, "a name of somebody")
    (process,) = log.snapshot().processes
    assert (process.name, process.cpu_percent, process.rss_bytes, process.age_s) == ("stream", 25.0, 123_000_000, 0.0)
    add_health(log, 20 * SECOND_NS, 0.0)
    (process,) = log.snapshot().processes
    assert process.cpu_percent is None


def test_temperatures_as_the_system_tells_them(tmp_path: Path) -> None:
    assert read_temperatures(tmp_path) == ()
    for name, content in {
        "thermal/thermal_zone0/type": "x86_pkg_temp\n",
        "thermal/thermal_zone0/temp": "51500\n",
        "thermal/thermal_zone1/type": "broken\n",
        "thermal/thermal_zone1/temp": "none\n",
        "thermal/thermal_zone2/type": "impossible\n",
        "thermal/thermal_zone2/temp": "-274000\n",
        "hwmon/hwmon0/name": "nvme\n",
        "hwmon/hwmon0/temp1_input": "38850\n",
        "hwmon/hwmon0/temp1_label": "Composite\n",
        "hwmon/hwmon0/temp2_input": "40000\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert {item.name: item.celsius for item in read_temperatures(tmp_path)} == {
        "x86_pkg_temp": 51.5,
        "nvme Composite": 38.9,
        "nvme temp2": 40.0,
    }
