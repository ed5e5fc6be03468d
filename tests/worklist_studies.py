"""Simulated studies for tests of the worklist, whose files say what comes out, and a scorer that reads that."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from usassist.app.worklist.scorer import Score
from usassist.errors import SourceError

SCORER = "tests.worklist_studies:score"
MARKER = "first.dcm"
RAN: list[str] = []
"""Names of the studies that were scored in this process, each time they were."""


def make_study(folder: Path, says: str, *, files: int = 3, seed: int = 0) -> Path:
    """A folder of a few small files; the first one says what the scorer makes of them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text(f"{says} {seed}")
    for number in range(1, files):
        (folder / f"slice{number}.dcm").write_text(f"{seed} {number}")
    return folder


def score(study: Path, out: Path, options: dict[str, Any], beat: Callable[[], None]) -> Score:
    """What the first file says: a score, or a way to go wrong."""
    says = (study / MARKER if study.is_dir() else study).read_text().split()[0]
    time.sleep(options.get("takes_s", 0.0))
    if says == "refuse":
        raise SourceError(f"{study}/{MARKER} of {study.name} holds MR; give a head CT")
    if says == "crash":
        os.abort()
    if says == "hang":
        time.sleep(600)
    if says == "memory":
        bytearray(10**9)
    if says == "raise":
        raise RuntimeError(f"the name is {study.name}")
    if says == "print":
        os.write(1, f"{study}\n".encode())
        os.write(2, f"{study}\n".encode())
        says = "0.1"
    if says == "none":
        return Score(found=None, score=None, engine="test@1", reason=f"no answer for {study.name}")
    RAN.append(study.name)
    out.mkdir()
    (out / "montage.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    value = float(says)
    return Score(found=value >= 0.5, score=value, engine="test@1", series="0123456789ab")
