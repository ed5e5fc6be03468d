"""What is taken of free text."""

from __future__ import annotations

import pytest

from usassist.sources.volumes.words import kernel_name, known_words, says_contrast


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("HEAD 5.0 H31s", ("head",)),
        ("Schädel nativ", ("head", "noncontrast")),
        ("CT HEAD W/O CONTRAST", ("head", "noncontrast")),
        ("Head wo", ("head", "noncontrast")),
        ("ABD/PELVIS W IV CONTRAST", ("abdomen", "contrast", "pelvis")),
        ("CT HEAD W AND W/O CONTRAST", ("head",)),
        ("Topogram 0.6 T20f", ("localizer",)),
        ("KNOCHEN 1.0", ("bone",)),
        ("CTA_HEAD_NECK", ("angio", "head", "neck")),
        ("Bonewitz, Johann", ()),
        ("Müller, Hans 1950-01-01", ()),
        ("", ()),
    ],
)
def test_known_words_of_descriptions(text: str, words: tuple[str, ...]) -> None:
    assert known_words(text) == words


def test_of_protocol_and_study_only_regions_are_taken() -> None:
    assert known_words("5mm axial", "CTA HEAD", "CT ANGIO NECK W CONTRAST") == ("axial", "head")
    assert known_words("ABDOMEN venous", "HEAD") == ("abdomen", "vascular")


@pytest.mark.parametrize(
    ("agent", "words", "contrast"),
    [
        ("ISOVUE300/100", (), True),
        ("APPLIED", (), True),
        ("NONE", (), False),
        ("No contrast", ("contrast",), False),
        ("", ("noncontrast",), False),
        ("", ("angio",), True),
        ("", ("head",), None),
    ],
)
def test_contrast_by_agent_and_words(agent: str, words: tuple[str, ...], contrast: bool | None) -> None:
    assert says_contrast(agent, words) is contrast


@pytest.mark.parametrize(
    "name", ["B30s", "H60s", "Br40d", "FC21", "STANDARD", "BONEPLUS", "UB", "B", "YC", "Hr38f", "I31f"]
)
def test_names_of_kernels_are_kept(name: str) -> None:
    assert kernel_name(name) == name


@pytest.mark.parametrize("name", ["Jane Doe", "K DOE 4711", "DOE", "19500101", "", "B30s DOE"])
def test_other_text_is_no_kernel(name: str) -> None:
    assert kernel_name(name) == ""
