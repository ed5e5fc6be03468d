"""Private folders of visitors: who may see them, and when they are removed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import pytest

from usassist.app.demo.visits import Visits, private_root
from usassist.errors import UsageError


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def now_ns(self) -> int:
        return self.now

    def sleep_until(self, t_ns: int) -> None:
        self.now = max(self.now, t_ns)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_visitors_have_folders_and_secrets_of_their_own_that_nobody_else_may_read(tmp_path: Path) -> None:
    visits = Visits(tmp_path, Clock())
    first, second = visits.of("one"), visits.of("two")
    assert visits.of("one") is first
    assert first.folder != second.folder
    assert len({first.secret, second.secret, visits.shared.secret}) == 3
    assert {visit.folder.stat().st_mode & 0o777 for visit in (first, second, visits.shared)} == {0o700}
    assert visits.find(first.secret) is first
    assert visits.find("one") is None  # the name of a session is no secret
    assert visits.find("") is None


def test_the_end_of_a_visit_stops_what_runs_and_removes_its_files(tmp_path: Path) -> None:
    visits = Visits(tmp_path, Clock())
    visit, other = visits.of("one"), visits.of("two")
    (visit.folder / "upload.mp4").write_bytes(b"frames")
    visits.end("one")
    assert visit.stop.is_set()
    assert not visit.folder.exists()
    assert visits.find(visit.secret) is None
    assert other.folder.exists()
    assert not other.stop.is_set()
    with pytest.raises(UsageError, match="has ended"):
        visit.new_answer()
    visits.end("one")  # twice is the same


def test_a_visit_in_which_nothing_happens_ends_by_its_age(tmp_path: Path) -> None:
    clock = Clock()
    visits = Visits(tmp_path, clock, keep_s=100.0)
    old, used, fetched = visits.of("old"), visits.of("used"), visits.of("fetched")
    clock.now = 90 * 10**9
    visits.of("used")
    visits.find(fetched.secret)
    clock.now = 101 * 10**9
    assert visits.end_old() == 1
    assert [visit.folder.exists() for visit in (old, used, fetched)] == [False, True, True]
    assert visits.shared.folder.exists()


def test_only_the_answers_that_are_shown_are_kept(tmp_path: Path) -> None:
    visit = Visits(tmp_path, Clock()).of("one")
    folders = [visit.new_answer() for _ in range(3)]
    for folder in folders:
        folder.mkdir()
    visit.keep_only([folders[1]])
    assert [folder.exists() for folder in folders] == [False, True, False]
    assert visit.new_answer() not in folders


def test_too_many_visitors_are_told_to_come_later(tmp_path: Path) -> None:
    visits = Visits(tmp_path, Clock(), most=2)
    visits.of("one"), visits.of("two")
    with pytest.raises(UsageError, match="try again"):
        visits.of("three")
    visits.end("one")
    assert visits.of("three").folder.exists()


def test_the_root_is_private_and_removed_at_the_end(temporary: Path) -> None:
    with private_root() as root:
        assert root.stat().st_mode & 0o777 == 0o700
        Visits(root, Clock()).of("one")
    assert list(temporary.iterdir()) == []


def _hold(sender: object) -> None:
    with private_root() as root:
        (root / "frames").write_bytes(b"frames")
        sender.send(str(root))  # type: ignore[attr-defined]
        signal.pause()


def test_what_a_killed_process_left_is_removed_and_what_a_running_one_has_is_kept(temporary: Path) -> None:
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_hold, args=(sender,))
    process.start()
    left = Path(receiver.recv())
    with private_root():
        assert (left / "frames").exists()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with private_root():
        assert not left.exists()
