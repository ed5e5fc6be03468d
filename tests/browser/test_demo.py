"""``usassist demo`` as visitors use it, seen in a real browser: one page process, many questions."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usassist.common.pyav import av
from usassist.config import resource_dir

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first test waits for the engine and a clip

FRAMES = 12
SIDE_PX = 612
BLOCK_PX = 24  # of the frame number, written as dark and bright blocks into a corner of the picture
BITS = 5
UPLOAD = "#ud-upload input[type=file]"
SHOWN = "usassistDemo.shown"


class Demo:
    """A running ``usassist demo``; everything temporary that it writes lies in `temporary`."""

    def __init__(self, folder: Path, sockets: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "usassist", "demo", "--port", str(port)],
            cwd=folder,
            env=os.environ | {"XDG_RUNTIME_DIR": sockets, "TMPDIR": str(self.temporary)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        told = iter(self.process.stderr.readline, "")
        self.address = next(found[0] for line in told if (found := re.search(r"http://\S+", line)))
        self.url = self.address.partition("?")[0]

    def visits(self) -> set[str]:
        """Private folders of visitors, and the shared one."""
        return {path.name for path in self.temporary.glob("usassist-demo-*/visit-*")}


@pytest.fixture(scope="module")
def demo(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The page; asks for the browser first so that nothing starts without one."""
    with tempfile.TemporaryDirectory(prefix="us-") as sockets:
        demo = Demo(tmp_path_factory.mktemp("demo"), sockets)
        yield demo
        demo.process.kill()
        demo.process.communicate()


def open_page(browser: Any, demo: Demo, width: int = 1280, height: int = 900) -> Any:
    page = browser.new_page(viewport={"width": width, "height": height})
    page.asked, page.complaints = [], []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(demo.address)
    page.wait_for_function("() => window.usassistDemo?.shown && usassistDemo.count", timeout=150_000)
    return page


@pytest.fixture(scope="module")
def visitor(browser: Any, demo: Demo) -> Iterator[Any]:
    """A page with the first clip."""
    page = open_page(browser, demo)
    yield page
    page.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An mp4 with frames of the simulated scan, each with its number in a corner."""
    path = tmp_path_factory.mktemp("clip") / "numbered.mp4"
    with av.open(str(resource_dir("demo") / "clip.mkv")) as source, av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=10, options={"qscale": "2"})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        number = 0
        for place, frame in enumerate(source.decode(video=0)):
            if place % 24:
                continue
            image = np.ascontiguousarray(frame.to_ndarray(format="rgb24")[76 : 76 + SIDE_PX, 334 : 334 + SIDE_PX])
            for bit in range(BITS):
                left = bit * BLOCK_PX
                image[:BLOCK_PX, left : left + BLOCK_PX] = 220 if number >> bit & 1 else 30
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                out.mux(packet)
            number += 1
            if number == FRAMES:
                break
        for packet in stream.encode(None):
            out.mux(packet)
    return path


READ_NUMBER = """([side, blocks, size]) => {
  const canvas = document.querySelector(`.ud [data-at="${side}"]`), place = usassistDemo.place(side);
  const context = canvas.getContext("2d");
  let number = 0;
  for (let bit = 0; bit < blocks; bit += 1) {
    const x = place.x + (bit + 0.5) * size * place.scale, y = place.y + 0.5 * size * place.scale;
    if (context.getImageData(Math.round(x), Math.round(y), 1, 1).data[0] > 128) number += 1 << bit;
  }
  return number;
}"""


def wait_for_frame(page: Any, index: int) -> None:
    page.wait_for_function(f"index => {SHOWN}.index === index", arg=index, timeout=20_000)


def status_of(page: Any) -> str:
    return str(page.locator("#ud-status").inner_text())


def wait_for_status(page: Any, text: str) -> None:
    page.wait_for_function(
        "text => document.querySelector('#ud-status').innerText.includes(text)", arg=text, timeout=60_000
    )


def upload(page: Any, path: Path) -> None:
    """Give a file, in the place of the one that was given before."""
    clear = page.locator('#ud-upload button[aria-label="Clear"]')
    if clear.count():
        clear.click()
    page.locator(UPLOAD).set_input_files(str(path))


def answer_upload(page: Any, path: Path, count: int) -> None:
    upload(page, path)
    wait_for_status(page, "px")
    page.locator("#ud-answer").click()
    wait_for_status(page, f"Frames answered: {count}")
    page.wait_for_function("count => usassistDemo.count === count && usassistDemo.shown", arg=count, timeout=20_000)


def answer_paths(page: Any) -> set[str]:
    return {found[0] for url in page.asked if (found := re.search(r"clip/[\w-]+/answer\d+", url))}


def test_the_first_clip_is_there_with_nodules_in_millimetres_and_says_that_it_is_simulated(visitor: Any) -> None:
    assert visitor.locator('.ud [data-at="simulated"]').inner_text() == "SIMULATED"
    assert visitor.get_by_text("Research use only. Not a medical device.").first.is_visible()
    head = visitor.evaluate(f"() => {SHOWN}.heads[0]")
    assert head["state"] == "finding"
    assert head["nodules"][0]["major_u95_mm"] > 0
    assert re.search(
        r"[\d.]+ ± [\d.]+ mm × [\d.]+ ± [\d.]+ mm", visitor.locator('.ud [data-at="left-nodules"]').inner_text()
    )
    visitor.get_by_role("tab", name="Nodules").click()
    visitor.wait_for_function("() => /N2[^]*mm \\(/.test(document.querySelector('#ud-nodules').innerText)")


def test_it_plays_and_pauses_steps_and_scrubs_by_key_and_by_mouse(visitor: Any) -> None:
    visitor.locator(".ud").focus()
    visitor.keyboard.press("Home")
    wait_for_frame(visitor, 0)
    visitor.keyboard.press(" ")
    visitor.wait_for_function(f"() => {SHOWN}.index > 5 && usassistDemo.playing", timeout=20_000)
    visitor.keyboard.press(" ")
    assert visitor.evaluate("() => usassistDemo.playing") is False
    visitor.keyboard.press("Home")
    for key, index in (("ArrowRight", 1), ("ArrowRight", 2), ("Shift+ArrowRight", 12), ("ArrowLeft", 11), ("End", 299)):
        visitor.keyboard.press(key)
        wait_for_frame(visitor, index)
    box = visitor.locator('.ud [data-at="strip"]').bounding_box()
    visitor.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    wait_for_frame(visitor, 150)
    assert visitor.locator('.ud [data-at="place"]').inner_text() == "151 of 300"
    assert visitor.locator('.ud [data-at="frame"]').inner_text() == "frame 150"
    visitor.locator('.ud [data-at="scrub"]').fill("146")
    wait_for_frame(visitor, 146)


def test_with_and_without_outlines_stand_side_by_side_on_the_same_frame(visitor: Any) -> None:
    visitor.locator('.ud [data-at="scrub"]').fill("146")
    wait_for_frame(visitor, 146)
    visitor.locator('.ud [data-at="view"]').select_option("both")
    coloured = """side => {
      const canvas = document.querySelector(`.ud [data-at="${side}"]`);
      const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let count = 0;
      for (let at = 0; at < data.length; at += 4) if (Math.abs(data[at] - data[at + 2]) > 60) count += 1;
      return count;
    }"""
    assert visitor.evaluate(coloured, "left") == 0
    assert visitor.evaluate(coloured, "right") > 50
    frames = visitor.evaluate("() => [...document.querySelectorAll('.ud figure')].map(item => item.dataset.frame)")
    assert frames == ["146", "146"]
    visitor.locator('.ud [data-at="view"]').select_option("outline")


def test_a_row_of_a_table_leads_to_its_frame(visitor: Any) -> None:
    visitor.get_by_role("tab", name="Nodules").click()
    frame = int(visitor.locator('#ud-nodules [data-row="1"][data-col="5"]').inner_text())
    visitor.locator('#ud-nodules [data-row="1"][data-col="3"]').click()
    wait_for_frame(visitor, frame)


def test_another_simulated_clip_is_shown_as_soon_as_it_is_chosen(visitor: Any) -> None:
    visitor.locator("#ud-item label").nth(1).click()
    visitor.wait_for_timeout(500)  # Gradio takes a choice a moment after it is made
    visitor.locator("#ud-answer").click()  # where it has not been answered yet
    visitor.wait_for_function("() => usassistDemo.count === 125 && usassistDemo.shown", timeout=150_000)
    visitor.locator("#ud-item label").nth(0).click()
    visitor.wait_for_function("() => usassistDemo.count === 300 && usassistDemo.shown")


def test_the_words_of_the_page_change_with_the_language(visitor: Any) -> None:
    visitor.locator("#ud-language input").click()
    visitor.get_by_role("option", name="Deutsch").click()
    visitor.wait_for_function("() => document.querySelector('#ud-answer').innerText === 'Beantworten'")
    visitor.wait_for_function("() => document.querySelector('.ud [data-at=\"simulated\"]').innerText === 'SIMULIERT'")
    visitor.locator("#ud-language input").click()
    visitor.get_by_role("option", name="English").click()
    visitor.wait_for_function("() => document.querySelector('.ud [data-at=\"simulated\"]').innerText === 'SIMULATED'")


@pytest.mark.slow
def test_a_simulated_ct_is_looked_at_first_and_analysed_then(visitor: Any) -> None:
    visitor.get_by_role("tab", name="CT").click()
    visitor.wait_for_function("() => window.usassistSlices?.shown?.state === 'none'", timeout=100_000)
    viewer = visitor.locator("#ud-ct-viewer")
    assert viewer.locator('[data-at="state"]').inner_text() == "NOT ANALYSED"
    assert viewer.get_by_text("Research use only. Not a medical device.").is_visible()
    visitor.locator("#ud-ct-answer").click()
    visitor.wait_for_function("() => usassistSlices.shown?.state === 'finding'", timeout=100_000)
    assert "Suspicious slices" in viewer.locator('[data-at="marks"]').inner_text()
    visitor.wait_for_function(
        "() => /haemorrhage volume[^]* ml/.test(document.querySelector('#ud-ct-table').innerText)"
    )
    with visitor.expect_download() as download:
        visitor.get_by_role("link", name="Result, JSON").click()
    assert json.loads(Path(download.value.path()).read_bytes())["state"] == "finding"
    visitor.get_by_role("tab", name="Ultrasound").click()


@pytest.mark.slow
def test_every_frame_of_an_uploaded_clip_is_shown_with_its_own_result(visitor: Any, clip: Path) -> None:
    answer_upload(visitor, clip, FRAMES)
    assert not visitor.locator('.ud [data-at="simulated"]').is_visible()
    with visitor.expect_download() as download:
        visitor.get_by_role("link", name="Results, CSV").click()
    with Path(download.value.path()).open(newline="") as file:
        rows = list(csv.DictReader(file))
    states = {int(row["frame_id"]): row["state"] for row in rows}
    boxes = {(int(row["frame_id"]), int(row["nodule"])): float(row["x1_px"]) for row in rows if row["nodule"]}
    assert {"finding", "no_finding"} <= set(states.values())
    for index in [*range(FRAMES), *range(FRAMES - 1, -1, -3)]:
        visitor.locator('.ud [data-at="scrub"]').fill(str(index))
        wait_for_frame(visitor, index)
        head = visitor.evaluate(f"() => {SHOWN}.heads[0]")
        assert head["frame_id"] == index
        assert head["image_hw_px"] == [SIDE_PX, SIDE_PX]
        assert visitor.evaluate(READ_NUMBER, ["left", BITS, BLOCK_PX]) == index
        assert head["state"] == states[index]
        for row, nodule in enumerate(head["nodules"]):
            assert nodule["xyxy_px"][0] == pytest.approx(boxes[index, row], abs=0.06)


@pytest.mark.slow
def test_two_operating_points_stand_beside_each_other_on_the_same_frame(visitor: Any, clip: Path) -> None:
    visitor.get_by_role("button", name="Engine and operating point").click()
    visitor.get_by_label("Compare with a second answer (B)").check()
    visitor.get_by_label("Operating point of B").click()
    visitor.get_by_role("option", name="sensitive").click()
    visitor.locator("#ud-answer").click()
    visitor.wait_for_function(f"() => {SHOWN}?.frames.length === 2", timeout=150_000)
    for index in (0, 5, 11):
        visitor.locator('.ud [data-at="scrub"]').fill(str(index))
        wait_for_frame(visitor, index)
        assert visitor.evaluate(f"() => {SHOWN}.frames") == [index, index]
        assert [visitor.evaluate(READ_NUMBER, [side, BITS, BLOCK_PX]) for side in ("left", "right")] == [index] * 2
    names = [visitor.locator(f'.ud [data-at="{side}-name"]').inner_text() for side in ("left", "right")]
    assert "balanced" in names[0]
    assert "sensitive" in names[1]
    assert f"of {FRAMES} frames" in visitor.locator("#ud-note").inner_text()
    visitor.get_by_role("tab", name="Differences of A and B").click()
    assert visitor.locator("#ud-differences").is_visible()
    visitor.get_by_label("Compare with a second answer (B)").uncheck()


@pytest.mark.slow
def test_a_picture_is_answered(visitor: Any) -> None:
    answer_upload(visitor, resource_dir("demo") / "still.png", 1)
    assert visitor.evaluate(f"() => {SHOWN}.frames") == [0]
    assert visitor.evaluate(f"() => {SHOWN}.heads[0].state") == "finding"


def test_what_is_no_clip_is_refused_in_words_and_the_page_goes_on(visitor: Any, tmp_path: Path) -> None:
    before = visitor.evaluate("() => usassistDemo.count")
    for name, content, told in (
        ("broken.mp4", os.urandom(4000), "no video"),
        ("broken.png", b"\x89PNG\r\n\x1a\n" + os.urandom(400), "not an image"),
        ("empty.avi", b"", "is empty"),
        ("letter.docx", b"text", "is not taken"),
    ):
        (tmp_path / name).write_bytes(content)
        upload(visitor, tmp_path / name)
        wait_for_status(visitor, told)
        assert "Not taken" in status_of(visitor)
        assert str(tmp_path) not in status_of(visitor)
    assert visitor.evaluate("() => usassistDemo.count") == before


@pytest.mark.slow
def test_two_visitors_see_their_own_files_and_nothing_is_left_of_one_who_goes(
    browser: Any, demo: Demo, visitor: Any
) -> None:
    before = demo.visits()
    other = open_page(browser, demo)
    answer_upload(other, resource_dir("demo") / "still.png", 1)
    (own,) = answer_paths(other) - answer_paths(visitor)
    assert len(demo.visits()) == len(before) + 1
    assert visitor.request.get(f"{demo.url}{own}/0").status == 200  # whoever has the secret
    wrong = re.sub(r"clip/[\w-]+", "clip/" + "x" * 32, own)
    assert visitor.request.get(f"{demo.url}{wrong}/0").status == 404
    other.close()
    for _ in range(100):
        if demo.visits() == before:
            break
        visitor.wait_for_timeout(100)
    assert demo.visits() == before
    assert visitor.request.get(f"{demo.url}{own}/0").status == 404


def test_it_fits_on_a_phone(browser: Any, demo: Demo) -> None:
    phone = open_page(browser, demo, width=390, height=844)
    assert phone.evaluate("() => document.documentElement.scrollWidth") <= 390
    box = phone.locator('.ud [data-at="left"]').bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert box["y"] + box["height"] <= 844  # the picture is what one sees first
    phone.close()


@pytest.mark.slow
def test_a_program_gets_the_answer_as_json(browser: Any, demo: Demo) -> None:
    gradio_client = pytest.importorskip("gradio_client")
    page = open_page(browser, demo)
    cookies = "; ".join(f"{item['name']}={item['value']}" for item in page.context.cookies())
    page.close()
    client = gradio_client.Client(demo.url, headers={"Cookie": cookies}, verbose=False)
    file = gradio_client.handle_file(str(resource_dir("demo") / "still.png"))
    document = client.predict(file, "thyroid_nodule", "auto", "auto", api_name="/answer")
    assert document["frames_answered"] == 1
    assert document["frames"][0]["state"] == "finding"
    assert document["frames"][0]["nodules"][0]["major_mm"] > 5
    with pytest.raises(Exception, match="No answer"):
        client.predict(file, "thyroid_nodule", "auto", "unheard-of", api_name="/answer")
    client.close()


def test_nothing_was_asked_of_another_host_and_the_console_has_no_error(demo: Demo, visitor: Any) -> None:
    hosts = {re.match(r"\w+://([^/]+)", url)[1] for url in visitor.asked if url.startswith(("http", "ws"))}  # type: ignore[index]
    assert hosts == {demo.url.split("/")[2]}
    assert visitor.complaints == []


def test_the_end_leaves_nothing_behind(demo: Demo) -> None:
    assert [path for path in demo.temporary.iterdir() if path.stat().st_mode & 0o077] == []
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(30) == 0
    assert list(demo.temporary.iterdir()) == []
