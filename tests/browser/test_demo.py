"""``usassist demo`` as a user starts it, seen in a real browser."""

from __future__ import annotations

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

import pytest

pytestmark = pytest.mark.browser


@pytest.fixture
def sockets() -> Iterator[str]:
    """A folder for sockets; the path of one has at most 107 bytes, and a test's own folder may be longer."""
    with tempfile.TemporaryDirectory(prefix="us-") as folder:
        yield folder


def test_the_demo_shows_the_bundled_clip_with_nodules_in_millimetres_and_ends_on_ctrl_c(
    browser: Any, sockets: str, tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"XDG_RUNTIME_DIR": sockets}
    process = subprocess.Popen(
        [sys.executable, "-m", "usassist", "demo", "--port", str(port)],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        told = iter(process.stderr.readline, "")  # before the page, what is passed over on this processor may be told
        addresses = (found[0] for line in told if (found := re.search(r"http://\S+", line)))
        address = next(addresses)
        assert address.startswith(f"http://127.0.0.1:{port}/?token=")
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        assert page.url == f"http://127.0.0.1:{port}/"
        page.wait_for_function("() => window.usassist?.frames > 30", timeout=60_000)
        page.wait_for_function("() => usassist.state === 'finding'", timeout=60_000)
        sizes = "/[0-9.]+ × [0-9.]+ mm± [0-9.]+ × ± [0-9.]+ mm/"
        table = "document.querySelector('.us tbody')?.textContent || ''"
        page.wait_for_function(f"() => {sizes}.test({table})", timeout=60_000)
        assert page.get_by_text("thyroid_nodule@").first.is_visible()
        page.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()
