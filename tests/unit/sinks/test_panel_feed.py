from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from tests.samples import DESCRIBED
from usassist.bus import (
    EngineBody,
    HealthBody,
    LabelBody,
    MarkBody,
    MarkKind,
    Message,
    Plane,
    PointBody,
    Publisher,
    SessionBody,
    SessionState,
    Subscriber,
    decode,
)
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.bus.topics import TOPICS
from usassist.common.clock import FakeClock, MonotonicClock
from usassist.errors import SchemaVersionError
from usassist.records import Cause, Detections, Frame, Measurements, Result, ResultState, Segmentation, SignalState
from usassist.sinks.panel import scene as scene_module
from usassist.sinks.panel.feed import PanelFeed
from usassist.sinks.panel.jpeg import JpegEncoder
from usassist.sinks.panel.packet import Head, unpack
from usassist.sinks.panel.said import Said
from usassist.sinks.panel.scene import Scene
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.viewers import Viewers

ENGINE_ID = "thyroid_nodule@1.0.0+abc"
ENGINE = EngineBody(
    engine_id=ENGINE_ID,
    backend="openvino",
    labels=(
        LabelBody(
            id=0, name="nodule", scheme="SCT", value="1", meaning="Nodule", color_rgb=(255, 196, 0), score_threshold=0.5
        ),
    ),
    intended_use="research",
)


def session(session_id: str = "a", state: SessionState = SessionState.RUNNING, reason: str = "") -> SessionBody:
    return SessionBody(
        session_id=session_id,
        state=state,
        source="test",
        image_hw_px=(60, 80),
        rate_hz=30.0,
        frame_count=None,
        calibration_id=None,
        last_frame_id=-1,
        realtime=True,
        max_age_ms=150.0,
        reason=reason,
    )


def frame(frame_id: int, t_ns: int, session_id: str = "a") -> Frame:
    image = np.full((60, 80), 50 + frame_id % 100, np.uint8)
    return Frame(
        session_id=session_id,
        source_id="us0",
        frame_id=frame_id,
        t_capture_ns=t_ns,
        image=image,
        roi_xyxy_px=(0, 0, 80, 60),
    )


def result(of: Frame, state: str = "finding", cause: Cause = Cause.ENGINE_ERROR, label_id: int = 0) -> Result:
    content: dict[str, Any] = {}
    if state == "finding":
        one = np.ones(1, np.float32)
        content = {
            "detections": Detections(
                xyxy_px=np.array([[10, 10, 30, 30]], np.float32),
                score=one,
                label_id=np.array([label_id], np.int32),
                track_id=np.array([1], np.int32),
            ),
            "segmentation": Segmentation.of([np.array([[10, 10], [30, 10], [30, 30]], np.float32)]),
            "measurements": Measurements(major_px=one * 20, minor_px=one * 20, area_px2=one * 200),
        }
    elif state != "no_finding":
        content = {"cause": cause, "reason": "for a reason"}
    return Result(
        session_id=of.session_id,
        source_id="us0",
        frame_id=of.frame_id,
        t_capture_ns=of.t_capture_ns,
        t_infer_start_ns=1,
        t_infer_end_ns=2,
        engine_id=ENGINE_ID,
        backend="openvino",
        calibration_id=None,
        image_hw_px=(60, 80),
        frames_dropped=0,
        state=ResultState(state),
        **content,
    )


class Bench:
    """A scene, a clock, and short ways to feed it."""

    def __init__(self) -> None:
        self.clock = FakeClock(10**9)
        self.scene = Scene(self.clock, 85)

    def event(self, topic: str, body: Any, seq: int = 0) -> None:
        self.scene.add(decode(encode(TOPICS[topic], "us0", seq, 0, body, {})))

    def introduce(self, session_id: str = "a") -> None:
        self.event("engine", ENGINE)
        self.event("session", session(session_id))

    def pair(self, frame_id: int, state: str = "finding", **options: Any) -> Head:
        shot = frame(frame_id, self.clock.now_ns(), options.pop("session_id", "a"))
        self.scene.add(decode(encode_frame(shot, 0, 0)))
        self.scene.add(decode(encode_result(result(shot, state, **options), 0, 0)))
        self.scene.advance()
        return self.scene.head()


@pytest.fixture
def desk() -> Bench:
    return Bench()


def test_before_the_first_frame_the_page_waits(desk: Bench) -> None:
    head = desk.scene.head()
    assert (head.state, head.detail, head.frame_id) == ("no_result", "waiting for the first frame", None)
    assert desk.scene.jpeg() == b""


@pytest.mark.parametrize("state", ["finding", "no_finding", "no_result", "stale"])
def test_outlines_are_sent_only_with_a_finding(desk: Bench, state: str) -> None:
    desk.introduce()
    head = desk.pair(0, state)
    assert head.state == state
    assert head.live
    assert bool(head.nodules) is head.draw is (state == "finding")


def test_the_page_is_told_the_operating_point_and_that_scores_are_calibrated(desk: Bench) -> None:
    point = PointBody(name="quiet", sensitivity=0.8, false_positives_per_frame=0.02)
    desk.introduce()
    desk.event("engine", msgspec.structs.replace(ENGINE, score_calibration_id="x", point=point))
    head = desk.pair(0)
    assert head.point == "quiet: finds 80 of 100 nodules, 0.02 false alarms per frame (validation frames)"
    assert head.nodules[0].score_calibrated


def test_the_page_is_told_that_scores_are_not_calibrated(desk: Bench) -> None:
    assert desk.scene.head().point == ""
    desk.introduce()
    head = desk.pair(0)
    assert "scores are not calibrated" in head.point
    assert not head.nodules[0].score_calibrated


def test_the_page_is_told_descriptors_with_the_agreement_that_the_engine_announced(desk: Bench) -> None:
    desk.introduce()
    desk.event("engine", msgspec.structs.replace(ENGINE, descriptor_agreement={"echogenicity": "kappa 0.4"}))
    shot = frame(0, desk.clock.now_ns())
    desk.scene.add(decode(encode_frame(shot, 0, 0)))
    desk.scene.add(decode(encode_result(dataclasses.replace(result(shot), descriptors=DESCRIBED), 0, 0)))
    desk.scene.advance()
    (nodule,) = desk.scene.head().nodules
    assert [(item.value, item.basis, item.agreement) for item in nodule.descriptors] == [
        ("hypoechoic", "estimated", "kappa 0.4")
    ]


def test_nothing_is_drawn_for_an_engine_that_was_not_announced(desk: Bench) -> None:
    desk.event("session", session())
    head = desk.pair(0)
    assert (head.state, head.nodules) == ("no_result", ())
    assert "has not been announced" in head.detail


def test_nothing_is_drawn_for_a_label_that_was_not_announced(desk: Bench) -> None:
    desk.introduce()
    head = desk.pair(0, label_id=5)
    assert (head.state, head.draw, head.nodules) == ("no_result", False, ())
    assert "label 5" in head.detail


def test_silence_takes_the_outlines_away_and_says_for_how_long(desk: Bench) -> None:
    desk.introduce()
    desk.pair(0)
    desk.clock.advance_ms(200)
    assert not desk.scene.advance()
    assert desk.scene.head().state == "finding"
    desk.clock.advance_ms(300)
    assert desk.scene.advance()
    assert not desk.scene.advance()
    head = desk.scene.head()
    assert (head.state, head.detail, head.nodules, head.live) == ("no_result", "no frame for 0.5 s", (), False)
    assert head.frame_id == 0


def test_the_age_goes_on_while_a_frame_stands(desk: Bench) -> None:
    desk.introduce()
    desk.pair(0)
    desk.clock.advance_ms(120)
    assert desk.scene.head().age_ms == pytest.approx(120)


def test_the_end_of_a_stream_is_told(desk: Bench) -> None:
    desk.introduce()
    desk.pair(0)
    desk.event("session", session(state=SessionState.FAILED, reason="cable out"))
    assert desk.scene.advance()
    assert desk.scene.head().detail == "the stream failed: cable out"


def test_another_stream_starts_with_fresh_counts(desk: Bench) -> None:
    desk.introduce("a")
    desk.pair(0)
    desk.pair(5)
    assert (desk.scene.head().counters.shown, desk.scene.head().counters.skipped) == (2, 4)
    desk.event("session", session("a", SessionState.ENDED))
    desk.event("session", session("b"))
    assert desk.scene.head().detail == "waiting for the first frame"
    head = desk.pair(0, "no_finding", session_id="b")
    assert (head.session_id, head.state, head.counters.shown, head.counters.skipped) == ("b", "no_finding", 1, 0)


def test_the_last_word_of_a_stream_before_does_not_end_the_next(desk: Bench) -> None:
    desk.introduce("a")
    desk.pair(0)
    desk.pair(0, session_id="b")
    desk.event("session", session("a", SessionState.ENDED))
    desk.scene.advance()
    assert desk.scene.head().state == "finding"


def test_frames_the_engine_never_saw_are_passed_over_while_it_answers(desk: Bench) -> None:
    desk.introduce()
    desk.pair(0)
    desk.clock.advance_ms(33)
    head = desk.pair(1, "no_result", cause=Cause.DROPPED)
    assert (head.frame_id, head.state) == (0, "finding")
    desk.clock.advance_ms(33)
    head = desk.pair(2)
    assert (head.frame_id, head.counters.skipped, head.counters.by_cause) == (2, 1, {"dropped": 1})
    desk.clock.advance_ms(160)
    head = desk.pair(3, "no_result", cause=Cause.DROPPED)
    assert (head.frame_id, head.state) == (3, "no_result")


def test_a_frame_whose_result_is_lost_shows_no_result(desk: Bench) -> None:
    desk.introduce()
    desk.scene.add(decode(encode_frame(frame(0, desk.clock.now_ns()), 0, 0)))
    assert not desk.scene.advance()
    desk.clock.advance_ms(101)
    assert desk.scene.advance()
    head = desk.scene.head()
    assert (head.frame_id, head.state, head.counters.by_cause) == (0, "no_result", {"missing": 1})


def health(process: str, **changes: Any) -> HealthBody:
    values: dict[str, Any] = {"frames": 0, "answered": 0, "dropped": 0, "by_state": {}, "rate_hz": None}
    return HealthBody(process=process, **values | {"latency_p50_ms": None, "latency_p95_ms": None} | changes)


def test_only_the_streams_own_health_is_taken_for_the_streams(desk: Bench) -> None:
    desk.introduce()
    desk.event("health", health("stream", frames=7))
    desk.event("health", health("overlay", frames=1))
    desk.event("health", health("record", frames=2))
    told = desk.pair(0).counters.health
    assert told is not None
    assert told.frames == 7


def test_the_page_is_told_that_the_session_is_recorded(desk: Bench) -> None:
    desk.introduce()
    desk.event("health", health("record", recording="running", recorded_bytes=5))
    desk.clock.advance_ms(1500)
    told = desk.pair(0).recording
    assert (told.state, told.elapsed_s, told.recorded_bytes) == ("running", 1.5, 5)


def test_the_page_is_told_of_marks_that_came_back_at_once(desk: Bench) -> None:
    desk.introduce()
    desk.pair(0)
    assert not desk.scene.advance()
    desk.event("mark", MarkBody(session_id="a", frame_id=0, kind=MarkKind.WRONG, t_mark_ns=5_000_000))
    assert desk.scene.advance()
    marks = desk.scene.head().marks
    assert marks.counts == {"wrong": 1}
    assert [(mark.frame_id, mark.kind, mark.t_ms) for mark in marks.latest] == [(0, "wrong", 5.0)]


def test_while_nobody_watches_results_are_counted_and_no_old_frame_is_shown_afterwards(desk: Bench) -> None:
    desk.introduce()
    desk.pair(0)
    desk.scene.set_watched(watched=False)
    desk.event("session", session())
    shot = frame(1, desk.clock.now_ns())
    desk.scene.add(decode(encode_result(result(shot, "no_result"), 1, 0)))
    desk.clock.advance_ms(60_000)
    desk.scene.set_watched(watched=True)
    desk.scene.advance()
    head = desk.scene.head()
    assert (head.frame_id, head.detail) == (None, "waiting for the first frame")
    assert head.counters.by_cause == {"engine_error": 1}
    assert desk.pair(2).live


def test_events_that_never_arrived_are_counted_and_a_pause_in_listening_is_none(desk: Bench) -> None:
    desk.event("engine", ENGINE, 3)
    desk.event("engine", ENGINE, 4)
    assert desk.scene.tally.gaps == 0
    desk.event("engine", ENGINE, 7)
    assert desk.scene.tally.gaps == 2
    desk.event("engine", ENGINE, 0)  # another stream
    desk.scene.set_watched(watched=True)
    desk.event("engine", ENGINE, 50)
    assert desk.scene.tally.gaps == 2


def test_a_problem_is_shown_until_a_frame_can_be(desk: Bench) -> None:
    desk.introduce()
    desk.pair(0)
    desk.scene.fail("a v2 message came")
    head = desk.scene.head()
    assert (head.state, head.detail, head.nodules) == ("no_result", "a v2 message came", ())
    assert desk.pair(1).state == "finding"


def test_the_frame_keeps_its_colours() -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[:] = (200, 30, 30)
    shot = Frame(session_id="a", source_id="us0", frame_id=0, t_capture_ns=0, image=image, roi_xyxy_px=(0, 0, 16, 16))
    blue, _, red = cv2.imdecode(np.frombuffer(JpegEncoder(95).encode(shot), np.uint8), cv2.IMREAD_COLOR)[8, 8]
    assert red > 180
    assert blue < 60


def test_a_grey_frame_in_three_planes_is_sent_as_grey_with_the_same_pixels() -> None:
    grey = np.random.default_rng(1).integers(0, 255, (33, 41), np.uint8)
    image = np.repeat(grey[..., None], 3, axis=2)
    shots = [
        Frame(session_id="a", source_id="us0", frame_id=0, t_capture_ns=0, image=pixels, roi_xyxy_px=(0, 0, 41, 33))
        for pixels in (grey, image)
    ]
    encoder = JpegEncoder(90)
    one, three = (bytes(encoder.encode(shot)) for shot in shots)
    assert one == three
    coloured = image.copy()
    coloured[20, 20] = (255, 0, 0)
    shot = dataclasses.replace(shots[1], image=coloured)
    assert cv2.imdecode(np.frombuffer(encoder.encode(shot), np.uint8), cv2.IMREAD_UNCHANGED).ndim == 3


def until(condition: Callable[[], bool], do: Callable[[], None] = lambda: None) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 20 s"
        do()
        time.sleep(0.02)


class Somebody(Viewers):
    """One who watches and takes nothing."""

    def __len__(self) -> int:
        return 1

    def active(self) -> bool:
        return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., PanelFeed]]:
    feeds = []

    def start(viewers: Viewers | None = None, **options: Any) -> PanelFeed:
        feed = PanelFeed(f"ipc://{tmp_path}", Somebody() if viewers is None else viewers, **options)
        feeds.append(feed)
        feed.start()
        return feed

    yield start
    for feed in feeds:
        feed.close()


class Sender:
    def __init__(self, folder: Path, session_id: str) -> None:
        self.publisher = Publisher(f"ipc://{folder}", "us0", MonotonicClock())
        self.session_id = session_id
        self.sent = 0

    def send(self) -> None:
        self.publisher.event("engine", ENGINE)
        self.publisher.event("session", session(self.session_id))
        shot = frame(self.sent, time.monotonic_ns(), self.session_id)
        self.publisher.frame(shot)
        self.publisher.result(result(shot))
        self.sent += 1


def test_the_feed_outlives_one_stream_and_shows_the_next(tmp_path: Path, start: Callable[..., PanelFeed]) -> None:
    feed = start()
    until(lambda: feed.latest.detail == "waiting for the first frame")
    for session_id in ("first", "second"):
        sender = Sender(tmp_path, session_id)
        until(lambda: feed.latest.session_id == session_id and feed.latest.draw, sender.send)  # noqa: B023
        sender.publisher.event("session", session(session_id, SessionState.ENDED))
        sender.publisher.close()
        until(lambda: feed.latest.state == "no_result")
        assert not feed.latest.nodules


def test_frames_are_encoded_only_while_a_page_is_connected(
    tmp_path: Path, start: Callable[..., PanelFeed], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []

    class Counting(JpegEncoder):
        def encode(self, shot: Frame) -> memoryview:
            encoded.append(shot.frame_id)
            return super().encode(shot)

    monkeypatch.setattr(scene_module, "JpegEncoder", Counting)
    viewers = Viewers()
    feed = start(viewers)
    sender = Sender(tmp_path, "a")
    until(lambda: feed.latest.engine_id == ENGINE_ID, sender.send)
    assert (feed.latest.frame_id, encoded) == (None, [])

    async def watch() -> bytes:
        viewer = viewers.join()
        assert viewer is not None
        await asyncio.to_thread(until, lambda: bool(encoded), sender.send)
        packet = await asyncio.wait_for(viewer.take(), 20)
        viewers.leave(viewer)
        return packet

    head, jpeg = unpack(asyncio.run(watch()))
    sender.publisher.close()
    assert head.session_id == "a"
    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE).shape == (60, 80)


def test_while_nobody_watches_no_frame_is_asked_for(tmp_path: Path, start: Callable[..., PanelFeed]) -> None:
    asked: list[tuple[str, ...]] = []

    def subscribe(topics: tuple[str, ...]) -> Subscriber:
        asked.append(topics)
        return Subscriber(f"ipc://{tmp_path}", topics)

    viewers = Viewers()
    feed = start(viewers, subscribe=subscribe)
    sender = Sender(tmp_path, "a")
    until(lambda: feed.latest.engine_id == ENGINE_ID, sender.send)
    assert [topic for topics in asked for topic in topics if topic == "frame"] == []

    async def watch() -> bytes:
        viewer = viewers.join()
        assert viewer is not None
        while True:
            sender.send()
            with contextlib.suppress(TimeoutError):
                packet = await asyncio.wait_for(viewer.take(), 0.1)
                viewer.acknowledge()
                if unpack(packet)[1]:
                    return packet

    head, _ = unpack(asyncio.run(asyncio.wait_for(watch(), 20)))
    sender.publisher.close()
    assert head.live
    assert "frame" in asked[-1]


def test_the_stage_browser_and_the_health_of_the_panel_are_told_once_a_second(
    tmp_path: Path, start: Callable[..., PanelFeed]
) -> None:
    class Outlet:
        def __init__(self) -> None:
            self.posted: list[tuple[str, Any]] = []

        def send(self, topic: str, body: msgspec.Struct) -> bool:
            self.posted.append((topic, body))
            return True

    outlet, shown = Outlet(), ShownFrames(MonotonicClock())
    feed = start(shown=shown, inbox=outlet)
    sender = Sender(tmp_path, "a")
    until(
        lambda: feed.latest.frame_id is not None and not shown.why_not_markable("a", feed.latest.frame_id), sender.send
    )
    shown.drawn("a", feed.latest.frame_id or 0)
    until(lambda: bool(outlet.posted) and bool(outlet.posted[-1][1].stages), sender.send)
    topic, body = outlet.posted[-1]
    assert (topic, body.process, body.stages["browser"].count) == ("health", "panel", 1)
    assert body.cpu_s > 0
    assert body.frames >= 1
    until(lambda: feed.latest.counters.screen_p50_ms is not None, sender.send)
    until(lambda: "panel" in feed.figures.health, sender.send)
    sender.publisher.close()


class Scripted:
    """A subscriber that raises what it is told to, one after another, and then gives nothing."""

    malformed = 0

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def events(self, timeout_ms: int) -> Iterator[Message]:
        time.sleep(timeout_ms / 1000)
        if self.errors:
            raise self.errors.pop(0)
        yield from ()


def test_messages_of_another_version_are_named_on_the_page(
    start: Callable[..., PanelFeed], caplog: pytest.LogCaptureFixture
) -> None:
    feed = start(subscribe=lambda topics: Scripted(*[SchemaVersionError("a result message of version v2 came")] * 3))
    until(lambda: feed.latest.detail == "a result message of version v2 came")
    assert feed.latest.state == "no_result"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_an_unexpected_error_is_shown_and_logged_and_the_feed_tries_again(
    start: Callable[..., PanelFeed], caplog: pytest.LogCaptureFixture
) -> None:
    opened = []

    def subscribe(topics: tuple[str, ...]) -> Scripted:
        opened.append(1)
        return Scripted(RuntimeError("disk on fire"))

    feed = start(subscribe=subscribe)
    until(lambda: len(opened) >= 2)
    assert (feed.latest.state, feed.latest.draw) == ("no_result", False)
    assert "disk on fire" in feed.latest.detail
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_what_people_say_is_kept_for_the_session_and_a_plane_ends_with_the_image() -> None:
    said, clock = Said(), FakeClock(10**9)
    scene = Scene(clock, 85, said=said)

    def planes() -> list[tuple[int, str | None]]:
        kept = msgspec.json.decode(said.text)["said"]["planes"]
        return [(item["frame_id"], item["plane"]) for item in kept]

    def show(frame_id: int, picture: SignalState) -> None:
        shot = dataclasses.replace(frame(frame_id, clock.now_ns()), picture=picture)
        scene.add(decode(encode_frame(shot, 0, 0)))
        scene.add(decode(encode_result(result(shot, "no_finding"), 0, 0)))
        scene.advance()

    show(5, SignalState.LIVE)
    mark = MarkBody(session_id="a", frame_id=5, kind=MarkKind.PLANE, t_mark_ns=1, plane=Plane.TRANSVERSE)
    scene.add(decode(encode(TOPICS["mark"], "us0", 0, 0, mark, {})))
    for frame_id, picture in enumerate((SignalState.LIVE, SignalState.FROZEN, SignalState.DAMAGED), 6):
        show(frame_id, picture)
    assert planes() == [(5, "transverse")]
    show(9, SignalState.NOT_B_MODE)
    show(10, SignalState.NOT_B_MODE)
    assert planes() == [(5, "transverse"), (9, None)]
    scene.add(decode(encode_frame(frame(0, clock.now_ns(), "b"), 0, 0)))
    assert planes() == []


def test_the_identities_that_were_on_a_page_are_known(desk: Bench) -> None:
    desk.introduce()
    desk.pair(3)
    on_screen = desk.scene.on_screen()
    assert on_screen == ("a", 3, 10**9, (1,))
    shown = ShownFrames(desk.clock)
    shown.offered(*on_screen)
    assert (shown.has_track(1), shown.has_track(2)) == (True, False)
