from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

import usassist.sources
from usassist.errors import SourceError, UsageError
from usassist.sources import open_source, parse_crop
from usassist.sources.clip import Timeline


@pytest.mark.parametrize("address", ["", "   "])
def test_empty_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"empty; give .*clip:, dicom:, images:, null:, phantom:"):
        open_source(address, session_id="s")


@pytest.mark.parametrize("address", ["camera:0", "ftp://host/stream"])
def test_unknown_kind_is_refused_and_the_known_are_named(address: str) -> None:
    with pytest.raises(UsageError, match=r"no source named (camera|ftp); give a path, or .*clip:, dicom:, images:"):
        open_source(address, session_id="s")


def test_address_that_cannot_be_a_path_is_one_clear_line() -> None:
    for address in ("a\0b", "x" * 5000):
        with pytest.raises(SourceError, match="; check the path"):
            open_source(address, session_id="s")


def test_crop_word_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="crop must be auto, none or"):
        open_source("null:", session_id="s", crop="whole")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "crop"),
    [("auto", "auto"), (" None ", "none"), ("1,2,30,40", (1, 2, 30, 40)), ("1, 2,30, 40", (1, 2, 30, 40))],
)
def test_crop_is_read_as_it_is_written(text: str, crop: object) -> None:
    assert parse_crop(text) == crop


@pytest.mark.parametrize("text", ["", "1,2,3", "1,2,3,4,5", "a,b,c,d", "all"])
def test_crop_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not auto, none or x1,y1,x2,y2"):
        parse_crop(text)


def test_public_names_are_sorted() -> None:
    assert usassist.sources.__all__ == sorted(usassist.sources.__all__, key=lambda name: (name[0].islower(), name))


def due_ms(stamps: list[int | None]) -> list[float]:
    timeline = Timeline(40_000_000)
    return [timeline.due_ns(stamp, Fraction(1, 1000)) / 1e6 for stamp in stamps]


@pytest.mark.parametrize(
    ("stamps", "due"),
    [
        ([1000, 1040, 1100, 1400], [0, 40, 100, 400]),  # variable frame rate
        ([None, 0, 40], [0, 40, 80]),  # the first stamp is missing
        ([None, None, None], [0, 40, 80]),
        ([0, None, 100], [0, 40, 100]),
        ([0, 40, 40, 80], [0, 40, 80, 120]),  # a stamp twice
        ([0, 40, 20, 60], [0, 40, 80, 120]),  # a stamp that falls back
        ([0, 40, 9_000_000, 9_000_040], [0, 40, 80, 120]),  # a leap
        ([0, 40, -9_000_000, -8_999_960], [0, 40, 80, 120]),
        ([0, 9000], [0, 9000]),  # a pause
    ],
)
def test_due_times_never_fall_whatever_the_stamps(stamps: list[int | None], due: list[float]) -> None:
    assert due_ms(stamps) == due


def test_path_with_a_colon_is_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    folder.mkdir()
    with pytest.raises(SourceError, match="holds no png"):
        open_source(str(folder), session_id="s")
