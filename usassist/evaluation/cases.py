"""Which frames belong together, and what is known about their cases."""

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
    """Gives every frame its case.

    A case is what the file of cases says, else the name up to its first underscore. Frames that are the same picture
    pixel by pixel are put into one case whatever they are called.

    Parameters
    ----------
    listed : name → case; None = by the names
    """

    def __init__(self, listed: Mapping[str, str] | None = None) -> None:
        self._listed = listed
        self._of_picture: dict[str, str] = {}

    def of(self, name: str, image: npt.NDArray[np.uint8]) -> str:
        """The case of a frame.

        Raises
        ------
        ConfigError
            If there is a file of cases and it does not name the frame.
        """
        if self._listed is not None and name not in self._listed:
            raise ConfigError(f"the file of cases has no line for {name}; add it")
        case = case_of(name) if self._listed is None else self._listed[name]
        digest = hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
        return self._of_picture.setdefault(digest, case)


def case_of(name: str) -> str:
    """The name up to its first underscore."""
    return name.split("_")[0]


def block_of(number: int) -> str:
    """The case of a frame named by a running number that follows the sweeps.

    The borders of the sweeps are not known; a block of file numbers as long as an average sweep counts as a case.
    """
    return f"block{number // _SWEEP_NUMBERS}"


def read_names(path: Path) -> list[str]:
    """Names of frames from a text file, split at white space, each once.

    Raises
    ------
    SourceError
        If the file cannot be read or is empty.
    """
    names = list(dict.fromkeys(_read_text(path).split()))
    if not names:
        raise SourceError(f"{path.name} names no frames; write one name a line")
    return names


def read_cases(path: Path) -> dict[str, str]:
    """Name → case from a text file with two words a line: name and case, with a comma or white space between.

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
    category : one of :data:`TIRADS`, or ``unknown`` when there is no file, it is damaged, or it does not say
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
