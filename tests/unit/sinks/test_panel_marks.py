from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usassist.bus import MarkBody, MarkKind, Plane, Side
from usassist.clinical import DESCRIPTORS
from usassist.common.clock import FakeClock
from usassist.errors import MessageError
from usassist.sinks.panel.marks import MarkIntake
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.ws_protocol import (
    MAX_BYTES,
    DescriptorsRequest,
    Done,
    MarkRequest,
    PlaneRequest,
    parse_message,
    refusal,
)

WISH = '{"type":"mark","session_id":"a","frame_id":7,"kind":"wrong"}'


class Outlet:
    def __init__(self) -> None:
        self.taken = True
        self.posted: list[tuple[str, msgspec.Struct]] = []

    def send(self, topic: str, body: msgspec.Struct) -> bool:
        if self.taken:
            self.posted.append((topic, body))
        return self.taken


class Inbox:
    def __init__(self) -> None:
        self.clock = FakeClock(10**9)
        self.outlet = Outlet()
        self.shown = ShownFrames(self.clock)
        self.marks = MarkIntake(self.outlet, self.shown, self.clock)
        self.allowance = self.marks.rate_limit()

    def wish(self, frame_id: int = 7, session_id: str = "a") -> str:
        wish = MarkRequest(session_id=session_id, frame_id=frame_id, kind=MarkKind.WRONG)
        return self.marks.submit(wish, self.allowance)


@pytest.fixture
def desk() -> Inbox:
    desk = Inbox()
    desk.shown.offered("a", 7, 0)
    return desk


def test_what_a_page_says_is_read() -> None:
    assert parse_message('{"type":"done"}') == Done()
    assert parse_message('{"type":"done","session_id":"a","frame_id":7}') == Done(session_id="a", frame_id=7)
    assert parse_message(WISH) == MarkRequest(session_id="a", frame_id=7, kind=MarkKind.WRONG)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "got",
        "[]",
        '{"type":"shout"}',
        WISH.replace("wrong", "malignant"),
        WISH.replace("7", "-1"),
        WISH.replace("7", '"7"'),
        WISH.replace("7", str(2**60)),
        WISH.replace('"a"', '""'),
        WISH.replace('"a"', f'"{"a" * 129}"'),
        WISH.replace("}", ',"note":"Mrs Example"}'),
        WISH + " " * MAX_BYTES,
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MessageError):
        parse_message(text)


@given(st.text(max_size=600))
def test_no_text_does_worse_than_to_be_refused(text: str) -> None:
    with contextlib.suppress(MessageError):
        assert isinstance(parse_message(text), Done | MarkRequest)


def test_a_refusal_names_the_mark_it_is_about() -> None:
    word = parse_message(WISH)
    assert isinstance(word, MarkRequest)
    assert msgspec.json.decode(refusal(word, "why")) == {"refused": "why", "frame_id": 7, "kind": "wrong"}


def test_a_mark_is_handed_in_with_the_time_it_was_made(desk: Inbox) -> None:
    assert desk.wish() == ""
    body = MarkBody(session_id="a", frame_id=7, kind=MarkKind.WRONG, t_mark_ns=10**9)
    assert desk.outlet.posted == [("mark", body)]


def test_only_frames_that_were_shown_in_this_session_can_be_marked(desk: Inbox) -> None:
    assert desk.wish(frame_id=8) == "that frame was not shown"
    assert desk.wish(frame_id=2**52) == "that frame was not shown"
    assert desk.wish(session_id="b") == "the session of that frame has ended"
    desk.shown.offered("b", 0, 0)
    assert desk.wish() == "the session of that frame has ended"
    assert not desk.outlet.posted


def test_a_frame_that_was_frozen_long_ago_can_still_be_marked(desk: Inbox) -> None:
    for frame_id in range(8, 40_000):
        desk.shown.offered("a", frame_id, 0)
    assert desk.wish() == ""


def test_a_frame_number_beyond_all_reason_takes_no_memory_and_cannot_be_marked(desk: Inbox) -> None:
    desk.shown.offered("a", 2**60, 0)
    assert desk.wish(frame_id=2**53 - 1) == "that frame was not shown"


def test_marks_come_at_most_five_at_once_and_two_a_second(desk: Inbox) -> None:
    assert [desk.wish() for _ in range(6)] == [""] * 5 + ["too many marks in a short time"]
    desk.clock.advance_ms(1000)
    assert [desk.wish() for _ in range(3)] == ["", "", "too many marks in a short time"]
    another = desk.marks.rate_limit()
    wish = MarkRequest(session_id="a", frame_id=7, kind=MarkKind.MISSED)
    assert desk.marks.submit(wish, another) == "", "one page does not use up another's"


def test_without_a_stream_a_mark_is_refused(desk: Inbox) -> None:
    desk.outlet.taken = False
    assert desk.wish() == "no stream is running"


def test_the_stage_browser_is_from_capture_to_the_word_that_the_frame_is_drawn() -> None:
    clock = FakeClock(10**9)
    shown = ShownFrames(clock)
    assert shown.summary() is None
    for frame_id in range(3):
        shown.offered("a", frame_id, clock.now_ns())
    clock.advance_ms(50)
    shown.drawn("a", 0)
    shown.drawn("a", 2)
    summary = shown.summary()
    assert summary is not None
    assert summary["count"] == 2
    assert summary["max_ms"] == pytest.approx(50)


def test_what_was_never_offered_or_does_not_keep_time_does_not_count_for_the_stage() -> None:
    shown = ShownFrames(FakeClock(10**9))
    shown.offered("a", 0, None)
    shown.offered("a", 1, 0)
    for session_id, frame_id in (("a", 0), ("a", 5), ("b", 1)):
        shown.drawn(session_id, frame_id)
    assert shown.summary() is None


PLANE = '{"type":"plane","session_id":"a","frame_id":7,"plane":"transverse","side":"right"}'
WORDS = (
    '{"type":"descriptors","session_id":"a","frame_id":7,"track_id":4,'
    '"descriptors":{"margin":["smooth"],"foci":["punctate","peripheral"]}}'
)


def test_a_plane_and_words_about_a_nodule_are_read() -> None:
    assert parse_message(PLANE) == PlaneRequest(session_id="a", frame_id=7, plane=Plane.TRANSVERSE, side=Side.RIGHT)
    assert parse_message(PLANE.replace('"plane":"transverse",', "")) == PlaneRequest(
        session_id="a", frame_id=7, side=Side.RIGHT
    )
    assert parse_message(WORDS) == DescriptorsRequest(
        session_id="a", frame_id=7, track_id=4, descriptors={"margin": ("smooth",), "foci": ("punctate", "peripheral")}
    )


@pytest.mark.parametrize(
    "text",
    [
        WISH.replace("wrong", "plane"),  # a kind with a request of its own
        WISH.replace("wrong", "descriptors"),
        WISH.replace("wrong", "scale"),
        PLANE.replace("transverse", "oblique"),
        PLANE.replace("right", "both"),
        PLANE.replace(',"plane":"transverse","side":"right"', ""),
        PLANE.replace("}", ',"note":"Mrs Example"}'),
        PLANE.replace("7", "-1"),
        WORDS.replace("4", "-2", 1),
        WORDS.replace("4", '"4"', 1),
        WORDS.replace('{"margin":["smooth"],"foci":["punctate","peripheral"]}', "{}"),
        WORDS.replace('["smooth"]', "[]"),
        WORDS.replace('["smooth"]', '"smooth"'),
        WORDS.replace("smooth", "x" * 33),
        WORDS.replace("margin", "x" * 33),
        WORDS.replace('["smooth"]', str(["smooth"] * 9).replace("'", '"')),
        WORDS.replace('"margin"', ",".join(f'"m{number}":["smooth"]' for number in range(8)) + ',"margin"'),
        WORDS.replace('"track_id":4,', ""),
        WORDS.replace("}}", '},"note":"Mrs Example"}'),
    ],
)
def test_a_plane_or_words_in_another_form_are_refused(text: str) -> None:
    with pytest.raises(MessageError):
        parse_message(text)


def test_the_longest_words_fit_into_a_message() -> None:
    longest = {name: [max(words, key=len)] for name, words in DESCRIPTORS.items()}
    longest["foci"] = [word for word in DESCRIPTORS["foci"] if word != "none"]
    request = {
        "type": "descriptors",
        "session_id": "20260101T000000Z-" + "f" * 32,
        "frame_id": 2**53 - 1,
        "track_id": 2**31 - 1,
        "descriptors": longest,
    }
    text = msgspec.json.encode(request).decode("utf-8")
    assert isinstance(parse_message(text), DescriptorsRequest)


def test_a_stated_plane_goes_to_the_stream(desk: Inbox) -> None:
    request = PlaneRequest(session_id="a", frame_id=7, plane=Plane.TRANSVERSE, side=Side.RIGHT)
    assert desk.marks.submit(request, desk.allowance) == ""
    ((topic, body),) = desk.outlet.posted
    assert (topic, body) == (
        "mark",
        MarkBody(
            session_id="a",
            frame_id=7,
            kind=MarkKind.PLANE,
            t_mark_ns=10**9,
            plane=Plane.TRANSVERSE,
            side=Side.RIGHT,
        ),
    )
    assert desk.marks.submit(msgspec.structs.replace(request, frame_id=8), desk.allowance) == "that frame was not shown"


def words(track_id: int = 4, **changes: tuple[str, ...]) -> DescriptorsRequest:
    return DescriptorsRequest(
        session_id="a", frame_id=7, track_id=track_id, descriptors={"margin": ("smooth",)} | changes
    )


def test_confirmed_words_go_to_the_stream(desk: Inbox) -> None:
    desk.shown.offered("a", 7, 0, (4, -1))
    assert desk.marks.submit(words(foci=("punctate", "peripheral")), desk.allowance) == ""
    ((_, body),) = desk.outlet.posted
    assert body == MarkBody(
        session_id="a",
        frame_id=7,
        kind=MarkKind.DESCRIPTORS,
        t_mark_ns=10**9,
        track_id=4,
        descriptors={"margin": ("smooth",), "foci": ("punctate", "peripheral")},
    )


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (words(track_id=-1), "this nodule is not tracked, so it has no identity that words could belong to"),
        (words(track_id=0), "this nodule is not tracked, so it has no identity that words could belong to"),
        (words(track_id=5), "no nodule N5 was shown in this session"),
        (words(margin=("spiky",)), "unknown word 'spiky' for margin"),
        (words(halo=("thin",)), "unknown descriptor 'halo'"),
        (words(margin=("smooth", "irregular")), "margin takes one word"),
        (words(foci=("none", "punctate")), "foci: none, punctate exclude each other"),
    ],
)
def test_words_that_cannot_be_confirmed_are_refused_with_the_reason(
    desk: Inbox, request_: DescriptorsRequest, reason: str
) -> None:
    desk.shown.offered("a", 7, 0, (4, -1))
    assert desk.marks.submit(request_, desk.allowance).startswith(reason)
    assert not desk.outlet.posted


def test_words_count_in_the_rate_of_a_page(desk: Inbox) -> None:
    desk.shown.offered("a", 7, 0, (4,))
    assert [desk.marks.submit(words(), desk.allowance) for _ in range(6)] == [""] * 5 + [
        "too many marks in a short time"
    ]


def test_the_nodules_of_a_session_before_are_forgotten(desk: Inbox) -> None:
    desk.shown.offered("a", 7, 0, (4,))
    desk.shown.offered("b", 0, 0)
    assert not desk.shown.has_track(4)


def test_a_refusal_of_words_names_the_nodule() -> None:
    assert msgspec.json.decode(refusal(words(), "no")) == {
        "refused": "no",
        "frame_id": 7,
        "kind": "descriptors",
        "track_id": 4,
    }
