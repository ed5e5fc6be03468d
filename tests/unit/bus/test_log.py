"""The message log: what was cut off or damaged does not keep the rest from being read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.samples import SESSION, make_result
from usassist.bus import LogReader, MessageLogWriter, read_log
from usassist.bus.codec import encode, encode_result
from usassist.bus.topics import TOPICS
from usassist.errors import SchemaVersionError, SessionError

MESSAGES = [
    bytes(encode(TOPICS["session"], "us0", 0, 1, SESSION, {})),
    *(bytes(encode_result(make_result(number), number, number)) for number in range(4)),
]
HEAD_BYTES = 12
RECORD_HEAD_BYTES = 9


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "bus.log"
    with MessageLogWriter(path) as writer:
        for number, data in enumerate(MESSAGES):
            writer.append(data, without_pixels=number == 1)
    return path


def _start(number: int) -> int:
    """Where a record begins."""
    return HEAD_BYTES + sum(RECORD_HEAD_BYTES + len(data) for data in MESSAGES[:number])


def _damage(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_what_was_written_comes_back(log: Path) -> None:
    reader = LogReader(log)
    records = list(reader)
    assert [item.data for item in records] == MESSAGES
    assert [item.without_pixels for item in records] == [False, True, False, False, False]
    assert (reader.torn_bytes, reader.damaged_at) == (0, [])


@pytest.mark.parametrize("cut_bytes", [1, 5, len(MESSAGES[-1]), len(MESSAGES[-1]) + RECORD_HEAD_BYTES - 1])
def test_a_log_that_was_cut_off_is_read_to_its_last_whole_record_and_the_rest_is_told(
    log: Path, cut_bytes: int
) -> None:
    content = log.read_bytes()
    log.write_bytes(content[:-cut_bytes])
    reader = LogReader(log)
    assert [item.data for item in reader] == MESSAGES[:-1]
    assert reader.torn_bytes == len(MESSAGES[-1]) + RECORD_HEAD_BYTES - cut_bytes


def test_zeros_that_a_disk_left_at_the_end_are_not_taken_for_records(log: Path) -> None:
    with log.open("ab") as file:
        file.write(bytes(5000))
    reader = LogReader(log)
    assert [item.data for item in reader] == MESSAGES
    assert reader.torn_bytes == 5000


@pytest.mark.parametrize("number", range(len(MESSAGES)))
@pytest.mark.parametrize("offset", [0, 1, 2, 3, 6, RECORD_HEAD_BYTES, 200])
def test_a_flipped_bit_costs_one_record_and_is_told(log: Path, number: int, offset: int) -> None:
    _damage(log, _start(number) + offset)
    reader = LogReader(log, past_damage=True)
    assert [item.data for item in reader] == [data for index, data in enumerate(MESSAGES) if index != number]
    assert reader.damaged_at == [_start(number)] or (number == len(MESSAGES) - 1 and reader.torn_bytes > 0)


@pytest.mark.parametrize("offset", [1, 200])
def test_a_reader_that_wants_everything_stops_at_damage_and_says_where(log: Path, offset: int) -> None:
    _damage(log, _start(2) + offset)
    found = []
    with pytest.raises(SessionError, match=f"is damaged at byte {_start(2)}"):
        found.extend(read_log(log))


def test_what_is_no_log_or_a_newer_one_is_refused(tmp_path: Path, log: Path) -> None:
    with pytest.raises(SessionError, match="cannot be read"):
        list(read_log(tmp_path / "nothing.log"))
    (tmp_path / "other.log").write_bytes(b"something else entirely")
    with pytest.raises(SessionError, match="is not a message log"):
        list(read_log(tmp_path / "other.log"))
    content = bytearray(log.read_bytes())
    content[8] = 2
    log.write_bytes(content)
    with pytest.raises(SchemaVersionError, match="has version 2, this usassist reads 1"):
        list(read_log(log))
