from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from usassist.config import PanelConfig
from usassist.errors import BusError, UsageError
from usassist.sinks.panel import run_panel
from usassist.sinks.panel.packet import unpack
from usassist.sinks.panel.viewers import PACKETS_IN_FLIGHT


def start_panel(folder: Path) -> tuple[subprocess.Popen[str], httpx.URL]:
    """A panel in a process of its own, waiting for a stream: Gradio leaves sockets behind that would warn here."""
    program = (
        "from usassist.config import PanelConfig; from usassist.sinks.panel import run_panel\n"
        f"run_panel('ipc://{folder}', PanelConfig(port=0), on_ready=lambda url: print(url, flush=True))\n"
    )
    temporary = folder / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    assert process.stdout is not None
    return process, httpx.URL(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> str:
    """End it as Ctrl-C does; gives what it wrote to standard error."""
    process.send_signal(signal.SIGINT)
    try:
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    return errors


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.URL]:
    process, url = start_panel(tmp_path_factory.mktemp("panel"))
    yield url
    assert end(process) == ""


def live(page: httpx.URL, **options: str) -> ClientConnection:
    options = {"origin": str(page).rstrip("/"), **options}
    return connect(f"ws://{page.host}:{page.port}/live", proxy=None, **options)  # type: ignore[arg-type]


def test_the_page_comes_with_a_policy_that_keeps_it_at_home(page: httpx.URL) -> None:
    answer = httpx.get(page)
    assert answer.status_code == 200
    assert "Research use only. Not a medical device." in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_page_hears_from_the_panel_without_any_stream(page: httpx.URL) -> None:
    with live(page) as socket_:
        head, jpeg = unpack(bytes(socket_.recv(20)))
    assert (head.state, head.detail, jpeg) == ("no_result", "waiting for the first frame", b"")


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", None])
def test_pages_of_others_get_no_pictures(page: httpx.URL, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused, live(page, origin=origin):  # type: ignore[arg-type]
        pass
    assert refused.value.response.status_code == 403


def test_a_name_that_somebody_pointed_here_is_refused(page: httpx.URL) -> None:
    assert httpx.get(page, headers={"host": f"evil.example:{page.port}"}).status_code == 421
    assert httpx.get(page, headers={"host": f"localhost:{page.port}"}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://x/", "/monitoring", "/docs", "/openapi.json"]
)
def test_there_is_nothing_but_the_page(page: httpx.URL, path: str) -> None:
    assert httpx.get(page.join(path)).status_code == 404


def test_nothing_can_be_sent(page: httpx.URL) -> None:
    assert httpx.post(page.join("/gradio_api/upload"), files={"files": b"x"}).status_code == 405
    assert httpx.get(page, headers={"origin": "http://evil.example"}).status_code == 403


def test_a_stalled_page_is_sent_no_more_and_another_still_gets_all(page: httpx.URL) -> None:
    with live(page) as stalled, live(page) as reader:
        for _ in range(PACKETS_IN_FLIGHT + 3):
            reader.recv(20)
            reader.send("got")
        for _ in range(PACKETS_IN_FLIGHT):
            stalled.recv(20)
        with pytest.raises(TimeoutError):
            stalled.recv(0.6)
        stalled.send("got")
        unpack(bytes(stalled.recv(20)))


def test_a_port_in_use_is_said_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BusError, match=f"^port {port} is in use; give another --port$"):
            run_panel(f"ipc://{tmp_path}", PanelConfig(port=port))


@pytest.mark.parametrize(
    ("bus", "config", "message"),
    [
        ("http://x", PanelConfig(port=0), "bus address"),
        ("ipc", PanelConfig(port=70000), "port 70000 does not exist"),
        ("ipc", PanelConfig(host="192.0.2.1", port=0), "host 192.0.2.1 is not an address of this machine"),
        ("ipc", PanelConfig(port=0, jpeg_quality=0), "jpeg_quality must lie in 1 to 100"),
    ],
)
def test_what_cannot_be_served_is_said(bus: str, config: PanelConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_panel(bus, config)


def test_ctrl_c_ends_it_in_order_while_a_page_is_open(tmp_path: Path) -> None:
    process, page = start_panel(tmp_path)
    with live(page) as socket_:
        socket_.recv(20)
        assert end(process) == ""
    assert not list((tmp_path / "tmp").iterdir())


def test_it_ends_when_it_is_told_to(tmp_path: Path) -> None:
    program = (
        "import threading\n"
        "from usassist.config import PanelConfig; from usassist.sinks.panel import run_panel\n"
        "stop = threading.Event()\n"
        f"run_panel('ipc://{tmp_path}', PanelConfig(port=0), on_ready=lambda url: stop.set(), stop=stop)\n"
        "print('returned')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert (ended.stdout, ended.stderr) == ("returned\n", "")
