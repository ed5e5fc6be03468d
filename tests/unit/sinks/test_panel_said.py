from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from usassist.bus import MarkBody, MarkKind, Plane, Side
from usassist.sinks.panel.said import Said

WORDS = {
    "composition": ("solid",),
    "echogenicity": ("hypoechoic",),
    "shape": ("taller",),
    "margin": ("smooth",),
    "foci": ("macrocalcification", "punctate"),
}


def plane(frame_id: int, plane: Plane | None = None, side: Side | None = None, session_id: str = "a") -> MarkBody:
    return MarkBody(session_id=session_id, frame_id=frame_id, kind=MarkKind.PLANE, t_mark_ns=1, plane=plane, side=side)


def words(track_id: int = 4, frame_id: int = 7, session_id: str = "a", **changes: tuple[str, ...]) -> MarkBody:
    return MarkBody(
        session_id=session_id,
        frame_id=frame_id,
        kind=MarkKind.DESCRIPTORS,
        t_mark_ns=1,
        track_id=track_id,
        descriptors=WORDS | changes,
    )


def read(said: Said) -> Any:
    return json.loads(said.text)["said"]


@pytest.fixture
def said() -> Said:
    said = Said()
    said.enter_session("a")
    return said


def test_nothing_is_sent_until_something_was_said(said: Said) -> None:
    assert said.text == ""


def test_planes_stand_in_the_order_of_their_frames_and_the_last_one_of_a_frame_holds(said: Said) -> None:
    said.add(plane(9, Plane.LONGITUDINAL))
    said.add(plane(5, Plane.TRANSVERSE))
    said.add(plane(5, Plane.TRANSVERSE, Side.RIGHT))
    assert read(said)["planes"] == [
        {"frame_id": 5, "plane": "transverse", "side": "right"},
        {"frame_id": 9, "plane": "longitudinal", "side": None},
    ]


def test_another_image_ends_a_plane_once(said: Said) -> None:
    said.end_plane(3)
    assert said.text == ""
    said.add(plane(5, Plane.TRANSVERSE))
    said.end_plane(4)  # before it
    for frame_id in (8, 9, 10):
        said.end_plane(frame_id)
    assert [(item["frame_id"], item["plane"]) for item in read(said)["planes"]] == [(5, "transverse"), (8, None)]


def test_confirmed_words_give_the_category_of_every_system(said: Said) -> None:
    said.add(words())
    (nodule,) = read(said)["nodules"]
    assert (nodule["track_id"], nodule["frame_id"]) == (4, 7)
    assert nodule["words"] == {name: list(chosen) for name, chosen in WORDS.items()}
    levels = {system: found["level"] for system, found in nodule["categories"].items()}
    assert levels == {"acr_2017": "TR5", "k_2021": "K-TIRADS 5", "eu_2017": "EU-TIRADS 5"}
    assert nodule["categories"]["acr_2017"]["points"] == 11
    assert nodule["categories"]["acr_2017"]["edition"] == "2017"


def test_a_part_of_the_words_gives_none_and_names_the_rest(said: Said) -> None:
    body = words()
    said.add(
        MarkBody(
            session_id="a",
            frame_id=7,
            kind=MarkKind.DESCRIPTORS,
            t_mark_ns=1,
            track_id=4,
            descriptors={name: body.descriptors[name] for name in ("composition", "margin")},
        )
    )
    assert read(said)["nodules"][0]["categories"]["k_2021"] == {
        "missing": ["echogenicity", "shape", "foci"],
        "reason": "",
    }


def test_the_last_words_about_a_nodule_replace_those_before(said: Said) -> None:
    said.add(words())
    said.add(words(track_id=2))
    said.add(words(shape=("wider",), foci=("none",)))
    nodules = read(said)["nodules"]
    assert [nodule["track_id"] for nodule in nodules] == [2, 4]
    assert nodules[1]["categories"]["acr_2017"]["level"] == "TR4"


def test_a_new_session_begins_with_nothing_and_is_told_so(said: Said) -> None:
    said.add(words())
    before = said.text
    said.enter_session("a")
    assert said.text is before
    said.enter_session("b")
    assert read(said) == {"session_id": "b", "planes": [], "nodules": []}
    said.add(words(session_id="a"))
    said.add(plane(1, Plane.TRANSVERSE, session_id="a"))
    assert read(said) == {"session_id": "b", "planes": [], "nodules": []}


def test_words_that_are_none_are_left_out_and_logged(said: Said, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        said.add(words(margin=("spiky",)))
    assert said.text == ""
    assert "descriptors of nodule N4 are left out: unknown word 'spiky'" in caplog.text


def test_a_mark_of_another_kind_says_nothing_here(said: Said) -> None:
    said.add(MarkBody(session_id="a", frame_id=7, kind=MarkKind.WRONG, t_mark_ns=1))
    assert said.text == ""


def test_a_long_session_keeps_the_last_ones(said: Said) -> None:
    for number in range(1, 101):
        said.add(words(track_id=number))
        said.add(plane(number, Plane.TRANSVERSE))
    assert [nodule["track_id"] for nodule in read(said)["nodules"]] == list(range(37, 101))
    assert [item["frame_id"] for item in read(said)["planes"]] == list(range(37, 101))
