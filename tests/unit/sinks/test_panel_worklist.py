from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from usassist.config import PanelConfig
from usassist.sinks.panel.worklist.page import tells_where
from usassist.sinks.panel.worklist.watch import ListWatch
from usassist.sinks.worklist import Heartbeat, Worklist

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def write(path: Path, count: int, *, written: datetime = NOON, state: Any = "running") -> None:
    beat = Heartbeat(count=count, written_utc=written.isoformat(), stale_after_s=20.0, state=state)
    found = Worklist(notice="", heartbeat=beat, engine="e@1", threshold=None, studies=(), left_out={})
    path.write_bytes(msgspec.json.encode(found) + b" " * count)  # another size, whatever the clock of the disk


def test_a_list_is_live_only_as_long_as_its_count_moves_whatever_the_clock_says(tmp_path: Path) -> None:
    now_s = [100.0]
    clock = [NOON]
    path = tmp_path / "worklist.json"
    watch = ListWatch(path, now_s=lambda: now_s[0], utc=lambda: clock[0])
    assert watch.look().alive == "unreadable"
    write(path, 1)
    assert watch.look().alive == "live"
    clock[0] += timedelta(days=400)  # a clock that is set makes nothing old
    assert watch.look().alive == "live"
    now_s[0] += 21.0
    write(path, 1, state="running")
    assert watch.look().alive == "stale", "written again, but with the same count"
    write(path, 2)
    assert watch.look().alive == "live"
    write(path, 3, state="ended")
    assert watch.look().alive == "ended"
    path.write_text("{")
    seen = watch.look()
    assert seen.alive == "unreadable"
    assert seen.worklist is not None, "what was known is still shown, as old"
    write(path, 4)
    assert watch.look().alive == "live"
    path.unlink()
    assert watch.look().alive == "unreadable"


def test_a_list_that_was_old_before_the_page_began_is_stale_at_once(tmp_path: Path) -> None:
    path = tmp_path / "worklist.json"
    write(path, 1, written=NOON - timedelta(minutes=5))
    assert ListWatch(path, now_s=lambda: 1.0, utc=lambda: NOON).look().alive == "stale"


def test_places_are_told_on_this_machine_after_a_login_alone() -> None:
    assert tells_where(PanelConfig())
    assert not tells_where(PanelConfig(token=False))
    assert not tells_where(PanelConfig(host="0.0.0.0"))
    assert not tells_where(PanelConfig(public_url="https://clinic.example/list"))
