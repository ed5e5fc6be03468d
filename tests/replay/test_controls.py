"""A live session that is changed while it runs: recording, operating point, engine, source."""

from __future__ import annotations

import os
import secrets
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.replay.live_session import LiveSession
from usassist.bus import ControlAction, ControlBody, ControlState, Inbox, Subscriber
from usassist.session import open_session, read_manifest
from usassist.session.verify import verify_session

pytestmark = pytest.mark.slow

NULL = ("--source", "null:rate=30,size=96x160", "--backend", "null", "--no-page")


class Asker:
    """Asks as a viewer does, and waits for what comes of it."""

    def __init__(self, live: LiveSession) -> None:
        self._live = live
        self._inbox = Inbox(live.address)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self.seen: list[ControlBody] = []
        self._thread.start()

    def _listen(self) -> None:
        with Subscriber(self._live.address, ("control",)) as subscriber:
            while not self._over.is_set():
                self.seen += [message.body for message in subscriber.events(50)]

    def post(self, action: ControlAction, value: str) -> str:
        request = ControlBody(
            request_id=secrets.token_hex(4),
            action=action,
            value=value,
            t_control_ns=time.monotonic_ns(),
            state=ControlState.ASKED,
            sender="test",
        )
        self._live.until(lambda: self._inbox.send("control", request), "the inbox takes nothing")
        return request.request_id

    def outcome(self, request_id: str) -> ControlBody:
        def found() -> list[ControlBody]:
            return [
                body for body in self.seen if body.request_id == request_id and body.state is not ControlState.ASKED
            ]

        self._live.until(found, "no outcome came")
        return found()[0]

    def ask(self, action: ControlAction, value: str) -> ControlBody:
        return self.outcome(self.post(action, value))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._inbox.close()


def _wait_for_results(live: LiveSession, more: int = 30) -> None:
    came = len(live.results)
    live.until(lambda: len(live.results) > came + more, "no results come")


def _assert_sound(folder: str) -> None:
    report = verify_session(Path(folder))
    assert not report.problems, report.problems
    session = open_session(folder)
    assert session.gaps == ()
    assert len(session.frames) == len(session.results) > 10


def test_recordings_are_begun_and_closed_while_the_stream_goes_on(environment: dict[str, str], tmp_path: Path) -> None:
    with LiveSession(tmp_path, *NULL, "--no-record", environment=environment) as live, Asker(live) as asker:
        _wait_for_results(live)
        assert not (tmp_path / "out").exists()
        pressed = [asker.post(ControlAction.RECORD, "on") for _ in range(2)]  # two people at once
        assert [asker.outcome(one).state for one in pressed] == [ControlState.DONE] * 2
        assert "already" in asker.outcome(pressed[1]).reason
        _wait_for_results(live, 60)
        assert asker.ask(ControlAction.RECORD, "off").state is ControlState.DONE
        (first,) = (tmp_path / "out").iterdir()
        assert read_manifest(first).recording == "closed"
        assert asker.ask(ControlAction.RECORD, "off").state is ControlState.DONE
        assert asker.ask(ControlAction.RECORD, "on").state is ControlState.DONE
        _wait_for_results(live, 60)
        report = live.end()
    assert len(report["sessions"]) == 1
    assert len(report["folders"]) == 2
    assert report["restarts"] == {}
    for folder in report["folders"]:
        _assert_sound(folder)
    manifests = [read_manifest(Path(folder)) for folder in report["folders"]]
    assert [item.begun_on_request for item in manifests] == [True, True]
    assert [item.ended_on_request for item in manifests] == [True, False]
    numbers = [seen.frame_id for seen in live.results]
    assert numbers == sorted(numbers)
    asked = [body for body in asker.seen if body.state is ControlState.ASKED]
    assert len(asked) == len(report["changes"]) == 5


def test_a_recording_that_cannot_be_written_is_refused_with_the_reason(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file, and no folder")
    with LiveSession(tmp_path, *NULL, "--no-record", environment=environment) as live, Asker(live) as asker:
        _wait_for_results(live)
        refused = asker.ask(ControlAction.RECORD, "on")
        assert refused.state is ControlState.REFUSED
        assert "out" in refused.reason
        (tmp_path / "out").unlink()
        assert asker.ask(ControlAction.RECORD, "on").state is ControlState.DONE
        _wait_for_results(live, 60)
        report = live.end()
    _assert_sound(report["folders"][-1])
    assert report["recording_stopped"] == ""


@pytest.mark.long
def test_another_point_engine_or_source_is_a_new_session(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[stream]\nsources = ["null:rate=20,size=64x96"]\n', encoding="utf-8")
    options = (*NULL, "--config", str(tmp_path / "settings.toml"))
    with LiveSession(tmp_path, *options, environment=environment) as live, Asker(live) as asker:
        _wait_for_results(live)
        first = live.results[-1].session_id
        for action, value in (
            (ControlAction.POINT, "perfect"),
            (ControlAction.ENGINE, "nothing"),
            (ControlAction.PRECISION, "int3"),
            (ControlAction.SOURCE, "/etc/passwd"),
        ):
            assert asker.ask(action, value).state is ControlState.REFUSED
        assert live.results[-1].session_id == first
        assert asker.ask(ControlAction.POINT, "balanced").reason == "it is so already"

        assert asker.ask(ControlAction.POINT, "quiet").state is ControlState.DONE
        _wait_for_results(live)
        assert live.results[-1].session_id != first
        assert asker.ask(ControlAction.SOURCE, "null:rate=20,size=64x96").state is ControlState.DONE
        _wait_for_results(live)
        report = live.end()
    assert report["restarts"] == {}
    manifests = [read_manifest(Path(folder)) for folder in report["folders"]]
    points = [[engine.get("point") for engine in manifest.engines] for manifest in manifests]
    assert points == [["balanced"], ["quiet"], ["quiet"]]
    for folder in report["folders"]:
        _assert_sound(folder)
    assert [manifest.source["image_hw_px"] for manifest in manifests] == [[96, 160], [96, 160], [64, 96]]


@pytest.mark.long
def test_a_source_that_gives_nothing_leaves_the_one_that_ran(environment: dict[str, str], tmp_path: Path) -> None:
    fifo = tmp_path / "silent"
    os.mkfifo(fifo)
    (tmp_path / "settings.toml").write_text(f'[stream]\nsources = ["pipe:{fifo}"]\n', encoding="utf-8")
    options = (*NULL, "--config", str(tmp_path / "settings.toml"))
    with LiveSession(tmp_path, *options, environment=environment) as live, Asker(live) as asker:
        _wait_for_results(live)
        first = live.results[-1].session_id
        refused = asker.ask(ControlAction.SOURCE, "pipe")
        assert refused.state is ControlState.REFUSED
        assert "no frame came from it" in refused.reason
        _wait_for_results(live)
        assert live.results[-1].session_id != first
        report = live.end()
    assert report["restarts"] == {}
    _assert_sound(report["folders"][0])


def test_an_engine_that_cannot_be_opened_leaves_the_one_that_answered(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with (
        LiveSession(tmp_path, *NULL, engine="refuse,int8,0,0", environment=environment) as live,
        Asker(live) as asker,
    ):
        _wait_for_results(live)
        refused = asker.ask(ControlAction.PRECISION, "int8")
        assert refused.state is ControlState.REFUSED
        assert "no engine opens in int8 in this test" in refused.reason
        _wait_for_results(live, 60)
        assert asker.ask(ControlAction.POINT, "quiet").state is ControlState.DONE
        report = live.end()
    assert report["restarts"] == {}
    assert report["problems"] == []
    assert len(report["changes"]) == 2
