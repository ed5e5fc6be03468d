"""The page of a worklist, in a real browser, over a list that the test writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.app.worklist.test_journal_and_order import arrived, ended, rows
from usassist.common.private_files import write_atomic
from usassist.sinks.panel.access import split_address
from usassist.sinks.worklist import STATE_FOLDER, Heartbeat, Mark, Place, Worklist, take_marks

pytestmark = pytest.mark.browser


class List:
    """A worklist that a test writes, with the page over it in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / STATE_FOLDER
        self.state.mkdir(mode=0o700)
        self.events: list[Any] = [arrived(f"S-{number}", number) for number in range(1, 5)]
        self.events += [ended("S-1", "unflagged", 0.1), ended("S-2", "failed", None), ended("S-4", "suspicious", 0.9)]
        place = msgspec.json.encode(Place(study="S-4", path="/srv/studies/KIM CHULSOO"))
        (self.state / "places.jsonl").write_bytes(place + b"\n")
        self.count = 0
        self.write()
        program = (
            "import sys; from pathlib import Path\n"
            "from usassist.config import PanelConfig; from usassist.sinks.panel.worklist import run_worklist_page\n"
            "run_worklist_page(Path(sys.argv[1]), PanelConfig(port=0), on_ready=lambda url: print(url, flush=True))\n"
        )
        command = [sys.executable, "-c", program, str(folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def write(self, *, stale_after_s: float = 600.0, state: Any = "running") -> None:
        """Write the list again, as its process does."""
        self.count += 1
        beat = Heartbeat(
            count=self.count, written_utc=datetime.now(UTC).isoformat(), stale_after_s=stale_after_s, state=state
        )
        studies = rows(self.events, {"S-3": "waiting"})
        found = Worklist(notice="", heartbeat=beat, engine="e@1", threshold=None, studies=studies, left_out={"link": 1})
        write_atomic(self.state / "worklist.json", msgspec.json.encode(found))


@pytest.fixture
def listed(browser: Any, tmp_path: Path) -> Iterator[List]:
    """Asks for the browser first so that nothing starts without one."""
    listed = List(tmp_path)
    yield listed
    listed.process.send_signal(signal.SIGINT)
    listed.process.communicate(timeout=60)


def studies(page: Any) -> list[str]:
    """Pseudonyms in the order of the page."""
    found: list[str] = page.eval_on_selector_all("tr[data-study]", "rows => rows.map((row) => row.dataset.study)")
    return found


def is_old(page: Any) -> bool:
    """Whether the page calls its list old, after it has asked once more."""
    old: bool = page.evaluate("async () => { await ask(); return document.body.classList.contains('is-old'); }")
    return old


def test_the_list_its_marks_and_a_process_that_has_died(browser: Any, listed: List) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en")
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    root, _ = split_address(listed.url)
    answer = page.goto(root)
    assert answer is not None
    assert answer.status == 401, "nothing is shown before a login"
    assert "S-4" not in page.content()
    complaints.clear()
    page.goto(listed.url)
    page.wait_for_selector("tr[data-study]")
    assert studies(page) == ["S-4", "S-2", "S-1", "S-3"]
    text = page.inner_text("main")
    assert all(
        word in text for word in ("Suspicious", "Not scored", "Refused: why", "Not flagged", "Waits for scoring")
    )
    assert "KIM" not in page.content()
    assert page.locator("#alarm").is_hidden()
    for width in (360, 768, 1920):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.locator("tr[data-study='S-4'] button").first.click()
    page.get_by_text("/srv/studies/KIM CHULSOO", exact=True).wait_for()  # after a login, on this machine
    page.locator("tr[data-study='S-4'] [data-do]").click()
    page.wait_for_selector("tr[data-study='S-4'] [aria-busy=true]")
    while not (marks := take_marks(listed.state)):
        page.wait_for_timeout(20)
    assert [mark for _, mark in marks] == [Mark(study="S-4", is_read=True, version=1)]

    listed.events.append(ended("S-3", "suspicious", 0.95))
    listed.write()
    page.evaluate("ask()")  # it asks by itself every two seconds
    assert studies(page) == ["S-3", "S-4", "S-2", "S-1"]
    assert page.title() == "(2) Worklist"

    listed.write(stale_after_s=0.5)  # and never again
    while not is_old(page):
        page.wait_for_timeout(20)
    assert "STALE" in page.inner_text("#alarm")
    assert page.title().startswith("⚠ STALE")
    listed.write(stale_after_s=600.0)
    while is_old(page):
        page.wait_for_timeout(20)
    assert complaints == []
    listed.process.send_signal(signal.SIGINT)
    listed.process.wait()
    page.evaluate("() => { list.answered_ms -= 60000; judge(); }")  # as if that were a minute ago
    assert "NO CONNECTION" in page.inner_text("#alarm")
    context.close()
