"""A new file of a calibration, which is never edited afterwards."""

from __future__ import annotations

from pathlib import Path

from usassist.errors import UsageError

__all__ = ["check_new"]


def check_new(out: Path, kind: str) -> None:
    """Check the name of a calibration file that is to be written.

    Parameters
    ----------
    out : of the file
    kind : what it holds, in a word

    Raises
    ------
    UsageError
        If it exists, or its name does not end in .toml.
    """
    if out.suffix != ".toml":
        raise UsageError(f"a {kind} file ends in .toml, not {out.name}; choose another name")
    if out.exists():
        raise UsageError(f"{out} is there already, and such files are never edited; choose another name")
