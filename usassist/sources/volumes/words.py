"""Known words of free text in headers. Free text may name a patient, so nothing but these words leaves this module."""

from __future__ import annotations

import re

__all__ = ["BODY_PARTS", "IMAGE_TYPES", "kernel_name", "known_words", "says_contrast"]

# word that is given → as it is written in descriptions (English, German, French, Spanish, Korean habits)
_WORDS: dict[str, str] = {
    "abdomen": r"abdom\w*|abd|liver|leber|pancreas|apct",
    "angio": r"angio\w*|cta|mra",
    "axial": r"axial\w*|ax|transvers\w*|tra",
    "bone": r"bones?|bone ?plus|knochen\w*|osseux|hueso",
    "brain": r"brain|hirn|cerebral\w*|neuro\w*",
    "chest": r"chest|thora\w*|lung\w*",
    "contrast": r"contrast\w*|post ?contrast|kontrast\w*|km|ce|ivc|iv",
    "coronal": r"coronal\w*|cor|koronar\w*",
    "dose": r"dose|dosis",
    "head": r"head|schae?del|schädel|kopf|cranial|cranium|skull|crane|craneo",
    "localizer": r"locali[sz]er\w*|scout\w*|topo\w*|surview\w*|scano\w*|scanogram",
    "mip": r"mip|maxip",
    "neck": r"neck|hals|cervical",
    "noncontrast": r"(non|pre) ?contrast|noncon\w*|nect|ncct|native?\w*|without( contrast)?|w ?o|unenhanced|plain",
    "pelvis": r"pelvi\w*|becken",
    "perfusion": r"perf\w*|ctp",
    "sagittal": r"sagittal\w*|sag",
    "soft": r"soft\w*|weichteil\w*|stnd|standard",
    "spine": r"spine|lumbar|lws|hws|bws",
    "subtraction": r"subtr\w*|sub",
    "vascular": r"venous|portal|arterial|delayed|venös|arteriell",
}
_PATTERNS = {word: re.compile(rf"(?<![^\W_])(?:{pattern})(?![^\W_])") for word, pattern in _WORDS.items()}

BODY_PARTS = frozenset(
    word
    for line in (
        "ABDOMEN ABDOMENPELVIS ANKLE AORTA ARM BLADDER BRAIN BREAST CAROTID CHEST CHESTABDOMEN CHESTABDPELVIS",
        "CHESTABDPELV CSPINE CTSPINE ELBOW EXTREMITY FACE FEMUR FOOT HAND HEAD HEADNECK HEART HIP JAW KIDNEY",
        "KNEE LEG LIVER LSPINE LUNG LSSPINE MAXILLA MANDIBLE NECK ORBIT PANCREAS PELVIS PROSTATE SHOULDER",
        "SINUS SKULL SPINE SPLEEN SSPINE TLSPINE TSPINE THORAX UTERUS WHOLEBODY WRIST",
    )
    for word in line.split()
)
"""Defined terms for Body Part Examined (PS3.16 annex L), without spaces."""

IMAGE_TYPES = frozenset(
    word
    for line in (
        "ORIGINAL DERIVED PRIMARY SECONDARY AXIAL LOCALIZER MPR MIP MINIP AVERAGE REFORMATTED VOLUME OTHER",
        "NONE HELIX SEQUENCE PERFUSION SUBTRACTION SCREEN_SAVE PROJECTION T1 T2 M R I P SE GR IR DIFFUSION",
        "ADC",
    )
    for word in line.split()
)

_REGIONS = frozenset({"abdomen", "brain", "chest", "head", "neck", "pelvis", "spine"})
_BOTH = re.compile(r"(?<!\w)w(ith)? (and )?(w ?o|without)(?!\w)")
_KERNELS = re.compile(
    r"[BHIJQTU][A-Z]{0,2}\d{2}[A-Z]{0,2}|FC\d{2}[A-Z]?|[A-FLU]|[EY][A-Z]|UB|"  # Siemens, Canon, Philips
    r"(STANDARD|SOFT|DETAIL|BONE|LUNG|EDGE|ULTRA|CHST|STND|HD ?)+(PLUS|\+)?|IMR|IDOSE|BRAIN"  # GE and others
)


def known_words(series: str, *others: str) -> tuple[str, ...]:
    """The known words of a description, each once, in alphabetical order.

    Parameters
    ----------
    series : description of the series
    others : of the protocol and the study, which speak of all series together: regions are taken of them, where that of
        the series names none, and nothing else
    """
    found = _words_of(series)
    for other in others:
        if not found & _REGIONS:
            found |= _words_of(other) & _REGIONS
    return tuple(sorted(found))


def _words_of(text: str) -> set[str]:
    plain = re.sub(r"[\s\-_./+,&]+", " ", text.lower())
    found = {word for word, pattern in _PATTERNS.items() if pattern.search(plain)}
    if _BOTH.search(plain):
        return found - {"contrast", "noncontrast"}  # the description of a study with both
    return found - {"contrast"} if "noncontrast" in found else found


def says_contrast(agent: str, words: tuple[str, ...]) -> bool | None:
    """Whether contrast medium was given, by Contrast/Bolus Agent and the words of the descriptions.

    Returns
    -------
    contrast : None where neither says it
    """
    plain = re.sub(r"[^a-z0-9]+", " ", agent.lower()).strip()
    if plain and plain not in {"none", "no", "n", "0", "ohne", "without", "no contrast", "non contrast", "sans", "nil"}:
        return True
    if plain or "noncontrast" in words:
        return False
    return True if {"contrast", "angio", "perfusion", "vascular"} & set(words) else None


def kernel_name(text: str) -> str:
    """The name of a kernel where it is formed as the makers form them; empty for any other text."""
    name = text.strip()
    return name if _KERNELS.fullmatch(name.upper()) else ""
