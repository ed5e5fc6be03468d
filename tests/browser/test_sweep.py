"""The tabs of the sweep, the system and the engine, as a person and a program see them."""

from __future__ import annotations

import io
import math
import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from usassist.app.runtime.cards import read_card
from usassist.config import resource_dir

pytestmark = pytest.mark.browser

# Said by the plots of Gradio about their own specification, on every page that has one.
OF_THE_PLOTS = ("Vega-Lite v", 'scale\'s "zero"', "fit-x")

# Where the ellipse of the stream lies on the frame that is shown: middle of the outline, and of the dark pixels.
PLACES = """() => {
  const box = document.querySelector('.us-at-frame');
  const pairs = box.querySelector('polygon').getAttribute('points').split(' ');
  const points = pairs.map((pair) => Number(pair.split(',')[0]));
  const image = box.querySelector('img');
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const row = context.getImageData(0, 120, canvas.width, 1).data;
  let sum = 0, count = 0;
  for (let x = 0; x < canvas.width; x += 1) if (row[4 * x] < 48) { sum += x + 0.5; count += 1; }
  return [(Math.min(...points) + Math.max(...points)) / 2, sum / count];
}"""


# A table of Gradio also has hidden cells, which it measures its columns with.
FRAMES = r"Number(document.querySelector('#us-nodules').innerText.match(/N4\s+nodule\s+(\d+)/)?.[1])"
NO_BREAK = "\u00a0"


def open_tab(page: Any, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def shown_frame(page: Any) -> int:
    """Number of the frame of the moment; the field for it says the same."""
    page.wait_for_selector(".us-at h3")
    page.wait_for_function(
        "() => document.querySelector('.us-at h3').textContent.startsWith("
        "`Frame ${document.querySelector('.us-steps input').value},`)"
    )
    return int(page.locator(".us-at h3").inner_text().split(",")[0].removeprefix("Frame "))


def is_of(page: Any, frame_id: int) -> None:
    """Outline and pixels lie where the stream has put them on that frame."""
    page.wait_for_function("() => document.querySelector('.us-at-frame img')?.complete")
    outline, dark = page.evaluate(PLACES)
    truth = 160 + 40 * math.sin(frame_id / 20)
    assert outline == pytest.approx(truth, abs=0.5)
    assert dark == pytest.approx(truth, abs=1.5)


def test_a_click_on_the_timeline_shows_that_frame_with_its_own_result(page: Any, stream: Any) -> None:
    open_tab(page, "Sweep")
    page.wait_for_selector(".us-tl")
    assert page.locator(".us-steps input").input_value() == ""
    page.wait_for_function("() => Number(document.querySelector('.us-tl-said').textContent.split(' ')[0]) > 60")
    box = page.locator(".us-tl").bounding_box()
    page.mouse.click(box["x"] + 0.8 * box["width"], box["y"] + 40)
    number = shown_frame(page)
    page.wait_for_selector(".us-at-frame polygon", state="attached")
    is_of(page, number)
    page.get_by_role("button", name="Newest frame").click()
    page.wait_for_function(
        "before => !document.querySelector('.us-at h3').textContent.includes(before)", arg=f" {number},"
    )
    newest = shown_frame(page)
    assert newest > number
    page.get_by_role("button", name="Frame before").click()
    page.wait_for_function("at => document.querySelector('.us-at h3').textContent.includes(at)", arg=f" {newest - 1},")
    assert shown_frame(page) == newest - 1
    page.locator(".us-steps input").fill("seven")
    page.locator(".us-steps input").press("Enter")
    page.wait_for_function("() => document.querySelector('#us-moment').textContent.includes('no frame number')")


def test_nodules_have_growing_figures_and_a_picture_that_leads_to_its_frame(page: Any, stream: Any, panel: Any) -> None:
    stream.nodules = 2
    open_tab(page, "Sweep")
    page.wait_for_selector(".us-best-one")
    page.wait_for_function("() => document.querySelectorAll('.us-best-one').length >= 2")
    page.wait_for_function(f"() => {FRAMES} > 5")
    before = page.evaluate(FRAMES)
    page.wait_for_function(f"before => {FRAMES} > before", arg=before)
    assert "2.0 ± 2.0 mm" in page.locator("#us-nodules").inner_text().replace(NO_BREAK, " ")
    one = page.locator(".us-best-one").first
    named = int(one.get_attribute("data-frame"))
    one.click()
    page.wait_for_function("at => document.querySelector('.us-at h3')?.textContent.includes(at)", arg=f" {named},")
    assert shown_frame(page) == named
    page.wait_for_selector("#us-area canvas, #us-area svg")


def test_nothing_is_asked_for_while_no_tab_of_ours_is_seen(page: Any) -> None:
    open_tab(page, "System")
    page.wait_for_function("() => document.querySelector('#us-processes')?.innerText.includes('stream')")
    open_tab(page, "About")
    page.wait_for_timeout(1000)  # what was under way has come
    asked = len([url for url in page.asked if "/gradio_api/run/" in url])
    page.wait_for_timeout(1500)
    assert len([url for url in page.asked if "/gradio_api/run/" in url]) == asked
    open_tab(page, "System")
    for _ in range(2):  # at once, and then again
        with page.expect_request(lambda sent: "/gradio_api/run/" in sent.url):
            pass


def test_the_system_is_told_and_nobody_else_is_asked(page: Any, panel: Any) -> None:
    open_tab(page, "System")
    page.wait_for_function("() => document.body.innerText.includes('results a second')")
    page.wait_for_selector("#us-latency canvas, #us-latency svg")
    page.wait_for_selector("#us-histogram canvas, #us-histogram svg")
    page.wait_for_function("() => document.querySelector('#us-processes')?.innerText.includes('stream')")
    assert page.get_by_text("Nothing is being recorded.").is_visible()
    own = urlsplit(panel.root).netloc
    asked = [url for url in page.asked if urlsplit(url).scheme not in ("blob", "data")]
    assert [url for url in asked if urlsplit(url).netloc != own] == []
    assert [text for text in page.complaints if not any(part in text for part in OF_THE_PLOTS)] == []


def test_the_card_is_shown_with_the_frames_of_each_figure(page: Any, stream: Any) -> None:
    open_tab(page, "Engine")
    page.wait_for_function("() => document.body.innerText.includes('There is no card of')")
    document = (resource_dir("engines") / "thyroid_nodule/0.4.0/curves.json").read_text(encoding="utf-8")
    stream.engine_id = document.split('"engine_id": "')[1].split('"')[0]
    assert read_card(stream.engine_id) is not None
    page.wait_for_function("() => document.querySelector('#us-sets')?.innerText.includes('DDTI')")
    assert re.search(r"Old scanner, DDTI[^0-9]+65\s+56\s", page.locator("#us-sets").inner_text())
    assert re.search(r"balanced\s+Modern scanners, TN5000[^0-9]+490\s+490\s", page.locator("#us-points").inner_text())
    page.wait_for_selector("#us-froc canvas, #us-froc svg")
    page.wait_for_selector("#us-calibration canvas, #us-calibration svg")


def test_a_snapshot_is_of_the_frame_that_was_asked_for(page: Any, panel: Any, stream: Any) -> None:
    open_tab(page, "Sweep")
    page.wait_for_selector(".us-tl")
    page.get_by_role("button", name="Newest frame").click()
    number = shown_frame(page)
    page.wait_for_selector(".us-at-shot")
    address = panel.root.rstrip("/") + page.locator(".us-at-shot").get_attribute("href")
    assert httpx.get(address).status_code in (401, 403)
    held = httpx.get(address.replace("/snapshot?", "/snapshot/hold?"), headers=panel.login)
    assert held.status_code == 204
    answer = httpx.get(address, headers=panel.login)
    assert answer.headers["content-disposition"].endswith(f'_{number}.png"')
    png = Image.open(io.BytesIO(answer.content))
    assert png.text["frame_id"] == str(number)  # type: ignore[attr-defined]
    assert png.text["session_id"] == stream.session_id  # type: ignore[attr-defined]
    pixels = np.asarray(png)[:240].astype(int)
    line = (pixels[:, :, 0] > 180) & (pixels[:, :, 1] < 90) & (pixels[:, :, 2] > 180)
    columns = np.nonzero(line)[1]
    assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(160 + 40 * math.sin(number / 20), abs=1)
    gone = httpx.get(address.replace(f"frame={number}", "frame=99999999"), headers=panel.login)
    assert gone.status_code == 404
    assert "no longer kept" in gone.text


def test_a_program_gets_the_same_figures(page: Any, panel: Any, stream: Any) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    client = gradio_client.Client(panel.root, headers=panel.login, verbose=False)
    timeline = client.predict(50, api_name="/timeline")
    assert timeline["session_id"] == stream.session_id
    assert 0 < len(timeline["frame_id"]) <= 50
    assert sum(timeline["finding"]) == timeline["frames"]
    nodules = client.predict(api_name="/nodules_of_sweep")
    assert [item["track_id"] for item in nodules["nodules"]] == [4]
    assert nodules["nodules"][0]["largest"]["mm"] == 2.0
    system = client.predict(api_name="/system")
    assert system["session_id"] == stream.session_id
    assert system["viewers"] >= 1


@pytest.mark.parametrize("name", ["Sweep", "System", "Engine"])
def test_on_a_phone_nothing_is_wider_than_the_screen(page: Any, name: str) -> None:
    open_tab(page, name)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(1200)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
