"""What the demo page takes, and what it says of it."""

from __future__ import annotations

import string

import pytest

from usassist.app.demo.limits import LIMITS, Limits, allow, stored_name
from usassist.app.demo.status import file_text, limits_text
from usassist.errors import UsageError
from usassist.words import languages, load_words

HD, UHD = (720, 1280), (2160, 3840)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Smith^Jane 1970.MP4", "upload.mp4"),
        ("cine.avi", "upload.avi"),
        ("sweep.mkv", "upload.mkv"),
        ("IM0001.dcm", "upload.dcm"),
        ("IM0001", "upload"),
        ("1.2.840.113619.2.55.3", "upload"),
        ("../../etc/frame.png", "upload.png"),
    ],
)
def test_a_file_is_kept_under_a_name_that_is_not_its_own(name: str, kept: str) -> None:
    assert stored_name(name, 1000) == kept


@pytest.mark.parametrize(
    ("name", "size", "told"),
    [
        ("letter.docx", 10, "is not taken"),
        ("clip.exe", 10, "is not taken"),
        ("clip.mp4", 0, "is empty"),
        ("clip.mp4", LIMITS.file_bytes + 1, "at most 200 MiB"),
    ],
)
def test_other_files_are_refused_with_advice(name: str, size: int, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        stored_name(name, size)


def test_a_clip_within_the_limits_is_answered_whole() -> None:
    found = allow(HD, 30.0, 300)
    assert not found.is_cut
    assert found.seconds == pytest.approx(10.0)
    assert file_text(found, load_words("en", "demo")) == "1280 × 720 px, 300 frames, 10.0 s."


def test_an_hour_is_cut_to_a_minute_and_that_is_said_before_anything_is_answered() -> None:
    found = allow(HD, 30.0, 108_000)
    assert found.count == 1800
    assert found.is_cut
    text = file_text(found, load_words("en", "demo"))
    assert "first 1800 of its 108000 frames (60.0 of 3600.0 s)" in text
    assert "usassist replay" in text


def test_a_fast_clip_is_cut_by_its_number_of_frames() -> None:
    assert allow((240, 320), 200.0, 100_000).count == 3600


def test_large_frames_are_taken_and_fewer_of_them() -> None:
    found = allow(UHD, 30.0, 1800)
    assert found.count == 400
    assert found.allowed_s == pytest.approx(400 / 30)
    assert found.count * UHD[0] * UHD[1] <= LIMITS.clip_px


def test_frames_that_are_too_large_are_refused() -> None:
    with pytest.raises(UsageError, match="too large"):
        allow((4320, 7680), 30.0, 10)


def test_a_source_that_does_not_state_its_length_is_cut_too() -> None:
    found = allow(HD, None, None)
    assert found.count == 3600
    assert not found.is_cut
    assert "At most the first 3600 frames" in file_text(found, load_words("en", "demo"))


def test_frames_without_a_rate_are_counted() -> None:
    words = load_words("en", "demo")
    assert file_text(allow(HD, None, 2), words) == "1280 × 720 px, 2 frames; their rate is not stated."
    assert "At most the first 3600 frames" in file_text(allow(HD, None, 5000), words)


def test_a_picture_is_called_one() -> None:
    assert file_text(allow((600, 800), 10.0, 1), load_words("en", "demo")) == "Picture of 800 × 600 px."


def test_every_language_has_the_same_words_with_the_same_places() -> None:
    def places(code: str) -> dict[str, set[str]]:
        texts = load_words(code, "demo").texts
        return {key: {name for _, name, _, _ in string.Formatter().parse(text) if name} for key, text in texts.items()}

    english = places("en")
    assert all(places(code) == english for code in languages())


def test_the_limits_are_told_in_every_language() -> None:
    for code in ("de", "en", "ko"):
        text = limits_text(load_words(code, "demo"), Limits(file_bytes=5 * 2**20, clip_s=7.0, frames=99))
        assert all(number in text for number in ("5", "7", "99"))
