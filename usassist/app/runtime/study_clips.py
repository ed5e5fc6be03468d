"""The clips of a folder that holds a DICOM study, as ``usassist pacs listen`` and ``fetch`` write it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from usassist.dicom.network.store import INCOMING, STUDIES
from usassist.dicom.network.store_listing import StoredObject, is_store, read_objects
from usassist.errors import UsageError

__all__ = ["DICOM_SUFFIXES", "check_no_store", "study_clips"]

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
_MAX_NAMED = 5


def study_clips(folder: Path, paths: list[Path], on_left_out: Callable[[str], None]) -> list[str]:
    """Ultrasound images and cines in the order in which they were acquired.

    What replay does not play is left out and named: other modalities, and what was derived from ultrasound: reports,
    segmentations, secondary captures, PDF, those of usassist too. A file whose header is damaged stays, at the end, so
    that opening it says what is wrong.

    Parameters
    ----------
    folder : of the study
    paths : of its DICOM files
    on_left_out : called with one line for what is left out

    Returns
    -------
    clips : paths

    Raises
    ------
    UsageError
        If there is no ultrasound among them.
    """
    objects, damaged = read_objects(paths)
    played = sorted((item for item in objects if item.is_ultrasound), key=_order)
    left_out = Counter(item.kind for item in objects if not item.is_ultrasound)
    named = ", ".join(f"{count} {kind}" for kind, count in sorted(left_out.items()))
    if not played and not damaged:
        raise UsageError(
            f"{folder} holds no ultrasound to play, but {named or 'nothing'}; name a file to play it all the same"
        )
    if named:
        on_left_out(f"left out of {folder}: {named}")
    return [str(item.path) for item in played] + [str(path) for path in damaged]


def check_no_store(name: str) -> None:
    """See that a folder is not that of all received studies, of which one has to be named.

    Raises
    ------
    UsageError
        If it is.
    """
    try:
        folder = Path(name)
        if not is_store(folder):
            return
        found = sorted(str(path) for path in (folder / STUDIES).iterdir() if path.is_dir())
    except (OSError, ValueError):  # no path, or one that may not be read: opening it says so
        return
    if not found:
        raise UsageError(f"{folder} has no complete study yet; what has arrived in part is in {folder / INCOMING}")
    more = f" and {len(found) - _MAX_NAMED} more" if len(found) > _MAX_NAMED else ""
    raise UsageError(f"{folder} holds received studies; name one: {', '.join(found[:_MAX_NAMED])}{more}")


def _order(item: StoredObject) -> tuple[bool, str, str, int, str]:
    """By time of acquisition; what states none comes after, by series and instance number."""
    return not item.acquired, item.acquired, item.series_uid, item.number, item.path.name
