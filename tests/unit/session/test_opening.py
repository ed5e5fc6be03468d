from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.recordings import record_session
from tests.samples import make_frame
from tests.unit.session.conftest import COUNT
from usassist.bus import frame_from
from usassist.errors import SessionError
from usassist.session import open_session, whole_message


def _frame(number: int) -> np.ndarray:
    return make_frame(number, channels=1 if number < 8 else 3).image


def test_frames_come_with_their_results(recorded: Path) -> None:
    session = open_session(recorded)
    assert session.problems == ()
    assert session.gaps == ()
    lines = list(session.lines())
    assert [line.frame_id for line in lines] == list(range(COUNT))
    assert [line.result["frame_id"] for line in lines if line.result] == list(range(COUNT))
    assert [mark.frame_id for mark in session.marks] == [3, 5]


def test_pixels_come_back_as_they_were_published(recorded: Path) -> None:
    problems: list[str] = []
    pictures = list(open_session(recorded).images(problems))
    assert problems == []
    for line, image in pictures:
        assert image is not None
        np.testing.assert_array_equal(image, _frame(line.frame_id))


def test_messages_of_frames_get_their_pixels_back(recorded: Path) -> None:
    session = open_session(recorded)
    images = {line.frame_id: image for line, image in session.images()}
    heads = [record for record in session.messages() if record.without_pixels]
    assert len(heads) == COUNT
    for number, record in enumerate(heads):
        frame = frame_from(whole_message(record, images[number]))
        assert frame.frame_id == number
        np.testing.assert_array_equal(frame.image, _frame(number))


@pytest.mark.parametrize("rate_hz", [60.0, 59.94, 25.0, 7.3, 900.0])
def test_a_picture_belongs_to_its_line_at_any_rate_also_where_frames_were_dropped(
    rate_hz: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    from tests import recordings

    monkeypatch.setattr(recordings, "SESSION", msgspec.structs.replace(recordings.SESSION, rate_hz=rate_hz))
    ids = [0, 1, 2, 5, 6, 40, 41, 1000, 1001, 100_000]
    record_session(tmp_path / "s", [make_frame(i) for i in ids])
    pictures = list(open_session(tmp_path / "s").images())
    assert [line.frame_id for line, _ in pictures] == ids
    for line, image in pictures:
        assert image is not None
        np.testing.assert_array_equal(image, make_frame(line.frame_id).image)


def test_frames_that_never_arrived_are_gaps(tmp_path: Path) -> None:
    record_session(tmp_path / "s", [make_frame(i) for i in (0, 1, 5, 6)], without_results=[6])
    gaps = [str(gap) for gap in open_session(tmp_path / "s").gaps]
    assert gaps == [
        "frame 2 to 4: it never arrived, or its line is lost",
        "result 6: it had not arrived when the recording ended",
    ]


def test_what_a_killed_recorder_leaves_can_be_read_and_its_end_is_told(killed: Path) -> None:
    session = open_session(killed)
    assert len(session.frames) == COUNT
    assert len(session.results) == COUNT - 1
    assert len([image for _, image in session.images() if image is not None]) >= 8
    assert any("results.jsonl breaks off in the middle of a line" in line for line in session.problems)
    last = session.gaps[-1]
    assert (last.topic, last.first_frame_id, last.last_frame_id) == ("frame", COUNT, None)
    assert "not closed in order" in last.reason


@pytest.mark.parametrize("name", ["session.toml", "frames.jsonl", "results.jsonl", "marks.jsonl", "bus.log"])
def test_a_missing_file_is_told_and_the_rest_is_read(recorded: Path, name: str) -> None:
    (recorded / name).unlink()
    session = open_session(recorded)
    assert any(name in line for line in session.problems)
    assert len(session.frames) == (0 if name == "frames.jsonl" else COUNT)
    assert len(session.results) == (0 if name == "results.jsonl" else COUNT)


@pytest.mark.parametrize("name", ["frames.nut", "frames_2.nut"])
def test_without_a_video_its_frames_have_no_picture(recorded: Path, name: str) -> None:
    (recorded / name).unlink()
    problems: list[str] = []
    found = {line.file for line, image in open_session(recorded).images(problems) if image is not None}
    assert found == {"frames.nut", "frames_2.nut"} - {name}
    assert name in problems[0]


def test_a_damaged_picture_does_not_put_another_in_its_place(recorded: Path) -> None:
    path = recorded / "frames.nut"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    problems: list[str] = []
    pictures = [(line, image) for line, image in open_session(recorded).images(problems) if line.frame_id < 8]
    assert problems
    assert 0 < sum(image is None for _, image in pictures) < 8
    for line, image in pictures:
        if image is not None:
            np.testing.assert_array_equal(image, _frame(line.frame_id))


def test_zeros_at_the_end_of_a_file_of_lines_are_told(recorded: Path) -> None:
    with (recorded / "frames.jsonl").open("ab") as file:
        file.write(bytes(4096))
    session = open_session(recorded)
    assert len(session.frames) == COUNT
    assert any("4096 bytes" in line for line in session.problems)


def test_what_is_no_session_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    for name, words in (("empty", "holds no recorded session"), ("file", "is a file"), ("nothing", "is not there")):
        with pytest.raises(SessionError, match=words):
            open_session(tmp_path / name)
