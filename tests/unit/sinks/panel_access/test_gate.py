from __future__ import annotations

import re

import pytest
from starlette.websockets import WebSocketDisconnect

from tests.unit.sinks.panel_access.gated import HTML, TOKEN, logged_in, make_app, rules, visit
from usassist.sinks.panel.access import DEMO_PATHS, LIVE_PATHS, Gate, RunSecrets, hosted_rules

ORIGIN = {"origin": "http://127.0.0.1:7860"}
LIVE = "ws://127.0.0.1:7860/live"


@pytest.fixture
def gate() -> Gate:
    return Gate(make_app(), rules())


@pytest.mark.parametrize("path", ["/", "/config", "/metrics", "/assets/a.js", "/gradio_api/queue/data", "/nothing"])
def test_without_the_token_there_is_nothing(gate: Gate, path: str) -> None:
    answer = visit(gate).get(path, headers=HTML)
    assert answer.status_code == 401
    assert "Research use only" in answer.text
    assert "url" not in answer.text
    assert "script" not in answer.text
    program = visit(gate).get(path)
    assert program.status_code == 401
    assert program.headers["www-authenticate"].startswith("Bearer")
    assert len(program.text.splitlines()) == 1


def test_without_the_token_no_event_and_no_socket(gate: Gate) -> None:
    assert visit(gate).post("/gradio_api/queue/join", json={}, headers=ORIGIN).status_code == 401
    with pytest.raises(WebSocketDisconnect) as refused, visit(gate).websocket_connect(LIVE, headers=ORIGIN):
        pass
    assert (refused.value.code, refused.value.reason) == (1008, "log in first")


def test_the_token_is_exchanged_for_a_cookie_and_leaves_the_address(gate: Gate) -> None:
    browser = visit(gate)
    answer = browser.get(f"/?view=live&token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?view=live")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("usassist_7860=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    assert answer.headers["referrer-policy"] == "same-origin"
    assert browser.get("/").json()["url"] == "http://127.0.0.1:7860/"
    assert browser.get(f"/?token={TOKEN}").headers["location"] == "/", "of who is logged in too"
    with browser.websocket_connect(LIVE, headers=ORIGIN) as socket:
        assert socket.receive_text() == "a frame"


def test_a_link_on_another_site_is_asked_for_once_more_so_that_the_cookie_comes(gate: Gate) -> None:
    from_elsewhere = HTML | {"sec-fetch-site": "cross-site"}
    assert 'http-equiv="refresh"' in visit(gate).get("/", headers=from_elsewhere).text
    assert "http-equiv" not in visit(gate).get("/", headers=HTML | {"sec-fetch-site": "same-origin"}).text


def test_a_wrong_token_is_told_and_may_not_be_guessed_for_long(gate: Gate) -> None:
    browser = visit(gate)
    answers = [browser.get(f"/?token={'x' * 30}{number}", headers=HTML) for number in range(61)]
    assert {answer.status_code for answer in answers[:60]} == {401}
    assert "not right" in answers[0].text
    assert answers[60].status_code == 429
    assert 0 < int(answers[60].headers["retry-after"]) <= 60
    assert visit(gate).get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 401
    other = visit(gate, peer="10.0.0.2")
    assert other.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_program_brings_the_token_in_a_header(gate: Gate) -> None:
    with_token = {"authorization": f"Bearer {TOKEN}"}
    program = visit(gate, headers=with_token)
    assert program.get("/metrics").status_code == 200
    assert program.post("/gradio_api/queue/join", json={}).status_code == 200
    assert "set-cookie" not in program.get("/config").headers
    assert visit(gate).get("/metrics", headers={"authorization": "Bearer nothing"}).status_code == 401


def test_the_form_takes_the_token_where_there_is_no_password(gate: Gate) -> None:
    browser = visit(gate)
    wrong = browser.post("/login", data={"secret": "wrong"}, headers=ORIGIN | HTML)
    assert (wrong.status_code, "not right" in wrong.text) == (401, True)
    right = browser.post("/login", data={"secret": TOKEN}, headers=ORIGIN)
    assert (right.status_code, right.headers["location"]) == (303, "/")
    assert browser.get("/config").status_code == 200


@pytest.mark.parametrize(("language", "word"), [("de-CH,de;q=0.9", "Token"), ("ko", "토큰"), ("fr,en;q=0.5", "Token")])
def test_the_login_page_speaks_the_language_of_the_browser(gate: Gate, language: str, word: str) -> None:
    text = visit(gate).get("/", headers=HTML | {"accept-language": language}).text
    assert word in text
    assert f'lang="{language[:2] if language[:2] in ("de", "ko") else "en"}"' in text


def test_a_page_that_is_restarted_knows_its_visitors_and_that_of_another_run_does_not(gate: Gate) -> None:
    browser = logged_in(gate)
    cookies = dict(browser.cookies)
    again = visit(Gate(make_app(), rules()), cookies=cookies)
    assert again.get("/config").status_code == 200
    other = Gate(make_app(), rules(secrets=RunSecrets(TOKEN, "00" * 32)))
    assert visit(other, cookies=cookies).get("/config").status_code == 401


def test_logging_out_ends_the_session_and_what_it_holds_open(gate: Gate) -> None:
    with logged_in(gate) as browser:
        stolen = dict(browser.cookies)
        asked = browser.get("/logout", headers=HTML)
        assert '<form method="post" action="/logout">' in asked.text
        assert browser.get("/config").status_code == 200, "asking is not doing"
        with browser.websocket_connect(LIVE, headers=ORIGIN) as socket:
            socket.receive_text()
            done = browser.post("/logout", headers=HTML | ORIGIN)
            assert "Max-Age=0" in done.headers["set-cookie"]
            with pytest.raises(WebSocketDisconnect) as closed:
                socket.receive_text()
        assert closed.value.reason == "logged out"
    assert visit(gate, cookies=stolen).get("/config").status_code == 401


def test_what_other_sites_ask_for_is_refused(gate: Gate) -> None:
    browser = logged_in(gate)
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:7860"):
        assert browser.post("/gradio_api/queue/join", headers={"origin": origin}).status_code == 403
        assert browser.post("/logout", headers={"origin": origin}).status_code == 403
        with pytest.raises(WebSocketDisconnect), browser.websocket_connect(LIVE, headers={"origin": origin}):
            pass
    with pytest.raises(WebSocketDisconnect), browser.websocket_connect(LIVE):
        pass
    with pytest.raises(WebSocketDisconnect), browser.websocket_connect(LIVE.replace("live", "other"), headers=ORIGIN):
        pass


def test_names_that_are_not_ours_are_refused_before_the_login_page() -> None:
    gate = Gate(make_app(), rules(names=("cart.example",)))
    for host, status in {"evil.example": 421, "cart.example": 401, "[::1]:7860": 401, "localhost": 401}.items():
        assert visit(gate).get("/", headers={"host": host}).status_code == status


ANSWERED = {
    "GET": [
        "/",
        "/config",
        "/theme.css",
        "/assets/index.js",
        "/gradio_api/info",
        "/gradio_api/queue/data",
        "/gradio_api/call/freeze/1",
        "/manifest.json",
    ],
    "POST": ["/gradio_api/queue/join", "/gradio_api/call/freeze", "/gradio_api/run/freeze", "/gradio_api/cancel"],
}
REFUSED = {
    "GET": [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file/x",
        "/gradio_api/proxy=http://x/",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api/runs",
        "/gradio_api/openapi.json",
        "/gradio_api/upload_progress",
        "/gradio_api/vibe-code",
        "/gradio_api/deep_link",
        "/gradio_api/token",
        "/monitoring",
        "/docs",
        "/dev/reload",
        "/gradio_api/heartbeat",
        "/configuration",
        "/assets",
    ],
    "POST": [
        "/gradio_api/upload",
        "/gradio_api/stream/1",
        "/gradio_api/process_recording",
        "/gradio_api/vibe-edit",
        "/gradio_api/component_server",
    ],
}


def test_the_live_page_answers_its_own_paths_and_no_other(gate: Gate) -> None:
    browser = logged_in(gate)
    for method, paths in ANSWERED.items():
        for path in paths:
            assert browser.request(method, path, headers=ORIGIN).status_code == 200, (method, path)
    for method, paths in REFUSED.items():
        for path in paths:
            assert browser.request(method, path, headers=ORIGIN).status_code == 404, (method, path)
    assert browser.post("/config", headers=ORIGIN).status_code == 405
    assert browser.get("/gradio_api/queue/join").headers["allow"] == "POST"
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert browser.request(method, "/", headers=ORIGIN).status_code == 405


def test_the_demo_takes_uploads_up_to_its_limit_and_no_proxy() -> None:
    browser = logged_in(Gate(make_app(), rules(DEMO_PATHS.with_uploads(3 * 2**20))))
    assert browser.get("/gradio_api/file=/tmp/x.png").status_code == 200
    assert browser.get("/gradio_api/proxy=http://x/").status_code == 404
    assert browser.get("/metrics").status_code == 404
    sizes = {2 * 2**20: 200, 3 * 2**20 + 1: 413}
    for size, status in sizes.items():
        assert browser.post("/gradio_api/upload", content=b"x" * size).status_code == status
    assert browser.post("/gradio_api/queue/join", content=b"x" * (2**20 + 1)).status_code == 413


def test_a_body_without_a_length_is_cut_off_at_the_limit(gate: Gate) -> None:
    browser = logged_in(gate)
    parts = [b"x" * 2**18] * 5
    assert browser.post("/gradio_api/queue/join", content=iter(parts[:4])).json()["bytes"] == 2**20
    assert browser.post("/gradio_api/queue/join", content=iter(parts)).status_code == 413
    assert browser.post("/gradio_api/queue/join", headers={"content-length": "-1"}).status_code == 413


def test_every_answer_forbids_framing_sniffing_and_keeping(gate: Gate) -> None:
    browser = logged_in(gate)
    for answer in (browser.get("/"), visit(gate).get("/"), browser.get("/metrics"), browser.get("/nothing")):
        headers = answer.headers
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] in ("no-referrer", "same-origin")
        assert headers["cache-control"] == "no-store"
        assert "camera=()" in headers["permissions-policy"]
    assert "default-src 'self'" in browser.get("/").headers["content-security-policy"]
    assert "cache-control" not in browser.get("/assets/index.js").headers
    assert not re.search(r"https?:", browser.get("/").headers["content-security-policy"])


def test_a_hosted_demo_is_open_to_all_and_may_stand_in_a_frame() -> None:
    visitor = visit(Gate(make_app(), hosted_rules(DEMO_PATHS)), host="who.hf.space", peer="10.1.2.3")
    answer = visitor.get("/", headers={"x-forwarded-proto": "https"})
    assert answer.status_code == 200
    assert answer.json()["headers"]["x-forwarded-proto"] == "https"
    assert "x-frame-options" not in answer.headers
    assert "frame-ancestors *" in answer.headers["content-security-policy"]
    own = {"origin": "https://who.hf.space"}
    assert visitor.post("/gradio_api/queue/join", headers=own).status_code == 200
    assert visitor.post("/gradio_api/queue/join", headers={"origin": "https://evil"}).status_code == 403
    assert LIVE_PATHS.is_socket("/live")
