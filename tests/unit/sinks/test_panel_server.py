from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from usassist.config import PanelConfig
from usassist.errors import BusError, UsageError
from usassist.sinks.panel import run_panel
from usassist.sinks.panel.access import split_address
from usassist.sinks.panel.packet import unpack
from usassist.sinks.panel.viewers import PACKETS_IN_FLIGHT

DONE = '{"type":"done"}'


class Page:
    """A panel that runs: its address without the token, and the headers of a program that has it."""

    def __init__(self, address: str) -> None:
        url, token = split_address(address)
        self.url, self.login = httpx.URL(url), {"Authorization": f"Bearer {token}"}
        self.host, self.port = self.url.host, self.url.port

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        return httpx.get(self.url.join(path), headers=self.login | headers)


def start_panel(folder: Path) -> tuple[subprocess.Popen[str], Page]:
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
    return process, Page(process.stdout.readline().strip())


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
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    process, url = start_panel(tmp_path_factory.mktemp("panel"))
    yield url
    assert end(process) == ""


def live(page: Page, **options: str) -> ClientConnection:
    options = {"origin": str(page.url).rstrip("/"), **options}
    address = f"ws://{page.host}:{page.port}/live"
    return connect(address, proxy=None, additional_headers=page.login, **options)  # type: ignore[arg-type]


def test_the_page_comes_with_a_policy_that_keeps_it_at_home(page: Page) -> None:
    answer = page.get()
    assert answer.status_code == 200
    assert "Research use only. Not a medical device." in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_the_page_hears_from_the_panel_without_any_stream(page: Page) -> None:
    with live(page) as socket_:
        head, jpeg = unpack(bytes(socket_.recv(20)))
    assert (head.state, head.detail, jpeg) == ("no_result", "waiting for the first frame", b"")


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", None])
def test_pages_of_others_get_no_frames(page: Page, origin: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused, live(page, origin=origin):  # type: ignore[arg-type]
        pass
    assert refused.value.response.status_code == 403


def test_a_name_that_somebody_pointed_here_is_refused(page: Page) -> None:
    assert page.get(host=f"evil.example:{page.port}").status_code == 421
    assert page.get(host=f"localhost:{page.port}").status_code == 200


@pytest.mark.parametrize(
    "path", ["/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://x/", "/monitoring", "/docs", "/openapi.json"]
)
def test_there_is_nothing_but_the_page(page: Page, path: str) -> None:
    assert page.get(path).status_code == 404


def test_no_file_can_be_sent(page: Page) -> None:
    upload = httpx.post(page.url.join("/gradio_api/upload"), files={"files": b"x"}, headers=page.login)
    assert upload.status_code == 404
    assert page.get(origin="http://evil.example").status_code == 403


def test_a_stalled_page_is_sent_no_more_and_another_still_gets_all(page: Page) -> None:
    with live(page) as stalled, live(page) as reader:
        for _ in range(PACKETS_IN_FLIGHT + 3):
            reader.recv(20)
            reader.send(DONE)
        for _ in range(PACKETS_IN_FLIGHT):
            stalled.recv(20)
        with pytest.raises(TimeoutError):
            stalled.recv(0.6)
        stalled.send(DONE)
        unpack(bytes(stalled.recv(20)))


def raw_live(page: Page) -> socket.socket:
    """A connection to ``/live`` that neither reads nor says anything by itself."""
    raw = socket.create_connection((page.host, page.port or 0))
    raw.sendall(
        f"GET /live HTTP/1.1\r\nHost: {page.host}:{page.port}\r\nOrigin: {str(page.url).rstrip('/')}\r\n"
        f"Authorization: {page.login['Authorization']}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode("ascii")
    )
    return raw


def test_a_page_that_dies_without_a_word_is_not_felt_by_another(page: Page) -> None:
    with live(page) as reader:
        for _ in range(5):
            with raw_live(page) as doomed:
                assert doomed.recv(1)
                doomed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no goodbye
            unpack(bytes(reader.recv(20)))
            reader.send(DONE)
        deadline = time.monotonic() + 20
        while viewers_of(page) != 1:
            assert time.monotonic() < deadline, "the dead are still counted"
            unpack(bytes(reader.recv(20)))
            reader.send(DONE)


@pytest.mark.long
def test_a_page_that_reads_nothing_is_not_felt_by_another_and_let_go(page: Page) -> None:
    with raw_live(page) as idle, live(page) as reader:
        for _ in range(3 * PACKETS_IN_FLIGHT):
            unpack(bytes(reader.recv(20)))
            reader.send(DONE)
        assert viewers_of(page) == 2
        deadline = time.monotonic() + 40
        while viewers_of(page) != 1:
            assert time.monotonic() < deadline, "a page that answers no ping is still counted"
            unpack(bytes(reader.recv(20)))
            reader.send(DONE)
        assert idle.fileno() >= 0


def listen_to_the_end(socket_: ClientConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        for _ in range(PACKETS_IN_FLIGHT + 1):
            socket_.recv(20)
        pytest.fail("the connection goes on")


@pytest.mark.parametrize("word", ["got", '{"type":"mark"}', b"\x00\x01", "x" * 600])
def test_a_page_that_says_what_no_page_says_is_sent_away(page: Page, word: str | bytes) -> None:
    with live(page) as socket_:
        socket_.recv(20)
        socket_.send(word)
        listen_to_the_end(socket_)
        assert socket_.close_code == 1008


def test_a_word_too_long_to_be_received_ends_the_connection(page: Page) -> None:
    with live(page) as socket_:
        socket_.recv(20)
        socket_.send("x" * 100_000)
        listen_to_the_end(socket_)
        assert socket_.close_code == 1009


def test_a_mark_of_a_frame_that_was_never_shown_is_refused_with_a_reason(page: Page) -> None:
    with live(page) as socket_:
        socket_.recv(20)
        socket_.send('{"type":"mark","session_id":"a","frame_id":1,"kind":"missed"}')
        answers = (socket_.recv(20) for _ in range(PACKETS_IN_FLIGHT + 1))
        text = next(answer for answer in answers if isinstance(answer, str))
    assert json.loads(text) == {"refused": "the session of that frame has ended", "frame_id": 1, "kind": "missed"}


def viewers_of(page: Page) -> float:
    text = page.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return families["usassist_viewers"].samples[0].value


def test_metrics_are_told_to_whoever_asks_by_our_name(page: Page) -> None:
    answer = page.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"usassist_process_cpu_seconds", "usassist_latency_seconds"} <= names
    assert page.get("/metrics", host="evil.example").status_code == 421


def test_gradio_client_reads_the_page_with_the_token_and_not_without(page: Page) -> None:
    program = (
        "import sys; from gradio_client import Client\n"
        f"client = Client({str(page.url)!r}, headers={page.login!r} if sys.argv[1:] else None, verbose=False)\n"
        "print(client.config['title'], sorted(client.view_api(return_format='dict', print_info=False)))\n"
    )
    command = [sys.executable, "-c", program]
    read = subprocess.run([*command, "token"], capture_output=True, text=True, timeout=60, check=False)
    assert read.stdout == "usassist live ['named_endpoints', 'unnamed_endpoints']\n", read.stderr
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1


def test_a_port_in_use_is_said_in_one_line_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BusError, match=f"^port {port} is in use; give another --port$"):
            run_panel(f"ipc://{tmp_path}", PanelConfig(port=port))


@pytest.mark.parametrize(
    ("bus", "config", "message"),
    [
        ("http://x", PanelConfig(port=0), "bus address"),
        ("ipc", PanelConfig(port=70000), "port 70000 is out of range"),
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


def test_a_panel_that_nobody_watches_sleeps(tmp_path: Path) -> None:
    process, page = start_panel(tmp_path)
    status = Path(f"/proc/{process.pid}/status")
    try:
        if not status.exists():
            pytest.skip("this system does not tell how often a process was woken")
        with live(page) as socket_:
            socket_.recv(20)
        while viewers_of(page):
            time.sleep(0.05)

        def wakes() -> int:
            lines = dict(
                line.split(":", 1) for line in status.read_text(encoding="ascii", errors="replace").splitlines()
            )
            return int(lines["voluntary_ctxt_switches"])

        before = wakes()
        time.sleep(2)
        assert wakes() - before < 200, "Gradio's own queue alone wakes it a thousand times a second, if it is let"
    finally:
        assert end(process) == ""


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
