from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.samples import ENGINE, SESSION, make_frame, make_result
from usassist.bus import TOPICS, HealthBody, MarkBody, MarkKind, Message, Plane, SessionState, Side, decode
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.common.clock import FakeClock
from usassist.records import ResultState, SignalState
from usassist.sinks.overlay.keys import Action, action_of, help_of
from usassist.sinks.overlay.layout import window_layout
from usassist.sinks.overlay.marks import WindowMarks
from usassist.sinks.overlay.notices import Notice
from usassist.sinks.overlay.screen import OverlayScreen
from usassist.sinks.overlay.side import Line, SideColumn, nodule_lines
from usassist.sinks.overlay.snapshot import Snapshot, save_snapshot
from usassist.sinks.overlay.status import Status, recorded
from usassist.sinks.reports import Recording, RecordingState
from usassist.words import load_words

SIZE = (1080, 1920)
WORDS = load_words("en", "window")
RECORDER = HealthBody(
    process="record",
    frames=30,
    answered=30,
    dropped=0,
    by_state={},
    rate_hz=None,
    latency_p50_ms=None,
    latency_p95_ms=None,
    recording="running",
)


class Outlet:
    def __init__(self, *, taken: bool = True) -> None:
        self.taken = taken
        self.marks: list[MarkBody] = []

    def send(self, topic: str, body: msgspec.Struct) -> bool:
        if isinstance(body, MarkBody):
            self.marks.append(body)
        return self.taken


def _event(name: str, body: msgspec.Struct) -> Message:
    return decode(encode(TOPICS[name], "us0", 0, 0, body, {}))


def _show(screen: OverlayScreen, frame_id: int, state: ResultState = ResultState.FINDING) -> np.ndarray | None:
    screen.take(decode(encode_frame(make_frame(frame_id), 0, 0)))
    screen.take(decode(encode_result(make_result(frame_id, state), 0, 0)))
    canvas = screen.render(SIZE)
    return None if canvas is None else canvas.copy()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def outlet() -> Outlet:
    return Outlet()


@pytest.fixture
def screen(clock: FakeClock, outlet: Outlet) -> OverlayScreen:
    made = OverlayScreen(clock, outlet)
    made.take(_event("engine", ENGINE))
    made.take(_event("session", SESSION))
    return made


def test_the_canvas_has_the_size_of_the_window_and_follows_it(screen: OverlayScreen) -> None:
    canvas = _show(screen, 1)
    assert canvas is not None
    assert canvas.shape == (*SIZE, 3)
    resized = screen.render((600, 900))
    assert resized is not None, "the window has another size"
    assert resized.shape == (600, 900, 3)
    assert screen.render((600, 900)) is None


def test_a_frozen_display_shows_its_frame_and_says_that_it_is_not_live(screen: OverlayScreen) -> None:
    live = _show(screen, 1)
    screen.act(Action.FREEZE)
    frozen = screen.render(SIZE)
    assert frozen is not None
    assert live is not None
    assert not np.array_equal(frozen[:100], live[:100]), "the bar says so"
    assert _show(screen, 2) is None, "nothing of it moves"
    screen.act(Action.WRONG)
    assert screen._marks._requests[0].body.frame_id == 1, "a mark is for the frame that is shown"
    screen.act(Action.FREEZE)
    assert _show(screen, 3) is not None


def test_the_end_of_the_stream_is_said_on_a_frozen_display_too(screen: OverlayScreen) -> None:
    _show(screen, 1)
    screen.act(Action.FREEZE)
    before = screen.render(SIZE)
    assert before is not None
    before = before.copy()
    screen.take(_event("session", msgspec.structs.replace(SESSION, state=SessionState.ENDED)))
    after = screen.render(SIZE)
    assert after is not None
    assert not np.array_equal(before[-60:], after[-60:])


def test_outlines_can_be_put_away(screen: OverlayScreen) -> None:
    drawn = _show(screen, 1)
    screen.act(Action.OUTLINES)
    plain = screen.render(SIZE)
    assert drawn is not None
    assert plain is not None
    x2 = 1920 * 3 // 4
    assert (drawn[100:-68, :x2] != plain[100:-68, :x2]).any()
    grey = plain[200:900, 200:800]
    assert (grey[..., 0] == grey[..., 1]).all(), "nothing in colour is left on the frame"


def test_marks_are_sent_for_the_frame_that_is_shown(screen: OverlayScreen, outlet: Outlet) -> None:
    screen.act(Action.MISSED)
    assert not outlet.marks, "no frame is shown yet"
    _show(screen, 7)
    screen.act(Action.MISSED)
    screen.act(Action.TRANSVERSE)
    assert [(mark.frame_id, mark.kind, mark.plane) for mark in outlet.marks] == [
        (7, MarkKind.MISSED, None),
        (7, MarkKind.PLANE, Plane.TRANSVERSE),
    ]


def test_a_statement_of_plane_or_side_repeats_the_other_until_the_image_is_another_one(
    screen: OverlayScreen, outlet: Outlet
) -> None:
    _show(screen, 7)
    screen.act(Action.TRANSVERSE)
    screen.take(_event("mark", msgspec.structs.replace(outlet.marks[-1], session_id=SESSION.session_id)))
    screen.act(Action.LEFT)
    assert (outlet.marks[-1].plane, outlet.marks[-1].side) == (Plane.TRANSVERSE, Side.LEFT)
    screen.take(decode(encode_frame(make_frame(8, picture=SignalState.CHANGED, picture_reason="depth"), 0, 0)))
    screen.take(decode(encode_result(make_result(8, ResultState.NO_FINDING), 0, 0)))
    assert screen.render(SIZE) is not None
    screen.act(Action.LEFT)
    assert (outlet.marks[-1].plane, outlet.marks[-1].side) == (None, Side.LEFT)


def test_a_mark_counts_when_it_has_come_back(clock: FakeClock, outlet: Outlet) -> None:
    notice = Notice(clock)
    marks = WindowMarks(outlet, clock, notice, WORDS)
    marks.make(make_frame(3), MarkKind.WRONG)
    marks.poll()
    assert notice.text == ""
    marks.take(outlet.marks[0])
    assert notice.text == "frame 3 marked: wrong"
    clock.advance_ms(5100)
    assert notice.text == ""
    marks.make(make_frame(4), MarkKind.WRONG)
    clock.advance_ms(2100)
    marks.poll()
    assert notice.text == "frame 4: not marked, no answer from the stream"


def test_without_a_stream_a_mark_is_not_kept(clock: FakeClock) -> None:
    notice = Notice(clock)
    WindowMarks(Outlet(taken=False), clock, notice, WORDS).make(make_frame(3), MarkKind.WRONG)
    assert notice.text == "frame 3: not marked, no stream is running"


def test_a_snapshot_is_of_what_is_shown_and_names_it(screen: OverlayScreen, tmp_path: Path) -> None:
    saved: list[Snapshot] = []

    def save(shot: Snapshot) -> str:
        saved.append(shot)
        return "saved"

    screen.act(Action.SNAPSHOT, save)
    assert not saved, "there is nothing to save"
    canvas = _show(screen, 5)
    screen.act(Action.SNAPSHOT, save)
    (shot,) = saved
    assert canvas is not None
    np.testing.assert_array_equal(shot.canvas[:-68], canvas[:-68])
    assert (shot.canvas[-68:] != canvas[-68:]).any(), "the lower bar has session, frame and engine"
    assert shot.name.endswith("-frame-000005")
    assert (shot.texts["Frame"], shot.texts["Engine"]) == ("5", ENGINE.engine_id)
    assert save_snapshot(shot.canvas, tmp_path / "a.png", shot.texts, WORDS) == "saved as a.png"
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), shot.canvas)
        assert {key: str(value) for key, value in image.text.items()} == shot.texts


@pytest.mark.parametrize("size", [SIZE, (900, 700), (540, 960)])
def test_help_is_shown_and_leaves_nothing_behind(screen: OverlayScreen, size: tuple[int, int]) -> None:
    screen.take(decode(encode_frame(make_frame(1), 0, 0)))
    screen.take(decode(encode_result(make_result(1), 0, 0)))
    before = screen.render(size)
    assert before is not None
    before = before.copy()
    canvases = []
    for _ in range(2):
        screen.act(Action.HELP)
        canvas = screen.render(size)
        assert canvas is not None
        canvases.append(canvas.copy())
    shown, after = canvases
    assert (shown != before).any()
    np.testing.assert_array_equal(after, before)


def test_every_key_has_its_help_and_a_meaning() -> None:
    keys = help_of(WORDS)
    assert len(keys) == len(Action)
    assert len({action_of(13 if name == "Enter" else ord(name)) for name in keys}) == len(Action)
    assert action_of(ord("F")) is action_of(ord("f")) is Action.FREEZE
    assert action_of(-1) is None
    assert action_of(ord("z")) is None


@pytest.mark.parametrize(
    ("recording", "calm", "loud", "why"),
    [
        (Recording(), "", "", ""),
        (Recording(state=RecordingState.NONE), "not recording", "", ""),
        (Recording(state=RecordingState.CLOSED), "recording closed", "", ""),
        (Recording(state=RecordingState.RUNNING, elapsed_s=3725.4), "REC 1:02:05", "", ""),
        (
            Recording(state=RecordingState.RUNNING, elapsed_s=5.0, missed=17),
            "REC 0:00:05",
            "MISSED 17",
            "17 messages are missing in the recording",
        ),
        (Recording(state=RecordingState.STOPPED, reason="disk full"), "", "REC STOPPED", "recording: disk full"),
        (
            Recording(state=RecordingState.SILENT, reason="no word", missed=2),
            "",
            "RECORDER SILENT  MISSED 2",
            "recording: no word   2 messages are missing in the recording",
        ),
    ],
)
def test_what_the_recording_lost_is_said(recording: Recording, calm: str, loud: str, why: str) -> None:
    status = recorded(Status(state=ResultState.NO_FINDING, sign="no_finding", headline=""), recording, WORDS)
    assert (status.recording, status.lost, status.alert) == (calm, loud, why)
    assert status.is_recording == (recording.state is RecordingState.RUNNING)


def test_the_recorder_is_shown_as_it_reports(screen: OverlayScreen) -> None:
    _show(screen, 1)
    before = screen.render(SIZE)
    assert before is None
    screen.take(_event("health", RECORDER))
    assert screen.render(SIZE) is not None, "the lower bar has changed"


def test_sizes_stand_beside_the_image_with_their_uncertainty() -> None:
    lines = [line.text for line in nodule_lines(make_result(1), ENGINE, WORDS)]
    assert lines[0] == "1"
    assert " ± " in lines[1]
    assert lines[2].endswith("mm")
    assert any(line.startswith("score 0.") for line in lines)


def test_a_snapshot_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    assert save_snapshot(image, tmp_path / "a.png", {}, WORDS) == "saved as a.png"
    assert (tmp_path / "a.png").stat().st_mode & 0o077 == 0
    assert save_snapshot(image, tmp_path / "none" / "a.png", {}, WORDS).startswith("no snapshot: ")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_column_that_has_not_changed_stays_and_is_drawn_again_where_it_is_gone() -> None:
    layout = window_layout(SIZE, (600, 800), (0.1, 0.1))
    assert layout.side_xyxy_px is not None
    x1, y1, x2, y2 = layout.side_xyxy_px
    column, lines = SideColumn(WORDS), [Line("12.3 mm", (200, 200, 200), 30.0, 600)]
    canvas = np.zeros((*layout.canvas_hw_px, 3), np.uint8)
    column.draw(canvas, layout, lines)
    drawn = canvas.copy()
    assert drawn[y1:y2, x1:x2].max() > 150
    column.draw(canvas, layout, lines)
    np.testing.assert_array_equal(canvas, drawn)
    other = np.zeros_like(canvas)
    column.draw(other, layout, lines)
    np.testing.assert_array_equal(other, drawn)
    other[...] = 0
    column.clear()
    column.draw(other, layout, lines)
    np.testing.assert_array_equal(other, drawn)
