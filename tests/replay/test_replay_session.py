"""A recorded session is sent as it was recorded, and no engine is loaded for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.recordings import FACTS
from tests.replay.conftest import Usassist
from tests.samples import ENGINE, LIVE_SESSION, make_frame, make_result
from usassist.bus import (
    ControlAction,
    ControlBody,
    ControlState,
    HealthBody,
    Inbox,
    MarkBody,
    MarkKind,
    Message,
    MessageLogWriter,
    Publisher,
    SessionState,
    Subscriber,
    frame_from,
    read_log,
    result_from,
)
from usassist.common.clock import FakeClock
from usassist.common.pyav import av
from usassist.errors import SessionError, UsageError
from usassist.records import Cause, Frame, Result, ResultState, SignalState
from usassist.session import open_session, whole_message
from usassist.session.replay.messages import Span
from usassist.session.replay.sender import RecordedMessages, SessionReplayOptions
from usassist.sinks.end_of_stream import StreamEnd
from usassist.sinks.record import Recorder

IDS = (0, 1, 2, 3, 4, 5, 8, 9, 10, 11)  # 6 and 7 were lost
WITHOUT_RESULT, FROZEN, MARKED = 3, 9, 4
T0_NS, PERIOD_NS = 5_000_000_000, 40_000_000
TOPICS = ("frame", "result", "engine", "mark", "control", "health", "session")


class Stop:
    """Never set; waiting moves the clock."""

    def __init__(self, clock: FakeClock, after: int | None = None) -> None:
        self._clock, self._after, self.asked = clock, after, 0

    def wait(self, timeout_s: float) -> bool:
        self._clock.sleep_until(self._clock.now_ns() + max(1, round(timeout_s * 1e9)))
        return self.is_set()

    def is_set(self) -> bool:
        self.asked += 1
        return self._after is not None and self.asked > self._after


def _frame(frame_id: int) -> Frame:
    t_ns = T0_NS + frame_id * PERIOD_NS
    words: dict[str, Any] = (
        {"picture": SignalState.FROZEN, "picture_reason": "the scanner is frozen"} if frame_id == FROZEN else {}
    )
    return make_frame(frame_id, t_capture_ns=t_ns, t_decoded_ns=t_ns + 3, t_cropped_ns=t_ns + 5, **words)


def _result(frame: Frame) -> Result:
    stamps = {"t_capture_ns": frame.t_capture_ns}
    if frame.picture is not SignalState.LIVE:
        return make_result(frame.frame_id, ResultState.NO_RESULT, cause=Cause.NOT_LIVE, reason="frozen", **stamps)
    stamps |= {f"t_{name}_ns": frame.t_capture_ns + 100 * i for i, name in enumerate(("infer_start", "input"), 1)}
    stamps |= {f"t_{name}_ns": frame.t_capture_ns + 100 * i for i, name in enumerate(("output", "infer_end"), 3)}
    return make_result(frame.frame_id, **stamps)


def _health(process: str) -> HealthBody:
    return HealthBody(
        process=process,
        frames=1,
        answered=1,
        dropped=0,
        by_state={},
        rate_hz=None,
        latency_p50_ms=None,
        latency_p95_ms=None,
    )


def _request(t_ns: int, state: ControlState = ControlState.ASKED) -> ControlBody:
    return ControlBody(request_id="r1", action=ControlAction.RECORD, value="on", t_control_ns=t_ns, state=state)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten frames of a live scanner at 25 Hz, with two frames and one result lost."""
    folder = tmp_path_factory.mktemp("recorded") / "session"
    address = f"ipc://{tmp_path_factory.mktemp('b')}"
    clock = FakeClock(T0_NS - 1000)
    publisher = Publisher(address, "us0", clock, lossless=True)
    recorder = Recorder(address, folder, lambda: False, facts=FACTS)
    thread = threading.Thread(target=recorder.run)
    thread.start()
    assert publisher.wait_for_archives(1, 10, lambda: True)
    body = msgspec.structs.replace(LIVE_SESSION, source="v4l2 input")
    publisher.event("engine", ENGINE)
    publisher.event("session", body)
    for frame_id in IDS:
        frame = _frame(frame_id)
        clock.sleep_until(frame.t_capture_ns + 10)
        publisher.frame(frame)
        clock.sleep_until(frame.t_capture_ns + 500)
        if frame_id != WITHOUT_RESULT:
            publisher.result(_result(frame))
        if frame_id == MARKED:
            mark = {"session_id": frame.session_id, "kind": MarkKind.WRONG, "t_mark_ns": clock.now_ns()}
            publisher.event("mark", MarkBody(frame_id=frame_id, **mark))
            publisher.event("control", _request(clock.now_ns()))
            publisher.event("health", _health("stream"))
            publisher.event("health", _health("record"))
    publisher.event("session", msgspec.structs.replace(body, state=SessionState.ENDED, last_frame_id=IDS[-1]))
    thread.join(30)
    assert not thread.is_alive()
    publisher.close()
    return folder


def _send(
    folder: Path, address: str, stop: Callable[[FakeClock], Stop] = Stop, **options: Any
) -> tuple[Any, list[Message]]:
    """Send a session to an archive; gives what was sent, and the messages that came."""
    clock = FakeClock(99_000_000_000)
    publisher = Publisher(address, "us0", clock, lossless=True)
    came: list[Message] = []
    ready = threading.Event()

    def listen() -> None:
        end = StreamEnd(lambda: False)
        with Subscriber(address, TOPICS, "archive") as subscriber:
            ready.set()
            for _, message in subscriber.each(20, end.reached):
                end.take(message)
                came.append(message)

    thread = threading.Thread(target=listen)
    thread.start()
    assert ready.wait(10)
    assert publisher.wait_for_archives(1, 10, lambda: True)
    messages = RecordedMessages(
        open_session(folder), SessionReplayOptions(folder=folder, bus=address, **options), publisher, clock
    )
    try:
        sent = messages.run(stop(clock))  # type: ignore[arg-type]
    finally:
        thread.join(30)
        publisher.close()
    return sent, came


def test_a_scale_that_is_set_on_a_recording_is_refused_with_the_reason(recorded: Path, bus_address: str) -> None:
    asked = MarkBody(
        session_id=LIVE_SESSION.session_id,
        frame_id=IDS[0],
        kind=MarkKind.SCALE,
        t_mark_ns=1,
        points_xy_px=((1.0, 1.0), (1.0, 60.0)),
        distance_mm=30.0,
    )
    with Inbox(bus_address) as inbox:

        class Asking(Stop):
            """Posts the mark once the session has been announced."""

            posted = False

            def is_set(self) -> bool:
                if not self.posted and self.asked > 6:
                    self.posted = inbox.send("mark", asked)
                    time.sleep(0.2)  # on its way
                return super().is_set()

        _, came = _send(recorded, bus_address, Asking)
    said = {message.body.scale_note for message in _of(came, "session")}
    assert "the scale was not set: the frames of a recording carry the scale that they were recorded with" in said
    assert [message.body.kind for message in _of(came, "mark")] == [MarkKind.WRONG]


def test_a_request_that_was_recorded_is_sent_with_its_time_moved_and_a_new_one_is_refused(
    recorded: Path, bus_address: str
) -> None:
    assert sum(record.data.startswith(b"control/") for record in read_log(recorded / "bus.log")) == 1
    with Inbox(bus_address) as inbox:

        class Asking(Stop):
            posted = False

            def is_set(self) -> bool:
                if not self.posted and self.asked > 6:
                    self.posted = inbox.send("control", msgspec.structs.replace(_request(1), request_id="r2"))
                    time.sleep(0.2)  # on its way
                return super().is_set()

        _, came = _send(recorded, bus_address, Asking)
    requests = {message.body.request_id: message.body for message in _of(came, "control")}
    (marked,) = _of(came, "mark")
    assert requests["r1"] == _request(marked.body.t_mark_ns)
    assert requests["r2"].state is ControlState.REFUSED
    assert "this is a recording" in requests["r2"].reason


def _of(came: list[Message], topic: str) -> list[Message]:
    return [message for message in came if message.topic.name == topic]


def test_frames_and_results_come_as_they_were_and_what_is_missing_stays_missing(
    recorded: Path, bus_address: str
) -> None:
    sent, came = _send(recorded, bus_address)
    frames = [frame_from(message) for message in _of(came, "frame")]
    assert [frame.frame_id for frame in frames] == list(IDS)
    for frame in frames:
        np.testing.assert_array_equal(frame.image, _frame(frame.frame_id).image)
        assert (frame.picture, frame.picture_reason) == (_frame(frame.frame_id).picture, frame.picture_reason)
    results = {message.body.frame_id: result_from(message) for message in _of(came, "result")}
    assert sorted(results) == [number for number in IDS if number != WITHOUT_RESULT]
    assert results[FROZEN].cause is Cause.NOT_LIVE
    expected = _result(_frame(2))
    np.testing.assert_array_equal(results[2].segmentation.contour_xy_px, expected.segmentation.contour_xy_px)
    np.testing.assert_array_equal(results[2].detections.score, expected.detections.score)
    assert (sent.frames, sent.results, sent.marks, sent.problems) == (10, 9, 1, [])


def test_all_stamps_are_moved_by_one_time_so_that_ages_and_latencies_are_as_they_were(
    recorded: Path, bus_address: str
) -> None:
    _, came = _send(recorded, bus_address)
    frames = [frame_from(message) for message in _of(came, "frame")]
    shifts = {frame.t_capture_ns - _frame(frame.frame_id).t_capture_ns for frame in frames}
    for frame in frames:
        before = _frame(frame.frame_id)
        shifts |= {frame.t_decoded_ns - before.t_decoded_ns, frame.t_cropped_ns - before.t_cropped_ns}
    for message in _of(came, "result"):
        after, before = result_from(message), _result(_frame(message.body.frame_id))
        for name in ("t_capture_ns", "t_infer_start_ns", "t_input_ns", "t_output_ns", "t_infer_end_ns"):
            if getattr(before, name) is not None:
                shifts.add(getattr(after, name) - getattr(before, name))
    (mark,) = _of(came, "mark")
    (shift,) = shifts
    assert mark.body.frame_id == MARKED
    assert mark.body.t_mark_ns == _frame(MARKED).t_capture_ns + 500 + shift
    published = {message.body.frame_id: message.t_publish_ns for message in _of(came, "result")}
    for message in _of(came, "frame"):
        assert message.t_publish_ns - message.body.t_capture_ns == 10
        if message.body.frame_id in published:
            assert published[message.body.frame_id] - message.body.t_capture_ns == 500


def test_the_session_message_marks_a_recording_and_has_its_final_state(recorded: Path, bus_address: str) -> None:
    _, came = _send(recorded, bus_address)
    told = [message.body for message in _of(came, "session")]
    assert all(body.source.startswith("recording of 20") and "v4l2 input" in body.source for body in told)
    assert [body.state for body in told[:-1]] == [SessionState.RUNNING] * (len(told) - 1)
    assert told[-1].state is SessionState.ENDED
    assert told[-1].last_frame_id == IDS[-1]
    assert told[0].frame_count == len(IDS)
    assert all(body.realtime for body in told)
    assert told[0].signal.t_since_ns - LIVE_SESSION.signal.t_since_ns > 0
    assert next(message.topic.name for message in came if message.topic.lane == "event") == "engine"


def test_only_the_health_of_the_stream_is_sent_because_nothing_is_recorded_now(
    recorded: Path, bus_address: str
) -> None:
    _, came = _send(recorded, bus_address)
    assert [message.body.process for message in _of(came, "health")] == ["stream"]


@pytest.mark.parametrize("options", [{"fast": True}, {"speed": 2.0}, {"speed": 0.5}])
def test_a_fast_replay_is_marked_and_shifts_all_timestamps_alike(
    recorded: Path, bus_address: str, options: dict[str, Any]
) -> None:
    _, came = _send(recorded, bus_address, **options)
    assert not any(message.body.realtime for message in _of(came, "session"))
    frames = _of(came, "frame")
    assert len({m.body.t_capture_ns - _frame(m.body.frame_id).t_capture_ns for m in frames}) == 1
    took_ns = frames[-1].t_publish_ns - frames[0].t_publish_ns
    whole_ns = (IDS[-1] - IDS[0]) * PERIOD_NS
    assert took_ns == (0 if "fast" in options else round(whole_ns / options["speed"]))


def test_a_part_begins_with_what_a_late_joiner_must_know(recorded: Path, bus_address: str) -> None:
    sent, came = _send(recorded, bus_address, span=Span(from_s=0.08, to_s=0.2))
    assert [message.body.frame_id for message in _of(came, "frame")] == [2, 3, 4]
    assert [message.body.frame_id for message in _of(came, "result")] == [2, 4]
    assert [message.topic.name for message in came if message.topic.lane == "event"][:2] == ["engine", "session"]
    assert _of(came, "session")[-1].body.state is SessionState.ENDED
    assert sent.frames == 3


def test_a_part_without_any_message_is_an_error(recorded: Path, bus_address: str) -> None:
    clock = FakeClock()
    publisher = Publisher(bus_address, "us0", clock)
    options = SessionReplayOptions(folder=recorded, bus=bus_address, span=Span(from_s=100.0))
    with pytest.raises(SessionError, match="no message in that part"):
        RecordedMessages(open_session(recorded), options, publisher, clock).run(threading.Event())
    publisher.close()


def test_frame_numbers_go_on_rising_when_a_session_repeats(recorded: Path, bus_address: str) -> None:
    sent, came = _send(recorded, bus_address, lambda clock: Stop(clock, after=300), repeat=True)
    ids = [message.body.frame_id for message in _of(came, "frame")]
    assert sent.rounds >= 1
    assert sent.interrupted
    assert ids[:14] == [*IDS, 12, 13, 14, 15]
    last = _of(came, "session")[-1].body
    assert (last.state, last.frame_count) == (SessionState.INTERRUPTED, None)


def test_a_recording_that_was_cut_off_is_sent_as_far_as_it_goes(
    recorded: Path, tmp_path: Path, bus_address: str
) -> None:
    folder = tmp_path / "cut"
    folder.mkdir()
    for path in recorded.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    records = list(read_log(recorded / "bus.log"))
    (folder / "bus.log").unlink()
    with MessageLogWriter(folder / "bus.log") as log:
        for record in records:
            body = whole_message(record).body
            ended = getattr(body, "state", None) is SessionState.ENDED
            if not ended and getattr(body, "frame_id", 0) <= 5:
                log.append(record.data, without_pixels=record.without_pixels)
    with (folder / "bus.log").open("ab") as file:
        file.write(bytes(5))  # the beginning of a record that never came
    sent, came = _send(folder, bus_address)
    ids = [message.body.frame_id for message in _of(came, "frame")]
    assert ids == [0, 1, 2, 3, 4, 5]
    assert sent.frames == 6
    assert _of(came, "session")[-1].body.state is SessionState.ENDED


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bus": ""}, "there is no viewer"),
        ({"speed": 0.0}, "--speed"),
        ({"speed": 2.0, "fast": True}, "--fast"),
        ({"span": Span(from_s=2.0, to_s=1.0)}, "--to must lie after"),
        ({"span": Span(from_s=-1.0)}, "--to must lie after"),
        ({"repeat": True, "overlay_video": Path("x.mkv")}, "never ends"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SessionReplayOptions(**{"folder": Path(), "bus": "ipc", **options})


_NO_ENGINE = """
import sys
import usassist.engine.opening as opening
from usassist.app.commands.main import main

def refuse(*args, **kwargs):
    raise AssertionError("an engine was opened")

opening.load_engine = opening.open_checked = opening.open_first = refuse
sys.argv = ["usassist", "replay", sys.argv[1], "--overlay-video", "--out", sys.argv[2], "--fast"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
runtimes = ("openvino", "onnxruntime", "torch", "tensorrt")
loaded = [name for name in sys.modules if name.split(".")[0] in runtimes or ".engine.backends." in name]
assert not loaded, loaded
"""


def test_no_engine_and_no_runtime_is_loaded_and_the_video_has_every_frame(
    recorded: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    video = tmp_path / "shown" / "overlay.mkv"
    command = [sys.executable, "-c", _NO_ENGINE, str(recorded), str(tmp_path / "shown")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert "10 frames sent as they were recorded, 1 of them without a result" in run.stdout
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(IDS)


def test_the_command_reports_what_is_wrong(usassist: Usassist, recorded: Path, tmp_path: Path) -> None:
    (tmp_path / "there.mkv").write_bytes(b"")
    for arguments, words in (
        ((recorded,), "there is no viewer"),
        ((recorded, "--window"), "no display"),
        ((recorded, "--overlay-video", "--engine", "x"), "leave out --engine"),
        ((recorded, "--overlay-video", "--count", 3), "leave out --count"),
        ((recorded, "--bus", "ipc", "--out", "x"), "leave out --out"),
        ((recorded, "--overlay-video", "--out", "there.mkv"), "exists already"),
        (("demo", "--speed", 2), "leave out --speed"),
    ):
        run = usassist("replay", *arguments)
        assert run.returncode == 2, run.stderr
        assert words in run.stderr


def test_ctrl_c_ends_the_replay_with_a_final_message(
    recorded: Path, tmp_path: Path, environment: dict[str, str], bus_address: str
) -> None:
    command = [sys.executable, "-m", "usassist", "replay", str(recorded), "--bus", bus_address, "--repeat", "--json"]
    with Subscriber(bus_address, TOPICS) as subscriber:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
        try:
            states: list[SessionState] = []
            for _ in range(600):
                states += [m.body.state for m in subscriber.events(50) if m.topic.name == "session"]
                if states and process.poll() is None and states[-1] is SessionState.RUNNING:
                    process.send_signal(signal.SIGINT)
                if states and states[-1] is SessionState.INTERRUPTED:
                    break
            stdout, stderr = process.communicate(timeout=30)
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                process.communicate()
    assert process.returncode == 130, stderr
    assert states[-1] is SessionState.INTERRUPTED
    assert json.loads(stdout)["interrupted"] is True
