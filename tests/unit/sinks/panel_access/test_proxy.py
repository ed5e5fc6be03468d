"""What nginx and Caddy send with the settings of docs/access.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from tests.unit.sinks.panel_access.gated import HTML, TOKEN, make_app, rules, visit
from usassist.sinks.panel.access import Gate

# nginx: proxy_set_header Host $host, X-Forwarded-For $proxy_add_x_forwarded_for, X-Forwarded-Proto $scheme.
NGINX = {"host": "us.example", "x-forwarded-for": "203.0.113.7", "x-forwarded-proto": "https"}
# Caddy sets these by itself.
CADDY = NGINX | {"x-forwarded-host": "us.example", "via": "1.1 Caddy"}
PUBLIC = "https://us.example/live-page"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    return Gate(make_app(), rules(public_url=PUBLIC, token_file=str(token)))


def enter(gate: Gate, headers: dict[str, str], prefix: str = "") -> TestClient:
    """A visitor who comes through the proxy with the token; the client keeps the cookie as for the public address."""
    browser = visit(gate, headers=headers)
    answer = browser.get(f"{prefix}/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/live-page/")
    cookie = answer.headers["set-cookie"]
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/live-page"} <= set(cookie.split("; "))
    browser.headers["cookie"] = cookie.split(";")[0]
    return browser


@pytest.mark.parametrize("headers", [NGINX, CADDY])
@pytest.mark.parametrize("prefix", ["", "/live-page"])  # taken off by the proxy, or not
def test_through_a_proxy_the_page_is_at_its_public_address(gate: Gate, headers: dict[str, str], prefix: str) -> None:
    browser = enter(gate, headers, prefix)
    asked = browser.get(f"{prefix}/config").json()
    assert asked["url"] == f"{PUBLIC}/config"
    assert asked["root"] == "/live-page"
    assert asked["headers"]["host"] == "us.example"
    assert not [name for name in asked["headers"] if name.startswith("x-forwarded")]
    own = {"origin": "https://us.example"}
    assert browser.post(f"{prefix}/gradio_api/queue/join", headers=own).status_code == 200
    with browser.websocket_connect(f"{prefix}/live", headers=own) as socket:
        assert socket.receive_text() == "a frame"
    other = {"origin": "https://evil.example"}
    assert browser.post(f"{prefix}/gradio_api/queue/join", headers=other).status_code == 403
    with pytest.raises(WebSocketDisconnect), browser.websocket_connect(f"{prefix}/live", headers=other):
        pass


def test_forms_of_the_login_page_lead_to_the_public_address(gate: Gate) -> None:
    assert 'action="/live-page/login"' in visit(gate, headers=NGINX).get("/", headers=HTML).text


def test_a_proxy_that_keeps_its_own_name_in_the_header_host_works_too(gate: Gate) -> None:
    browser = enter(gate, NGINX | {"host": "127.0.0.1:7860"})
    assert browser.post("/gradio_api/queue/join", headers={"origin": "https://us.example"}).status_code == 200


def test_attempts_are_counted_for_the_visitor_whom_the_told_proxy_names(gate: Gate) -> None:
    def wrong(forwarded: str, peer: str = "127.0.0.1") -> int:
        headers = NGINX | {"x-forwarded-for": forwarded}
        return visit(gate, headers=headers, peer=peer).get("/?token=wrong").status_code

    # What a visitor has invented stands before what the proxy has added.
    assert {wrong(f"10.9.8.{number}, 203.0.113.7") for number in range(60)} == {401}
    assert wrong("203.0.113.7") == 429
    assert wrong("203.0.113.8") == 401


def test_what_was_not_encrypted_on_its_way_is_sent_to_the_public_address(gate: Gate) -> None:
    plain = visit(gate, headers=NGINX | {"x-forwarded-proto": "http"}).get(f"/?token={TOKEN}")
    assert (plain.status_code, plain.text) == (421, f"this page is at {PUBLIC}/\n")
    beside = visit(gate, headers=NGINX, peer="203.0.113.9").get(f"/?token={TOKEN}")
    assert (beside.status_code, "set-cookie" in beside.headers) == (421, False)


def test_who_is_no_told_proxy_is_not_believed() -> None:
    forged = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "forwarded": "host=evil"}
    page = visit(Gate(make_app(), rules()), headers=forged)
    page.get(f"/?token={TOKEN}")
    asked = page.get("/config").json()
    assert asked["url"] == "http://127.0.0.1:7860/config"
    assert not {"x-forwarded-host", "x-forwarded-proto", "forwarded"} & asked["headers"].keys()


def test_on_the_machine_itself_the_page_is_also_at_its_own_address(gate: Gate) -> None:
    beside = visit(gate).get(f"/?token={TOKEN}")
    assert (beside.status_code, beside.headers["location"]) == (303, "/")
