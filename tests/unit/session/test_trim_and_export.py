from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import numpy as np
import pytest

from tests.unit.session.conftest import COUNT
from usassist.common.pyav import av
from usassist.errors import SessionError, UsageError
from usassist.session import open_session, whole_message
from usassist.session.export import CSV_COLUMNS, export_csv, export_frames, export_video
from usassist.session.trim import trim_session
from usassist.session.verify import verify_session


def _packets(path: Path) -> list[tuple[int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.pts, bytes(packet)) for packet in container.demux(video=0) if packet.size]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("3", "9", range(3, 10)),
        ("6", "6", range(6, 7)),
        ("0.1s", "0.2s", range(3, 7)),
        (None, "4", range(5)),
        ("9", None, range(9, COUNT)),
    ],
)
def test_a_part_is_cut_out_bit_for_bit(
    recorded: Path, tmp_path: Path, begin: str | None, end: str | None, expected: range
) -> None:
    counts = trim_session(recorded, begin, end, tmp_path / "part")
    assert counts["frames"] == counts["results"] == len(expected)
    assert verify_session(tmp_path / "part").problems == []
    part, whole = open_session(tmp_path / "part"), open_session(recorded)
    assert [line.frame_id for line in part.frames] == list(expected)
    before = {line.frame_id: line.result for line in whole.lines()}
    assert all(line.result == before[line.frame_id] for line in part.lines())
    packets = [packet for name in ("frames.nut", "frames_2.nut") for packet in _packets(recorded / name)]
    kept = [packet for path in sorted((tmp_path / "part").glob("*.nut")) for packet in _packets(path)]
    assert kept == packets[expected.start : expected.stop]


def test_a_part_says_what_it_was_cut_from_and_keeps_what_was_said_of_it(recorded: Path, tmp_path: Path) -> None:
    trim_session(recorded, "4", "9", tmp_path / "part")
    part = open_session(tmp_path / "part")
    cut = part.manifest.cut_from
    assert cut is not None
    assert (cut["session_id"], cut["first_frame_id"], cut["last_frame_id"], cut["frames"]) == (
        part.manifest.session_id,
        4,
        9,
        COUNT,
    )
    assert [mark.frame_id for mark in part.marks] == [5]
    topics = [whole_message(record).topic.name for record in part.messages()]
    assert topics.count("frame") == topics.count("result") == 6
    assert topics[:2] == ["engine", "session"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in [tmp_path / "part", *(tmp_path / "part").iterdir()])


@pytest.mark.parametrize(("begin", "end"), [("90", "99"), ("5", "2"), ("x", None), ("1", "nans")])
def test_what_cannot_be_cut_is_said_and_nothing_is_left(
    recorded: Path, tmp_path: Path, begin: str, end: str | None
) -> None:
    with pytest.raises(UsageError):
        trim_session(recorded, begin, end, tmp_path / "part")
    assert not (tmp_path / "part").exists()


def test_the_table_has_a_row_for_every_nodule_and_every_frame_without(recorded: Path, tmp_path: Path) -> None:
    assert export_csv(open_session(recorded), tmp_path / "out.csv") == COUNT
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["frame_id"] for row in rows] == [str(number) for number in range(COUNT)]
    assert {row["state"] for row in rows} == {"finding"}
    assert float(rows[3]["t_s"]) == pytest.approx(0.1)
    assert float(rows[0]["score"]) == 0.875
    assert float(rows[0]["x1_px"]) < float(rows[0]["x2_px"])


def test_frames_are_exported_as_they_are(recorded: Path, tmp_path: Path) -> None:
    import cv2

    problems: list[str] = []
    session = open_session(recorded)
    assert export_frames(session, tmp_path / "png", problems) == COUNT
    for line, image in session.images():
        stored = cv2.imread(str(tmp_path / "png" / f"{line.frame_id:08d}.png"), cv2.IMREAD_UNCHANGED)
        assert image is not None
        np.testing.assert_array_equal(stored if stored.ndim == 2 else stored[..., ::-1], image)


def test_the_compact_copy_has_every_frame_and_is_not_lossless(recorded: Path, tmp_path: Path) -> None:
    problems: list[str] = []
    assert export_video(open_session(recorded), tmp_path / "out.mkv", problems) == COUNT
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].codec_context.name in ("libdav1d", "av1", "libaom-av1")
        assert sum(1 for _ in container.decode(video=0)) == COUNT
    assert (tmp_path / "out.mkv").stat().st_size < (recorded / "frames.nut").stat().st_size
    assert (tmp_path / "out.mkv").stat().st_mode & 0o077 == 0


def test_an_export_that_fails_leaves_nothing(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = open_session(recorded)

    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "rename", full)  # of folders
    monkeypatch.setattr(os, "replace", full)  # of files
    before = sorted(path.name for path in tmp_path.iterdir())
    for write in (
        lambda: export_csv(session, tmp_path / "out.csv"),
        lambda: export_frames(session, tmp_path / "png", []),
        lambda: trim_session(recorded, "1", "3", tmp_path / "part"),
    ):
        with pytest.raises(SessionError, match="the disk is full"):
            write()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
