"""A page that starts slowly, hangs or crashes in its start: told, replaced, and not felt by stream and recording."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.replay.live_session import DOUBLES, LiveSession
from usassist.session import open_session

pytestmark = [pytest.mark.slow, pytest.mark.alone]

SOURCE = ("--source", "null:rate=30,size=96x160", "--backend", "null")


def _misbehaving(environment: dict[str, str], what: str) -> dict[str, str]:
    path = f"{DOUBLES}:{environment.get('PYTHONPATH', '')}"
    return environment | {"USASSIST_TEST_PAGE": what, "PYTHONPATH": path}


def _port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("what", "told", "restarts"),
    [
        pytest.param("slow,12", "the stream runs; the page is still starting", {}, marks=pytest.mark.long),
        ("crash,{}", "the process panel has died; it is restarted", {"panel": 2}),
        pytest.param(
            "hang,{}", "the process panel was killed: its start has stood still", {"panel": 1}, marks=pytest.mark.long
        ),
    ],
)
def test_a_page_that_does_not_start_well_is_told_and_comes_up_while_all_is_recorded(
    what: str, told: str, restarts: dict[str, int], environment: dict[str, str], tmp_path: Path
) -> None:
    misbehaving = _misbehaving(environment, what.format(tmp_path))
    with LiveSession(tmp_path, *SOURCE, "--port", _port(), environment=misbehaving) as live:
        live.until(lambda: len(live.results) > 30, "no results came")
        assert not any("the page is at" in line for line in live.stderr)
        live.until(lambda: any(told in line for line in live.stderr), "it is not told")
        live.until(lambda: any("the page is at" in line for line in live.stderr), "the page does not come up")
        came = len(live.results)
        live.until(lambda: len(live.results) > came + 30, "the stream does not go on")
        report = live.end()
        assert live.process.returncode == 0
    assert report["restarts"] == restarts
    (folder,) = report["folders"]
    session = open_session(folder)
    assert session.manifest.recording == "closed"
    assert session.gaps == ()
    assert len(session.frames) > came


def test_a_window_without_a_display_is_told_and_the_stream_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    blind = {name: value for name, value in environment.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    with LiveSession(tmp_path, *SOURCE, "--no-page", "--window", environment=blind) as live:
        live.until(lambda: len(live.results) > 30, "no results came")
        told = [line for line in live.stderr if "there is no display" in line]
        report = live.end()
    assert len(told) == 1
    assert "the stream goes on without it" in told[0]
    assert report["restarts"] == {}


def test_a_display_that_cannot_be_opened_is_told_a_few_times_and_the_stream_goes_on(
    environment: dict[str, str], tmp_path: Path
) -> None:
    blind = environment | {"DISPLAY": ":4711"}
    with LiveSession(tmp_path, *SOURCE, "--no-page", "--window", environment=blind) as live:
        live.until(lambda: any("again and again" in line for line in live.stderr), "it is not told")
        came = len(live.results)
        live.until(lambda: len(live.results) > came + 30, "the stream does not go on")
        told = [line for line in live.stderr if "overlay" in line]
        live.end()
        assert live.process.returncode == 0
    assert len(told) == 4
