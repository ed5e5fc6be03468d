"""Who sees the page, in a real browser."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import TOKEN, Panel, Stream
from usassist.sinks.panel.access.password import write_password

pytestmark = pytest.mark.browser

FRAMES = "id => window.usassist?.sessionId === id && usassist.frames > 3"
PASSWORD = "a long password, told to nobody"


def test_the_page_asks_for_its_token_and_a_restart_and_a_logout_do_what_they_should(
    browser: Any, panel: Panel, stream: Stream
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, locale="ko")
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    answer = page.goto(panel.root)
    assert answer is not None
    assert answer.status == 401
    assert asked == [panel.root], "the login page needs nothing else"
    assert page.get_by_role("heading").inner_text() == "이 페이지에는 토큰이 필요합니다"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.keyboard.type("not the token at all")  # the field has the focus
    page.keyboard.press("Enter")
    page.get_by_role("alert").wait_for()
    assert stream.session_id not in page.content()
    page.get_by_label("토큰").fill(TOKEN)
    page.get_by_role("button").click()
    page.wait_for_function(FRAMES, arg=stream.session_id)
    assert page.url == panel.root

    panel.stop()
    panel.start()  # another process of the same run
    page.reload()
    page.wait_for_function(FRAMES, arg=stream.session_id)

    other = context.new_page()
    other.goto(f"{panel.root}logout")
    other.get_by_role("button").click()
    other.get_by_role("link").wait_for()
    page.wait_for_function("() => usassist.state !== 'finding'")  # its frames have ended
    assert page.reload().status == 401
    context.close()
    left = [path for path in panel.temporary.rglob("*") if path.is_file()]
    assert not [path for path in left if path.suffix in (".jpg", ".jpeg", ".png", ".webp", ".mp4", ".gif")], left


def test_beyond_this_machine_there_is_a_password_over_tls(browser: Any, tmp_path: Path) -> None:
    pair = Path(__file__).parents[1] / "unit/sinks/panel_access"
    key = tmp_path / "key.pem"
    shutil.copy(pair / "key.pem", key)
    key.chmod(0o600)
    write_password(tmp_path / "password", PASSWORD)
    program = (
        "from tests.unit.sinks.panel_access.gated import make_app\n"
        "from usassist.config import PanelConfig; from usassist.sinks.panel.serve import run_server\n"
        f"run_server(make_app, PanelConfig(host='0.0.0.0', port=0, password_file={str(tmp_path / 'password')!r},\n"
        f"    tls_cert={str(pair / 'cert.pem')!r}, tls_key={str(key)!r}),\n"
        "    on_ready=lambda url: print(url, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("https://127.0.0.1:")
        assert "token" not in url
        context = browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        assert page.goto(url).status == 401
        for word in ("wrong, but long enough", PASSWORD):
            page.get_by_label("Password").fill(word)
            page.get_by_role("button").click()
            page.wait_for_load_state()
        assert '"url"' in page.content()
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
        # An answer that does not end by itself is open while the server ends.
        page.evaluate("fetch('/gradio_api/heartbeat/1').then(answer => { window.held = answer.status; })")
        page.wait_for_function("() => window.held === 200")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        context.close()
    finally:
        process.kill()
        process.communicate()
