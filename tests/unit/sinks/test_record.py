from __future__ import annotations

import dataclasses
import errno
import json
import os
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from tests.samples import CALIBRATED_ENGINE, DESCRIBED, ENGINE, SESSION, make_frame, make_result
from usassist.bus import Publisher, SessionState, decode, read_log, result_from
from usassist.common.clock import MonotonicClock
from usassist.common.private_files import write_atomic
from usassist.common.pyav import av
from usassist.errors import SessionError, SourceError, SourceFormatError, UsageError
from usassist.frames.burnt_text import find_text_boxes
from usassist.records import Frame, ResultState
from usassist.session.verify import verify_session
from usassist.sinks.files import prepare_folder
from usassist.sinks.manifest import calibration_tables
from usassist.sinks.overlay.video import OverlayVideo
from usassist.sinks.pixels import PixelFiles
from usassist.sinks.record import Recorder, result_line
from usassist.sources import open_source


class Stream:
    """Publishes what a test tells it to, to archives that run in threads."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.publisher = Publisher(address, "us0", MonotonicClock(), lossless=True)
        self.threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []

    def attach(self, archive: Recorder | OverlayVideo) -> None:
        thread = threading.Thread(target=self._run, args=(archive,))
        self.threads.append(thread)
        thread.start()

    def _run(self, archive: Recorder | OverlayVideo) -> None:
        try:
            archive.run()
        except SessionError as error:
            self.errors.append(error)

    def begin(self) -> None:
        assert self.publisher.wait_for_archives(len(self.threads), 10, lambda: True)
        self.publisher.event("engine", ENGINE)
        self.publisher.event("session", msgspec.structs.replace(SESSION, realtime=False))

    def end(self, last_frame_id: int, state: SessionState = SessionState.ENDED) -> None:
        body = msgspec.structs.replace(SESSION, state=state, last_frame_id=last_frame_id)
        self.publisher.event("session", body)
        for thread in self.threads:
            thread.join(20)
            assert not thread.is_alive()
        self.publisher.close()


@pytest.fixture
def stream(bus_address: str) -> Iterator[Stream]:
    made = Stream(bus_address)
    yield made
    made.publisher.close()


def _record(stream: Stream, folder: Path, frames: list[Frame], **end: object) -> None:
    stream.attach(Recorder(stream.address, folder, lambda: False))
    stream.begin()
    for frame in frames:
        stream.publisher.frame(frame)
        stream.publisher.result(make_result(frame.frame_id, hw=frame.image_hw_px))
    stream.end(frames[-1].frame_id, **end)  # type: ignore[arg-type]
    assert not stream.errors


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _grey_rgb(frame_id: int) -> Frame:
    grey = make_frame(frame_id).image
    return make_frame(frame_id, channels=3, image=np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([make_frame(i) for i in range(20)], id="grey"),
        pytest.param([make_frame(i, channels=3) for i in range(20)], id="colour"),
        pytest.param([_grey_rgb(i) for i in range(20)], id="grey in three channels"),
        pytest.param(
            [_grey_rgb(i) if i % 7 else make_frame(i, channels=3) for i in range(20)], id="colour comes and goes"
        ),
        pytest.param([make_frame(i, (48, 64) if i < 9 else (53, 71)) for i in range(20)], id="size changes"),
        pytest.param([make_frame(i, (49, 63), 3) for i in range(5)], id="odd sizes"),
    ],
)
def test_recorded_frames_come_back_bit_for_bit(stream: Stream, tmp_path: Path, frames: list[Frame]) -> None:
    _record(stream, tmp_path / "s", frames)
    with open_source(f"session:{tmp_path / 's'}", session_id="again", fast=True) as source:
        back = list(source.frames())
    assert len(back) == len(frames)
    for before, after in zip(frames, back, strict=True):
        np.testing.assert_array_equal(before.image, after.image)
        assert before.roi_xyxy_px == after.roi_xyxy_px


def test_a_session_that_ended_in_order_says_what_it_is(stream: Stream, tmp_path: Path) -> None:
    _record(stream, tmp_path / "s", [make_frame(i, calibration_id="geo") for i in range(6)])
    session = tomllib.loads((tmp_path / "s" / "session.toml").read_text())
    assert session["complete"] is True
    assert session["schema"] == [2, 2]
    assert (session["frames"], session["results"], session["state"]) == (6, 6, "ended")
    assert session["engines"][0]["engine_id"] == ENGINE.engine_id
    assert session["calibrations"] == [{"calibration_id": "geo", "kind": "geometry"}]
    assert session["session_id"] == SESSION.session_id
    assert session["recording"] == "closed"
    assert [reading["event"] for reading in session["clock"]] == ["begin", "end"]


def test_a_session_notes_the_operating_point_and_the_calibration_of_its_scores(
    stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ENGINE", CALIBRATED_ENGINE)
    _record(stream, tmp_path / "s", [make_frame(0)])
    (engine,) = tomllib.loads((tmp_path / "s" / "session.toml").read_text())["engines"]
    assert (engine["point"], engine["score_calibration_id"]) == ("balanced", "thyroid_nodule_0.1.0_test")


def test_a_session_with_raw_scores_names_no_operating_point(stream: Stream, tmp_path: Path) -> None:
    _record(stream, tmp_path / "s", [make_frame(0)])
    (engine,) = tomllib.loads((tmp_path / "s" / "session.toml").read_text())["engines"]
    assert not {"point", "score_calibration_id"} & engine.keys()


@pytest.mark.parametrize(
    ("score", "threshold", "written"),
    [(0.31234, 0.31233, 0.31233), (0.31238, 0.31233, 0.3124), (0.2, 0.31, 0.2), (0.87654, 0.31, 0.8765)],
)
def test_a_score_that_reached_its_threshold_is_not_written_below_it(
    score: float, threshold: float, written: float
) -> None:
    label = msgspec.structs.replace(ENGINE.labels[0], score_threshold=threshold)
    found = make_result()
    scored = dataclasses.replace(found.detections, score=np.array([score], np.float32))
    line = result_line(make_result(detections=scored), msgspec.structs.replace(ENGINE, labels=(label,)), t_publish_ns=0)
    assert line["nodules"][0]["score"] == written


def test_there_is_one_line_of_result_per_frame_with_outline_and_sizes(stream: Stream, tmp_path: Path) -> None:
    _record(stream, tmp_path / "s", [make_frame(i) for i in range(4)])
    lines = _lines(tmp_path / "s" / "results.jsonl")
    assert [line["frame_id"] for line in lines] == [0, 1, 2, 3]
    nodule = lines[2]["nodules"][0]
    expected = make_result(2)
    assert nodule["label"] == "nodule"
    np.testing.assert_allclose(nodule["contour_xy_px"], expected.segmentation.contour_xy_px, atol=0.01)
    assert expected.measurements.major_mm is not None
    assert nodule["major_mm"] == pytest.approx(float(expected.measurements.major_mm[0]), abs=1e-3)
    assert nodule["major_u95_mm"] > 0


def test_descriptors_are_written_with_their_agreement_and_the_list_is_always_there() -> None:
    (nodule,) = result_line(make_result(descriptors=DESCRIBED), CALIBRATED_ENGINE, t_publish_ns=0)["nodules"]
    assert nodule["descriptors"] == [
        {
            "name": "echogenicity",
            "value": "hypoechoic",
            "probability": 0.75,
            "basis": "estimated",
            "agreement": CALIBRATED_ENGINE.descriptor_agreement["echogenicity"],
        }
    ]
    (unknown,) = result_line(make_result(descriptors=DESCRIBED), None, t_publish_ns=0)["nodules"]
    assert unknown["descriptors"][0]["agreement"] is None
    for nothing in ((), ((),)):
        (bare,) = result_line(make_result(descriptors=nothing), CALIBRATED_ENGINE, t_publish_ns=0)["nodules"]
        assert bare["descriptors"] == []


def test_the_log_holds_the_messages_and_the_heads_of_the_frames(stream: Stream, tmp_path: Path) -> None:
    _record(stream, tmp_path / "s", [make_frame(i) for i in range(3)])
    records = list(read_log(tmp_path / "s" / "bus.log"))
    results = [result_from(decode(item.data)) for item in records if item.data.startswith(b"result/")]
    assert [result.frame_id for result in results] == [0, 1, 2]
    heads = [item for item in records if item.without_pixels]
    assert len(heads) == 3
    assert all(len(item.data) < 1000 for item in heads)


def test_a_session_that_was_stopped_is_not_complete(stream: Stream, tmp_path: Path) -> None:
    _record(stream, tmp_path / "s", [make_frame(i) for i in range(3)], state=SessionState.INTERRUPTED)
    session = tomllib.loads((tmp_path / "s" / "session.toml").read_text())
    assert (session["complete"], session["state"]) == (False, "interrupted")


def test_a_recorder_whose_stream_dies_closes_what_it_has(stream: Stream, tmp_path: Path) -> None:
    gone = threading.Event()
    stream.attach(Recorder(stream.address, tmp_path / "s", gone.is_set))
    stream.begin()
    for number in range(10):
        stream.publisher.frame(make_frame(number))
    _wait_for_lines(tmp_path / "s" / "frames.jsonl", 10)
    stream.publisher.close()
    gone.set()
    stream.threads[0].join(20)
    assert not stream.threads[0].is_alive()
    with open_source(f"session:{tmp_path / 's'}", session_id="again", fast=True) as source:
        assert len(list(source.frames())) == 10
    assert tomllib.loads((tmp_path / "s" / "session.toml").read_text())["complete"] is False


def test_a_recording_is_readable_at_every_moment(stream: Stream, tmp_path: Path) -> None:
    """What a recorder that is killed leaves behind is what lies on disk at that moment."""
    folder = tmp_path / "s"
    stream.attach(Recorder(stream.address, folder, lambda: False))
    stream.begin()
    rng = np.random.default_rng(0)
    for number in range(30):
        image = rng.integers(0, 256, (200, 300)).astype(np.uint8)
        stream.publisher.frame(make_frame(number, (200, 300), image=image))
        stream.publisher.result(make_result(number, hw=(200, 300)))
    _wait_for_lines(folder / "results.jsonl", 30)
    _wait_for_lines(folder / "frames.jsonl", 30)
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with open_source(f"session:{copy}", session_id="again", fast=True) as source:
        assert len(list(source.frames())) >= 29
    assert len(_lines(copy / "results.jsonl")) == 30
    assert len(list(read_log(copy / "bus.log"))) >= 60
    stream.end(29)


def _wait_for_lines(path: Path, count: int) -> None:
    for _ in range(1000):
        if path.read_bytes().count(b"\n") == count:
            return
        threading.Event().wait(0.02)
    raise AssertionError(f"{path.name} never had {count} lines")


def test_folder_and_files_are_private(stream: Stream, tmp_path: Path) -> None:
    _record(stream, tmp_path / "s", [make_frame(0)])
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0
    assert (tmp_path / "s" / "session.toml").stat().st_mode & 0o077 == 0


def test_a_folder_that_holds_a_session_is_left_alone(stream: Stream, tmp_path: Path) -> None:
    _record(stream, tmp_path / "s", [make_frame(0)])
    before = {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}
    with pytest.raises(SessionError, match="already holds a session; choose another --out"):
        prepare_folder(tmp_path / "s")
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}


@pytest.mark.parametrize("name", ["overlay.mkv", "bus.log", "summary.json", "frames.mkv", "frames.nut"])
def test_no_file_of_an_earlier_session_is_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SessionError, match="already holds a session"):
        prepare_folder(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_recorder_that_comes_second_takes_nothing_from_the_first(
    stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Recorder(stream.address, tmp_path / "s", lambda: True)
    before = {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}
    monkeypatch.setattr("usassist.sinks.record.prepare_folder", lambda folder: None)  # both have passed the check
    with pytest.raises(SessionError):
        Recorder(stream.address, tmp_path / "s", lambda: True)
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}
    first.run()


def test_a_file_in_place_of_the_folder_is_wrong_use(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        prepare_folder(tmp_path / "s")


def test_a_full_disk_ends_the_recording_in_one_line_and_keeps_what_was_recorded(
    stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(stream.address, tmp_path / "s", lambda: False)
    file = recorder._lines["results.jsonl"]
    write = file._file

    class Full:
        def write(self, data: memoryview) -> int:
            if write.tell() > 2000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write.write(data)

        def fileno(self) -> int:
            return write.fileno()

        def close(self) -> None:
            write.close()

    file._file = Full()  # type: ignore[assignment]
    stream.attach(recorder)
    stream.begin()
    for number in range(10):
        stream.publisher.frame(make_frame(number))
        stream.publisher.result(make_result(number))
    stream.threads[0].join(20)
    stream.publisher.close()
    assert "the disk is full" in str(stream.errors[0])
    session = tomllib.loads((tmp_path / "s" / "session.toml").read_text())
    assert "the disk is full" in session["recording"]
    assert session["complete"] is False
    assert verify_session(tmp_path / "s").problems == []
    assert 1 <= len(_lines(tmp_path / "s" / "results.jsonl")) < 10
    with open_source(f"session:{tmp_path / 's'}", session_id="again", fast=True) as source:
        assert len(list(source.frames())) >= 1


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_atomic(path, b"old")

    def fail(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        write_atomic(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]
    assert path.read_bytes() == b"old"


def test_the_overlay_video_has_every_frame_also_those_without_result(stream: Stream, tmp_path: Path) -> None:
    path = tmp_path / "overlay.mkv"
    stream.attach(OverlayVideo(stream.address, path, lambda: False))
    stream.begin()
    for number in range(12):
        stream.publisher.frame(make_frame(number, (301, 601) if number < 8 else (200, 300)))
        if number != 5:
            state = ResultState.NO_RESULT if number == 3 else ResultState.FINDING
            stream.publisher.result(make_result(number, state, (301, 601)))
    stream.end(11)
    assert not stream.errors
    with av.open(str(path)) as container:
        pictures = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    assert len(pictures) == 12
    assert pictures[0].shape[0] % 2 == 0
    redness = [(p[52:56, :, 0] - p[52:56, :, 1]).mean() for p in pictures]
    assert {index for index, value in enumerate(redness[:8]) if value > 30} == {3, 5}


def test_a_folder_without_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no recorded session"):
        open_source(f"session:{tmp_path}", session_id="s")
    (tmp_path / "frames.jsonl").write_text("")
    with pytest.raises(SourceFormatError, match="holds no frame"):
        open_source(f"session:{tmp_path}", session_id="s")
    (tmp_path / "frames.jsonl").write_text('{"frame_id": "x"}\n{}\n')
    with pytest.raises(SourceFormatError, match="damaged in line 1"):
        open_source(f"session:{tmp_path}", session_id="s")


def test_text_that_the_scanner_burnt_in_is_covered_in_what_is_recorded_and_nothing_else_is(
    stream: Stream, tmp_path: Path
) -> None:
    box = (10, 8, 30, 20)
    frames = [make_frame(i, text_xyxy_px=(box,) if i >= 3 else ()) for i in range(6)]
    _record(stream, tmp_path / "s", frames)
    with open_source(f"session:{tmp_path / 's'}", session_id="again", fast=True) as source:
        back = [frame.image for frame in source.frames()]
    x1, y1, x2, y2 = box
    for number, (before, after) in enumerate(zip(frames, back, strict=True)):
        outside = np.ones(after.shape, bool)
        outside[y1:y2, x1:x2] = number < 3
        np.testing.assert_array_equal(before.image[outside], after[outside])
        assert (np.ptp(after[y1:y2, x1:x2]) == 0) == (number >= 3)
    lines = _lines(tmp_path / "s" / "frames.jsonl")
    assert [line.get("covered_xyxy_px") for line in lines] == [None] * 3 + [[list(box)]] * 3


def test_frames_that_waited_when_the_recording_stopped_are_told_to_be_missing(
    stream: Stream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PixelFiles.take_frame

    def failing(self: PixelFiles, frame: Frame, *arguments: Any) -> dict[str, Any]:
        if frame.frame_id == 20:
            raise SessionError("the disk is full")
        return real(self, frame, *arguments)

    monkeypatch.setattr(PixelFiles, "take_frame", failing)
    stream.attach(Recorder(stream.address, tmp_path / "s", lambda: False, find_text=lambda frames: ()))
    stream.begin()
    for number in range(40):
        stream.publisher.frame(make_frame(number))
        stream.publisher.result(make_result(number))
    stream.end(39)
    assert [str(error) for error in stream.errors] == ["the disk is full"]
    manifest = tomllib.loads((tmp_path / "s" / "session.toml").read_text())
    assert manifest["frames"] == 20
    lost = [item for item in manifest["missing"] if item["topic"] == "frame"]
    assert [(item["first_frame_id"], item["reason"]) for item in lost][:1] == [(20, "it could not be written")]
    assert verify_session(tmp_path / "s").problems == []


def test_text_is_covered_in_the_overlay_video_from_its_first_frame(stream: Stream, tmp_path: Path) -> None:
    hw = (240, 640)
    ink = np.zeros(hw, np.uint8)
    cv2.putText(ink, "MUELLER, ANNA", (60, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 1, cv2.LINE_AA)
    frames = []
    for number in range(50):
        speckle = np.random.default_rng(number).rayleigh(30, hw).astype(np.float32)
        image = np.clip(cv2.GaussianBlur(speckle, (5, 5), 0) * 1.6, 0, 255).astype(np.uint8)
        frames.append(make_frame(number, hw, image=np.maximum(image, ink) if number >= 21 else image))
    stream.attach(OverlayVideo(stream.address, tmp_path / "overlay.mkv", lambda: False, find_text=find_text_boxes))
    stream.begin()
    for frame in frames:
        stream.publisher.frame(frame)
        stream.publisher.result(make_result(frame.frame_id, state=ResultState.NO_FINDING, hw=hw))
    stream.end(49)
    with av.open(str(tmp_path / "overlay.mkv")) as container:
        shown = [picture.to_ndarray(format="gray") for picture in container.decode(video=0)]
    assert len(shown) == 50
    bar_px = 50  # the upper one
    bright = [int(picture[bar_px : bar_px + hw[0], : hw[1]][ink > 200].mean()) for picture in shown]
    assert max(bright[21:]) < max(bright[:21]) + 40


def test_a_scale_that_was_read_while_streaming_is_no_file() -> None:
    tables = calibration_tables({"scale_by_ruler", "probe", "handed"}, {"calibrations": [{"calibration_id": "handed"}]})
    assert tables == [
        {"calibration_id": "handed"},
        {"calibration_id": "probe", "kind": "geometry"},
        {"calibration_id": "scale_by_ruler", "kind": "scale"},
    ]
