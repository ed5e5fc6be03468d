from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from usassist.app.worklist.journal import Arrived, Begun, Ended, Event, Journal, Marked, Moved
from usassist.app.worklist.ledger import Ledger
from usassist.app.worklist.order import make_rows
from usassist.sinks.worklist import Row, State, Version


def arrived(study: str, number: int) -> Arrived:
    return Arrived(study=study, number=number, at_utc="2026-01-01T00:00:00+00:00", boot_id="", boot_s=0.0)


def ended(study: str, state: Any, score: float | None, version: int = 1, result: str = "") -> Ended:
    scored = Version(
        version=version,
        state=state,
        score=score,
        reason="why" if state == "failed" else "",
        code="refused" if state == "failed" else "",
        scored_utc="2026-01-01T00:00:00+00:00",
        scoring_s=1.0,
        engine="e@1",
        series="",
        result=result,
        montage=False,
    )
    return Ended(study=study, signature=f"{study}{version}", scored=scored)


def marked(study: str, version: int, *, is_read: bool = True, name: str = "m") -> Marked:
    at_utc = "2026-01-01T01:00:00+00:00"
    return Marked(study=study, is_read=is_read, version=version, name=name, at_utc=at_utc, waited_s=60.0)


def rows(events: list[Event], busy: dict[str, State] | None = None, threshold: float | None = None) -> tuple[Row, ...]:
    return make_rows(Ledger(events).entries.values(), busy=busy or {}, threshold=threshold)


def order(found: tuple[Row, ...]) -> list[tuple[str, str]]:
    return [(row.study, row.group) for row in found]


def test_events_are_there_again_and_a_line_that_was_cut_off_is_not(tmp_path: Path) -> None:
    events: list[Event] = [arrived("a", 1), Begun(study="a", signature="x"), ended("a", "suspicious", 0.9)]
    with Journal(tmp_path / "journal") as journal:
        journal.append(*events)
        journal.append(Moved(study="a", present=False))
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600
    whole = (tmp_path / "journal").read_bytes()
    lines = whole.count(b"\n")
    for cut in range(1, len(whole), 7):
        (tmp_path / "cut").write_bytes(whole[:cut])
        with Journal(tmp_path / "cut") as journal:
            assert len(journal.events) == whole[:cut].count(b"\n")
            assert journal.damaged == 0
            journal.append(marked("a", 1))
        with Journal(tmp_path / "cut") as journal:
            assert journal.events[-1] == marked("a", 1)
        (tmp_path / "cut").unlink()
    damaged = whole.replace(b'"begun"', b'"bxgun"')
    (tmp_path / "damaged").write_bytes(damaged)
    with Journal(tmp_path / "damaged") as journal:
        assert (len(journal.events), journal.damaged) == (lines - 1, 1)


def test_what_does_not_fit_on_the_disk_is_not_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    with Journal(tmp_path / "journal") as journal:
        journal.append(arrived("a", 1))
        before = (tmp_path / "journal").read_bytes()

        def full(descriptor: int, data: memoryview) -> int:
            if len(data) < 40:
                raise OSError(28, "No space left on device")
            return write(descriptor, data[:40])

        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            journal.append(arrived("b", 2))
        monkeypatch.undo()
        assert (tmp_path / "journal").read_bytes() == before
        journal.append(arrived("c", 2))
    with Journal(tmp_path / "journal") as journal:
        assert journal.events == [arrived("a", 1), arrived("c", 2)]


def test_suspicious_first_then_what_nobody_has_looked_at_then_the_queue_by_arrival() -> None:
    events: list[Event] = [arrived(study, number) for number, study in enumerate("abcdefgh", start=1)]
    events += [
        ended("a", "unflagged", 0.1),
        ended("b", "failed", None),
        ended("c", "suspicious", 0.6),
        ended("d", "unflagged", 0.2),
        ended("f", "suspicious", 0.9),
        ended("g", "suspicious", 0.6),
        ended("h", "unflagged", 0.1),
        marked("h", 1),
    ]
    found = rows(events, {"e": "waiting"})
    expected = [("f", "suspicious"), ("c", "suspicious"), ("g", "suspicious"), ("b", "not_scored")]
    expected += [("a", "queue"), ("d", "queue"), ("e", "queue"), ("h", "read")]
    assert order(found) == expected
    assert [row.place for row in found] == list(range(1, 9))
    assert {row.study: row.state for row in found}["e"] == "waiting"


def test_a_threshold_decides_instead_of_the_engine() -> None:
    events: list[Event] = [
        arrived("a", 1),
        ended("a", "suspicious", 0.5),
        arrived("b", 2),
        ended("b", "unflagged", 0.4),
    ]
    assert order(rows(events, threshold=0.6)) == [("a", "queue"), ("b", "queue")]
    assert order(rows(events, threshold=0.4)) == [("a", "suspicious"), ("b", "suspicious")]


def test_a_study_that_grows_is_never_less_urgent_until_somebody_has_read_it() -> None:
    events: list[Event] = [arrived("a", 1), ended("a", "suspicious", 0.9), ended("a", "unflagged", 0.1, 2)]
    (row,) = rows(events)
    assert (row.group, row.state, row.score, row.grown) == ("suspicious", "unflagged", 0.9, True)
    (row,) = rows([*events, marked("a", 2)])
    assert (row.group, row.read_utc != "", row.waiting_s) == ("read", True, 60.0)
    (row,) = rows([*events, marked("a", 2)], {"a": "arriving"})
    assert (row.group, row.read_utc, row.grown) == ("queue", "", True), "more images than were read"
    (row,) = rows([*events, marked("a", 1)])
    assert row.group == "queue", "the reader saw version 1 alone"
    (row,) = rows([*events, marked("a", 2), marked("a", 2, is_read=False, name="other")])
    assert row.group == "suspicious"


def test_a_study_whose_files_have_gone_keeps_its_place() -> None:
    events: list[Event] = [arrived("a", 1), ended("a", "suspicious", 0.9), Moved(study="a", present=False)]
    events += [arrived("b", 2), Moved(study="b", present=False)]
    found = rows(events)
    assert order(found) == [("a", "suspicious"), ("b", "not_scored")]
    assert not found[0].present


def test_a_mark_is_taken_once_and_a_lost_arrival_loses_no_study() -> None:
    ledger = Ledger([ended("a", "suspicious", 0.9, result="r")])
    assert ledger.entries["a"].versions[0].score == 0.9
    assert ledger.owner_of("r") == "a"
    ledger.apply(marked("a", 1))
    ledger.apply(marked("a", 1, is_read=False))
    assert ledger.entries["a"].read is not None, "the same file again"


def test_waiting_never_runs_backwards_when_the_clock_is_set() -> None:
    ledger = Ledger([arrived("a", 1)])
    later = Arrived(study="b", number=2, at_utc="2999-01-01T00:00:00+00:00", boot_id="", boot_s=0.0)
    ledger.apply(later)
    assert ledger.entries["b"].waiting_s() == 0.0
    assert ledger.entries["a"].waiting_s() > 0.0
