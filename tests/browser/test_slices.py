"""The viewer of slices in a real browser, alone on a page: one volume whose every voxel says where it lies."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from usassist.app.demo.studies.bundle import Curve, Findings, Label, Preset, write_bundle
from usassist.app.demo.studies.page import SLICES_CSS, viewer_script
from usassist.app.demo.studies.routes import study_routes
from usassist.app.demo.visits import Visits
from usassist.common.clock import MonotonicClock
from usassist.volumes import Volume
from usassist.words import load_words

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

DEPTH, ROWS, COLUMNS = 40, 24, 20
MARKS = [10, 11, 25]
PRESETS = [Preset("narrow", 80, 40), Preset("wide", 4000, 0)]
_PAGE = """<!doctype html><style>%s</style><div id="element">%s</div><script>
const props = {value: %s}, element = document.getElementById("element"), watch = () => {};
(() => {%s})();</script>"""


def value_of(z: int, row: int, column: int) -> int:
    return 100 * z + 5 * row - column


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    visits = Visits(tmp_path_factory.mktemp("visits"), MonotonicClock())
    folder = visits.shared.new_answer("study")
    folder.mkdir()
    z, row, column = np.mgrid[0:DEPTH, 0:ROWS, 0:COLUMNS]
    affine = np.diag([-1.0, 2.0, 5.0, 1.0])  # columns run to the patient's right, so the viewer turns them
    affine[:3, 3] = (0.0, 0.0, -70.0)
    labelmap = np.zeros((DEPTH, ROWS, COLUMNS), np.uint8)
    labelmap[MARKS, 5:9, 12:16] = 1
    volume = Volume(
        session_id="s",
        source_id="ct0",
        series_id="0123456789ab",
        modality="CT",
        voxels=(100 * z + 5 * row - column).astype(np.int16),
        affine_ijk_to_lps_mm=affine,
        unit="HU",
    )
    scores = [0.9 if plane in MARKS else 0.1 for plane in range(DEPTH)]
    found = Findings(
        state="finding",
        labelmap=labelmap,
        heat=labelmap * 200,
        labels=[Label(1, "bleed", (255, 0, 255))],
        curves=[Curve("bleed", scores, 0.5)],
        marks=MARKS,
        first=10,
    )
    write_bundle(folder, volume, PRESETS, found)
    words = load_words("en", "study")
    given = {
        "path": f"study/{visits.shared.secret}/{folder.name}",
        "key": "one",
        "title": "Head",
        "simulated": True,
        "code": "finding",
        "window": 0,
        "state": "finding",
        "detail": "",
        "marks_text": "{planes} ({count})",
        "labels": ["bleed"],
        "presets": ["Narrow", "Wide"],
        "curves": ["bleed"],
        "words": words.texts,
    }
    template = resources.files("usassist.app.demo").joinpath("slices.html").read_text(encoding="utf-8")
    page = _PAGE % (SLICES_CSS, template, json.dumps(json.dumps(given)), viewer_script())
    routes = [Route("/", lambda request: HTMLResponse(page)), *study_routes(visits)]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def viewer(browser: Any, url: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 900, "height": 800})
    page.asked, page.complaints = [], []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(url)
    wait_for_plane(page, 10)
    yield page
    page.close()


def wait_for_plane(page: Any, index: int) -> None:
    page.wait_for_function("index => window.usassistSlices?.shown?.index === index", arg=index)


def text_of(page: Any, name: str) -> str:
    return str(page.locator(f'[data-at="{name}"]').inner_text())


def point_at(page: Any, row: int, column: int) -> None:
    place = page.evaluate("([column, row]) => usassistSlices.place(column, row)", [column, row])
    box = page.locator('[data-at="stage"]').bounding_box()
    page.mouse.move(box["x"] + place["x"], box["y"] + place["y"])


def pixel_at(page: Any, row: int, column: int) -> list[int]:
    return page.evaluate(  # type: ignore[no-any-return]
        """([column, row]) => {
          const canvas = document.querySelector('[data-at="canvas"]'), at = usassistSlices.place(column, row);
          return [...canvas.getContext("2d").getImageData(Math.round(at.x), Math.round(at.y), 1, 1).data].slice(0, 3);
        }""",
        [column, row],
    )


def test_the_value_under_the_pointer_is_that_of_the_voxel_on_every_plane(viewer: Any) -> None:
    for key, z in (("Home", 0), ("End", DEPTH - 1), ("PageDown", DEPTH - 11), ("ArrowUp", DEPTH - 10)):
        viewer.keyboard.press(key)
        wait_for_plane(viewer, z)
        for row, column in ((0, 0), (23, 19), (7, 3)):
            point_at(viewer, row, column)
            told = text_of(viewer, "value").replace("−", "-")
            assert told.startswith(f"{value_of(z, row, column)} HU at {column}, {row}")
    assert text_of(viewer, "place") == f"slice {DEPTH - 9} of {DEPTH}"
    assert text_of(viewer, "position") == f"{-70.0 + 5.0 * (DEPTH - 10):.1f} mm"


def test_the_patient_lies_as_readers_expect_and_millimetres_are_as_long_in_both_directions(viewer: Any) -> None:
    letters = [text_of(viewer, f"letter-{side}") for side in ("left", "right", "up", "down")]
    assert letters == ["R", "L", "A", "P"]
    first, right, down = (viewer.evaluate(f"() => usassistSlices.place({at})") for at in ("0, 0", "10, 0", "0, 10"))
    assert right["x"] < first["x"]  # column 10 lies farther to the patient's right, which is left here
    assert down["y"] - first["y"] == pytest.approx(2 * (first["x"] - right["x"]), rel=1e-3)


def test_windows_change_greys_without_asking_the_server(viewer: Any) -> None:
    viewer.keyboard.press("Home")
    wait_for_plane(viewer, 0)
    viewer.wait_for_timeout(300)  # what was asked for ahead has come
    asked = len(viewer.asked)
    viewer.keyboard.press("1")
    viewer.keyboard.press("o")
    assert pixel_at(viewer, 10, 10) == [pytest.approx(255 * value_of(0, 10, 10) / 80, abs=2)] * 3
    viewer.keyboard.press("2")
    assert pixel_at(viewer, 10, 10) == [pytest.approx(255 * (value_of(0, 10, 10) + 2000) / 4000, abs=2)] * 3
    box = viewer.locator('[data-at="stage"]').bounding_box()
    viewer.mouse.move(box["x"] + 200, box["y"] + 200)
    viewer.mouse.down(button="right")
    viewer.mouse.move(box["x"] + 210, box["y"] + 180)
    viewer.mouse.up(button="right")
    look = viewer.evaluate("() => usassistSlices.look")
    assert (look["width"], look["centre"]) == (4200, -400)
    viewer.keyboard.press("o")
    assert len(viewer.asked) == asked


def test_marked_planes_are_found_by_key_and_by_the_row_of_scores(viewer: Any) -> None:
    assert text_of(viewer, "marks") == "11–12, 26 (3)"
    viewer.keyboard.press("Home")
    for key, z in (("n", 10), ("n", 11), ("n", 25), ("n", 25), ("p", 11)):
        viewer.keyboard.press(key)
        wait_for_plane(viewer, z)
    box = viewer.locator('[data-at="strip"]').bounding_box()
    viewer.mouse.click(box["x"] + box["width"] * 25.5 / DEPTH, box["y"] + 20)
    wait_for_plane(viewer, 25)
    viewer.keyboard.press("1")
    red, green, blue = pixel_at(viewer, 5, 12)
    assert red > green
    assert blue > green
    viewer.locator('[data-at="stage"]').focus()
    viewer.keyboard.press(" ")
    assert viewer.evaluate("() => usassistSlices.look.overlay") is False
    assert len(set(pixel_at(viewer, 5, 12))) == 1
    viewer.keyboard.press(" ")


def test_the_wheel_turns_slices_and_keys_in_a_field_belong_to_the_field(viewer: Any) -> None:
    viewer.keyboard.press("Home")
    wait_for_plane(viewer, 0)
    point_at(viewer, 10, 10)
    viewer.mouse.wheel(0, -100)
    wait_for_plane(viewer, 1)
    viewer.locator('[data-at="width"]').fill("350")
    viewer.keyboard.press("Enter")
    assert viewer.evaluate("() => usassistSlices.look.width") == 350
    assert viewer.evaluate("() => usassistSlices.shown.index") == 1


def test_it_is_named_for_those_who_do_not_see_it_and_fits_on_a_phone(viewer: Any) -> None:
    assert "Research use only" in text_of(viewer, "notice")
    assert viewer.locator('[data-at="scrub"]').get_attribute("aria-valuetext") == "slice 2 of 40, −65.0 mm"
    assert "slice 2 of 40" in viewer.locator('[data-at="stage"]').get_attribute("aria-label")
    viewer.set_viewport_size({"width": 360, "height": 640})
    assert viewer.evaluate("() => document.documentElement.scrollWidth") <= 360
    viewer.set_viewport_size({"width": 900, "height": 800})


def test_a_visit_that_ended_leaves_no_picture_under_another_number(browser: Any, viewer: Any, url: str) -> None:
    page = browser.new_page()
    page.goto(url)
    wait_for_plane(page, 10)
    page.route("**/study/**", lambda route: route.fulfill(status=404, body=""))
    page.keyboard.press("End")
    problem = "document.querySelector('[data-at=\"problem\"]').innerText"
    page.wait_for_function(f"() => {problem}.includes('visit has ended')")
    assert page.evaluate("() => usassistSlices.shown") is None
    assert pixel_at_centre(page) == 0
    page.close()
    assert viewer.complaints == []


def pixel_at_centre(page: Any) -> int:
    return page.evaluate(  # type: ignore[no-any-return]
        """() => { const canvas = document.querySelector('[data-at="canvas"]');
          return canvas.getContext("2d").getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data[3]; }"""
    )
