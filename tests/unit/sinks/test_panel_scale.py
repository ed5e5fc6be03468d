"""Scales that a page sets: checked by the server, computed there, and sent to the stream once they are confirmed."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.samples import make_frame
from tests.unit.sinks.test_panel_marks import Outlet
from usassist.bus import MarkBody, MarkKind
from usassist.common.clock import FakeClock
from usassist.errors import MessageError
from usassist.sinks.panel.marks import RateLimit
from usassist.sinks.panel.scale import ScaleIntake, scale_of_frame
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.ws_protocol import ScaleRequest, parse_message

WISH = (
    '{"type":"scale","session_id":"a","frame_id":7,"points_xy_px":[[10,20],[10,320.5]],"distance_mm":30,'
    '"confirmed":false}'
)
POINTS = ((10.0, 20.0), (10.0, 320.0))


class Desk:
    def __init__(self) -> None:
        self.clock = FakeClock(10**9)
        self.outlet = Outlet()
        self.shown = ShownFrames(self.clock)
        self.shown.offered("a", 7, 0, image_hw_px=(360, 320))
        self.scales = ScaleIntake(self.outlet, self.shown, self.clock)
        self.limit = RateLimit(self.clock)

    def ask(self, *, confirmed: bool = False, **changes: Any) -> dict[str, Any]:
        wish = {"session_id": "a", "frame_id": 7, "points_xy_px": POINTS, "distance_mm": 30.0} | changes
        text = self.scales.answer(ScaleRequest(confirmed=confirmed, **wish), self.limit)
        return msgspec.json.decode(text) if text else {}


def test_what_a_page_asks_is_read() -> None:
    assert parse_message(WISH) == ScaleRequest(
        session_id="a", frame_id=7, points_xy_px=((10.0, 20.0), (10.0, 320.5)), distance_mm=30.0, confirmed=False
    )


@pytest.mark.parametrize(
    "text",
    [
        WISH.replace("[10,20],", ""),
        WISH.replace("[10,20]", "[10,20,30]"),
        WISH.replace("[10,20]", "[10,null]"),
        WISH.replace("30,", '"30",'),
        WISH.replace("30,", "NaN,"),
        WISH.replace('"confirmed":false', '"confirmed":"yes"'),
        WISH.replace(',"confirmed":false', ""),
        WISH.replace("}", ',"note":"Mrs Example"}'),
        '{"type":"mark","session_id":"a","frame_id":7,"kind":"scale"}',
        '{"type":"mark","session_id":"a","frame_id":7,"kind":"plane"}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(MessageError):
        parse_message(text)


def test_the_page_is_told_what_would_follow_and_nothing_is_sent() -> None:
    desk = Desk()
    answer = desk.ask()
    assert answer["mm_per_px"] == pytest.approx(0.1)
    assert answer["rel_sd"] == pytest.approx(0.0123, abs=1e-4)
    assert (answer["frame_id"], answer["kind"]) == (7, "scale")
    assert not desk.outlet.posted


def test_a_confirmed_scale_is_sent_with_its_points() -> None:
    desk = Desk()
    assert desk.ask(confirmed=True) == {}
    body = MarkBody(
        session_id="a", frame_id=7, kind=MarkKind.SCALE, t_mark_ns=10**9, points_xy_px=POINTS, distance_mm=30.0
    )
    assert desk.outlet.posted == [("mark", body)]


@pytest.mark.parametrize("confirmed", [False, True])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points_xy_px": ((10.0, 20.0), (10.0, 40.0))}, "20 px apart"),
        ({"points_xy_px": ((10.0, 20.0), (10.0, 400.0))}, "outside the frame"),
        ({"distance_mm": 1e9}, "1 to 300 mm"),
        ({"distance_mm": 3.0}, "are plausible"),
        ({"frame_id": 8}, "that frame was not shown"),
        ({"session_id": "b"}, "the session of that frame has ended"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(changes: dict[str, Any], words: str, *, confirmed: bool) -> None:
    desk = Desk()
    assert words in desk.ask(confirmed=confirmed, **changes)["refused"]
    assert not desk.outlet.posted


def test_points_are_checked_against_the_size_of_their_own_frame() -> None:
    desk = Desk()
    desk.shown.offered("a", 20, 0, image_hw_px=(500, 320))
    lower = ((10.0, 20.0), (10.0, 450.0))
    assert "outside" in desk.ask(points_xy_px=lower)["refused"]
    assert "mm_per_px" in desk.ask(points_xy_px=lower, frame_id=20)


def test_without_a_stream_and_too_often_a_scale_is_refused() -> None:
    desk = Desk()
    desk.outlet.taken = False
    assert desk.ask(confirmed=True)["refused"] == "no stream is running"
    desk.outlet.taken = True
    assert [desk.ask(confirmed=True).get("refused", "") for _ in range(5)] == [
        "",
        "",
        "",
        "",
        "too many marks in a short time",
    ]
    assert "mm_per_px" in desk.ask(), "asking is not limited"


def test_the_scale_that_a_frame_carries_is_shown_with_its_uncertainty_and_origin() -> None:
    assert scale_of_frame(None) is None
    assert (
        scale_of_frame(make_frame(1, (8, 12), 1, spacing_rc_mm=None, spacing_rel_sd=None, calibration_id=None)) is None
    )
    shown = scale_of_frame(
        make_frame(1, (8, 12), 1, spacing_rc_mm=(0.1, 0.2), spacing_rel_sd=0.01, calibration_id="scale_by_hand")
    )
    assert shown is not None
    assert (shown.spacing_rc_mm, shown.rel_sd, shown.origin) == ((0.1, 0.2), 0.01, "scale_by_hand")
