"""A recorded sweep as DICOM objects in a new folder: all that are asked for, or none."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from usassist.dicom.common import write_dataset
from usassist.dicom.objects.cine import write_cine
from usassist.dicom.objects.content import SweepContent
from usassist.dicom.objects.secondary import write_secondary
from usassist.dicom.study import StudyContext
from usassist.errors import DicomError, UsageError
from usassist.session.export.sweep_content import sweep_content
from usassist.session.opening import RecordedSession
from usassist.session.writing import new_folder

__all__ = ["KINDS", "ExportedSweep", "export_dicom"]

_LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
_FULL = (errno.ENOSPC, errno.EDQUOT)

Tick = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExportedSweep:
    """What was written.

    Attributes
    ----------
    files : of each kind that was asked for, its files; none where the sweep has nothing of it
    content : that they were made of
    """

    files: dict[str, list[Path]]
    content: SweepContent


def export_dicom(
    session: RecordedSession,
    out: Path,
    *,
    study: StudyContext | None = None,
    only: Sequence[str] = (),
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> ExportedSweep:
    """Write the objects of a sweep. The folder appears when all are written; a failure or Ctrl-C before leaves nothing.

    Parameters
    ----------
    session : that was closed and can be read whole; it is not changed
    out : a new or empty folder
    study : that the objects belong to; None = no identity, and a study UID from the session
    only : kinds of :data:`KINDS`; empty = all. Objects refer to those that were left out as well
    on_step : called with the number of frames that were worked on, and how many there are to work on

    Raises
    ------
    UsageError
        If a kind is not known, a library is missing, or the folder lies in the session.
    SessionError
        If the session is still being recorded or is damaged, or the folder exists or cannot be written.
    DicomError
        If an object cannot be made.
    """
    unknown = sorted(set(only) - set(KINDS))
    if unknown:
        raise UsageError(f"{unknown[0]!r} is no kind of object; known are {', '.join(KINDS)}")
    if out.resolve().is_relative_to(session.folder.resolve()):
        raise UsageError(f"{out} lies in the session, which is not changed; choose another --out")
    kinds = [kind for kind in KINDS if kind in only or not only]
    total = len(session.frames) * (1 + sum(kind in ("cine", "secondary") for kind in kinds))
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        on_step(done, total)

    with new_folder(out) as folder, _told(out):
        content = sweep_content(session, study, tick)
        files = {kind: KINDS[kind](content, folder, tick) for kind in kinds}
    return ExportedSweep(
        files={kind: [out / path.name for path in paths] for kind, paths in files.items()}, content=content
    )


def _report(content: SweepContent, folder: Path, tick: Tick) -> list[Path]:
    with _extra():
        from usassist.dicom.objects.report import make_report
    path = folder / "report.dcm"
    write_dataset(path, make_report(content))
    return [path]


def _segmentations(content: SweepContent, folder: Path, tick: Tick) -> list[Path]:
    return _of_key_images(content, folder, label_maps=False)


def _label_maps(content: SweepContent, folder: Path, tick: Tick) -> list[Path]:
    return _of_key_images(content, folder, label_maps=True)


def _of_key_images(content: SweepContent, folder: Path, *, label_maps: bool) -> list[Path]:
    """Segmentations of one class, and the key images that they lie on, where these are not there yet."""
    with _extra():
        from usassist.dicom.objects.segmentation import make_segmentations
    paths = []
    for name, dataset in make_segmentations(content):
        is_label_map = dataset.SOPClassUID == _LABEL_MAP
        is_key_image = dataset.Modality != "SEG"
        path = folder / name
        if (is_key_image and not path.exists()) or (not is_key_image and is_label_map == label_maps):
            write_dataset(path, dataset)
            paths.append(path)
    return paths


def _pdf(content: SweepContent, folder: Path, tick: Tick) -> list[Path]:
    with _extra():
        from usassist.dicom.objects.pdf import make_pdf
    path = folder / "pdf.dcm"
    write_dataset(path, make_pdf(content))
    return [path]


KINDS: dict[str, Callable[[SweepContent, Path, Tick], list[Path]]] = {
    "cine": write_cine,
    "report": _report,
    "seg": _segmentations,
    "labelmap": _label_maps,
    "secondary": write_secondary,
    "pdf": _pdf,
}
"""Kind of object, as ``--only`` names it → what writes it into a folder."""


@contextmanager
def _extra() -> Iterator[None]:
    """Say what to install where a library is missing that usassist alone does not bring."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{error.name} is missing, which this object needs; run: pip install 'usassist[dicom]', or leave it out "
            "with --only"
        ) from error


@contextmanager
def _told(out: Path) -> Iterator[None]:
    """A full disk in words that fit here."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DicomError(
                f"the disk is full: {out} was not written; free some space, or name another --out"
            ) from error
        raise
