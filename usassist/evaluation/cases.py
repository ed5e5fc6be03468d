"""Cases: which frames belong together, and the TI-RADS category of a case."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError, SourceError

__all__ = ["TIRADS", "Cases", "block_of", "case_of", "read_cases", "read_names", "read_tirads"]

TIRADS = ("2", "3", "4a", "4b", "4c", "5")

_SWEEP_NUMBERS = 225  # TG3K file numbers per sweep, on average: 3585 frames of 16 sweeps


class Cases:
    """Assigns every frame to a case.

    The case is that of the case file, or the name up to its first underscore. Frames with identical pixels are
    assigned to one case, whatever their names.

    Parameters
    ----------
    listed : name → case; None = derived from the names
    """

    def __init__(self, listed: Mapping[str, str] | None = None) -> None:
        self._listed = listed
        self._case_by_digest: dict[str, str] = {}

    def of(self, name: str, image: npt.NDArray[np.uint8]) -> str:
        """The case of a frame.

        Raises
        ------
        ConfigError
            If there is a case file that does not list the frame.
        """
        if self._listed is not None and name not in self._listed:
            raise ConfigError(f"the case file has no line for {name}; add it")
        case = case_of(name) if self._listed is None else self._listed[name]
        digest = hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
        return self._case_by_digest.setdefault(digest, case)


def case_of(name: str) -> str:
    """The name up to its first underscore."""
    return name.split("_")[0]


def block_of(number: int) -> str:
    """The case of a frame that is named by a running number in the order of the sweeps.

    The boundaries of the sweeps are unknown; a block of file numbers as long as an average sweep counts as a case.
    """
    return f"block{number // _SWEEP_NUMBERS}"


def read_names(path: Path) -> list[str]:
    """Names of frames from a text file, separated by white space, without duplicates.

    Raises
    ------
    SourceError
        If the file cannot be read or is empty.
    """
    names = list(dict.fromkeys(_read_text(path).split()))
    if not names:
        raise SourceError(f"{path.name} names no frames; write one name per line")
    return names


def read_cases(path: Path) -> dict[str, str]:
    """Name → case from a text file with two words per line, name and case, separated by a comma or white space.

    Raises
    ------
    ConfigError
        If a line has another form or gives a name a second case.
    SourceError
        If the file cannot be read.
    """
    cases: dict[str, str] = {}
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        words = re.split(r"[,\s]+", line.strip()) if line.strip() else []
        if words and (len(words) != 2 or cases.get(words[0], words[1]) != words[1]):
            raise ConfigError(f"{path.name}, line {number}: must be a name and its one case, got {line.strip()!r}")
        if words:
            cases[words[0]] = words[1]
    return cases


def read_tirads(folder: Path, case: str) -> str:
    """TI-RADS category of a case from ``<case>.xml`` of the DDTI database.

    Returns
    -------
    category : one of :data:`TIRADS`, or ``unknown`` when the file is missing or damaged or has no category
    """
    try:
        root = ET.parse(folder / f"{case}.xml").getroot()
    except (OSError, ET.ParseError):
        return "unknown"
    category = (root.findtext("tirads") or "").strip().lower()
    return category if category in TIRADS else "unknown"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}; give a text file") from error
