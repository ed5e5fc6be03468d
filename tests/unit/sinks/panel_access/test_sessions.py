from __future__ import annotations

import pytest

from usassist.sinks.panel.access.attempts import Attempts
from usassist.sinks.panel.access.session_cookie import LIFETIME_S, Sessions


class Clock:
    def __init__(self) -> None:
        self.s = 1.7e9

    def __call__(self) -> float:
        return self.s


def value_of(cookie: str) -> str:
    return cookie.split(";")[0]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sessions(clock: Clock) -> Sessions:
    return Sessions(b"key", name="usassist_1", path="/us", secure=True, now=clock)


def test_a_cookie_is_known_until_it_expires_and_renewed_before(sessions: Sessions, clock: Clock) -> None:
    cookie = sessions.begin()
    assert cookie.endswith(f"Max-Age={LIFETIME_S}; Path=/us; HttpOnly; SameSite=Strict; Secure")
    found = sessions.find(f"other=1; {value_of(cookie)}")
    assert found is not None
    assert not found.is_old
    clock.s += LIFETIME_S / 2
    old = sessions.find(value_of(cookie))
    assert old is not None
    assert old.is_old
    renewed = value_of(sessions.begin(old.id))
    clock.s += LIFETIME_S / 2
    assert sessions.find(value_of(cookie)) is None
    assert sessions.find(renewed) is not None


def test_a_cookie_that_was_changed_is_not_known(sessions: Sessions, clock: Clock) -> None:
    value = value_of(sessions.begin())
    name, _, rest = value.partition("=")
    session_id, issued, signature = rest.split(".")
    wrong = [
        f"{name}=other.{issued}.{signature}",
        f"{name}={session_id}.{int(issued) + 9}.{signature}",
        f"{name}={session_id}.{issued}.{'0' * 64}",
        f"{name}={session_id}.{issued}",
        f"{name}=",
        f"{name}=\udcff",
        "usassist_2=" + rest,
        "",
    ]
    assert [sessions.find(cookie) for cookie in wrong] == [None] * len(wrong)
    clock.s -= 3600
    assert sessions.find(value) is None, "made in the future"


def test_a_session_that_was_ended_is_not_known_by_any_of_its_cookies(sessions: Sessions) -> None:
    first = value_of(sessions.begin())
    found = sessions.find(first)
    assert found is not None
    second = value_of(sessions.begin(found.id))
    assert "Max-Age=0" in sessions.end(found)
    assert sessions.find(first) is None
    assert sessions.find(second) is None
    assert sessions.find(value_of(sessions.begin())) is not None


def test_failures_of_one_address_lock_it_for_a_minute(clock: Clock) -> None:
    attempts = Attempts(per_address=3, overall=100, now=clock)
    for _ in range(3):
        assert attempts.wait_s("a") == 0
        attempts.failed("a")
        clock.s += 10
    assert attempts.wait_s("a") == 30
    assert attempts.wait_s("b") == 0
    clock.s += 30
    assert attempts.wait_s("a") == 0
    attempts.failed("a")
    assert attempts.wait_s("a") == 10
    attempts.succeeded("a")
    assert attempts.wait_s("a") == 0


def test_failures_of_many_addresses_lock_all(clock: Clock) -> None:
    attempts = Attempts(per_address=3, overall=5, now=clock)
    for number in range(5):
        attempts.failed(f"10.0.0.{number}")
    assert attempts.wait_s("192.0.2.1") == 60
    clock.s += 61
    assert attempts.wait_s("192.0.2.1") == 0


def test_addresses_are_not_remembered_without_end(clock: Clock) -> None:
    attempts = Attempts(per_address=1, overall=10**6, now=clock)
    for number in range(1001):
        attempts.failed(str(number))
    assert attempts.wait_s("0") == 0
    assert attempts.wait_s("1000") == 60
