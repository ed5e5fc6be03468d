from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from usassist.common.append_file import AppendFile


def test_records_are_written_at_once_and_private(tmp_path: Path) -> None:
    with AppendFile(tmp_path / "lines") as file:
        file.append(b"one\n")
        file.append(memoryview(b"two\n"))
        assert (tmp_path / "lines").read_bytes() == b"one\ntwo\n"
        assert file.size == 8
    assert (tmp_path / "lines").stat().st_mode & 0o777 == 0o600


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        AppendFile(tmp_path / "lines")
    assert (tmp_path / "lines").read_bytes() == b"mine"


def test_a_record_that_is_written_in_part_is_removed(tmp_path: Path) -> None:
    class Full:
        """Takes five bytes and no more, as a disk that fills up in the middle of a record."""

        def __init__(self, file: Any) -> None:
            self.file, self.left = file, 5

        def write(self, data: memoryview) -> int:
            if self.left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken, self.left = self.file.write(data[: self.left]), 0
            return int(taken)

        def fileno(self) -> int:
            return int(self.file.fileno())

        def close(self) -> None:
            self.file.close()

    with AppendFile(tmp_path / "lines") as file:
        file.append(b"whole\n")
        file._file = Full(file._file)  # type: ignore[assignment]
        with pytest.raises(OSError, match="No space left"):
            file.append(b"this does not fit\n")
    assert (tmp_path / "lines").read_bytes() == b"whole\n"
