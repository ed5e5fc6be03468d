"""De-identifies a file or a folder into a new folder, which appears whole or not at all."""

from __future__ import annotations

import errno
import glob
import json
import logging
import os
import secrets
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from usassist.common.private_files import sync_folder, try_locked, write_atomic
from usassist.dicom.deidentify.key import Pseudonyms
from usassist.dicom.deidentify.kinds import Kind, kind_of
from usassist.dicom.deidentify.masking import masked_frames
from usassist.dicom.deidentify.pictures import Pictures, Samples, open_pictures
from usassist.dicom.deidentify.profile import Action, check_table, is_registered
from usassist.dicom.deidentify.reader import TextReader
from usassist.dicom.deidentify.refused import RefusedError
from usassist.dicom.deidentify.report import ObjectReport, RunReport
from usassist.dicom.deidentify.scan import Area, find_kept_area
from usassist.dicom.deidentify.tags import clean_tags
from usassist.dicom.deidentify.writing import describe_method, describe_pixels, write_object
from usassist.errors import DicomError, UsageError
from usassist.sources.dicom.encoding import read_dataset, refusal, stated_syntax
from usassist.sources.dicom.header import PYDICOM_ERRORS

__all__ = ["REPORT_NAME", "Deidentifier", "deidentify"]

REPORT_NAME = "deidentify.json"
_LOST = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)
_INSTANCE = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
_DIRECTORY = "1.2.840.10008.1.3.10"
_HEADS = ("HEAD", "BRAIN", "FACE", "SKULL", "SINUS", "ORBIT", "NECK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deidentifier:
    """How objects are de-identified.

    Parameters
    ----------
    pseudonyms : what the key makes of UIDs and patients
    reader : of text; None = frames are checked with a second search, and CT and MR are refused
    keep_dates : dates of acquisition are moved, not removed
    crop : scan area of every ultrasound object, px; None = it is searched
    """

    pseudonyms: Pseudonyms
    reader: TextReader | None = None
    keep_dates: bool = False
    crop: Area | None = None

    @property
    def text_check(self) -> str:
        """What every frame is checked with."""
        return "search with a lower threshold" if self.reader is None else "text reader PP-OCRv4"


def deidentify(
    source: Path,
    out: Path,
    how: Deidentifier,
    *,
    links: Path | None = None,
    on_object: Callable[[ObjectReport, int], None] = lambda report, total: None,
) -> RunReport:
    """De-identify a DICOM file, or every DICOM file in a folder and the folders in it.

    Objects that cannot be called clean are not written; the others are. ``deidentify.json`` says what was done.

    Parameters
    ----------
    source : a file or a folder
    out : a new folder
    how : see :class:`Deidentifier`
    links : a new private file of which input became which object, as JSON; it is identity
    on_object : called after each, with the number of files

    Raises
    ------
    UsageError
        If `source` is missing, `out` or `links` exists, or a package is missing.
    DicomError
        If nothing can be written any more; then `out` does not exist.
    """
    check_table()
    files = _files(source)
    for target in (out, links):
        if target is not None and (target.exists() or target.is_symlink()):
            raise UsageError(f"{target} already exists; name another or move it away")
    report = RunReport(text_check=how.text_check, dates="shifted" if how.keep_dates else "removed")
    linked: dict[str, str] = {}
    with _new_folder(out) as folder:
        for path in files:
            if not path.is_file() or not _is_dicom(path):
                report.not_dicom += 1
                continue
            item = _one(path, folder, how, ObjectReport(number=len(report.objects) + 1))
            report.objects.append(item)
            linked[str(path)] = item.uid if not item.refused else f"refused ({item.number}): {item.refused}"
            on_object(item, len(files))
        content = json.dumps(report.document(), indent=1)
        write_atomic(folder / REPORT_NAME, content.encode("utf-8"), b"\n")
        if links is not None:
            write_atomic(links, json.dumps(linked, indent=1).encode("utf-8", "surrogateescape"), replace=False)
    return report


def _one(path: Path, folder: Path, how: Deidentifier, item: ObjectReport) -> ObjectReport:
    """De-identify one object; what it could not check it says in its report."""
    temporary = folder / f".{secrets.token_hex(16)}.dcm"
    try:
        with _quiet_pydicom():
            dataset, pictures = _read(path, item, how)
            if next(folder.glob(f"*/{item.uid}.dcm"), None) is not None:
                raise RefusedError("an object of this UID was in the input before")
            clean, item.tags = clean_tags(dataset, how.pseudonyms, keep_dates=how.keep_dates)
            describe_method(clean, dates_shifted=bool(item.tags.count(Action.SHIFTED)), text_check=how.text_check)
            describe_pixels(clean, pictures)
            item.has_face = pictures.kind is Kind.SLICE and _may_show_face(dataset)
            if item.has_face:
                clean.RecognizableVisualFeatures = "YES"
            write_object(temporary, clean, pictures, _frames(pictures, how, item))
        series = folder / clean.SeriesInstanceUID
        series.mkdir(mode=0o700, exist_ok=True)
        target = series / f"{clean.SOPInstanceUID}.dcm"
        temporary.rename(target)
        sync_folder(series)
    except RefusedError as error:
        item.refused = str(error)
    except (*PYDICOM_ERRORS, MemoryError) as error:
        item.refused = f"it is damaged ({type(error).__name__})"  # the message may quote a value
    except OSError as error:
        if error.errno in _LOST:
            raise
        item.refused = f"it cannot be read: {error.strerror or type(error).__name__}"
    finally:
        temporary.unlink(missing_ok=True)
    return item


def _read(path: Path, item: ObjectReport, how: Deidentifier) -> tuple[Dataset, Pictures]:
    """The header of one object, and its frames, once it is certain that it may be accepted."""
    with path.open("rb") as file:
        dataset = read_dataset(file, None)
        if str(dataset.file_meta.get("MediaStorageSOPClassUID", "")) == _DIRECTORY:
            raise RefusedError("a DICOMDIR is a list of files and patients; make a new one of what was written")
        uid = str(dataset.get("SOPInstanceUID", "") or "")
        item.uid = how.pseudonyms.uid(uid) if uid else ""
        missing = [keyword for keyword in _INSTANCE if not str(dataset.get(keyword, "") or "")]
        if missing:
            raise RefusedError(f"it has no {' and no '.join(missing)}")
        kind = kind_of(dataset)
        item.kind = str(kind)
        if kind is Kind.SLICE and how.reader is None:
            raise RefusedError(
                "on CT and MR only the text reader finds text; install it with: pip install 'usassist[ocr]'"
            )
        syntax = stated_syntax(dataset)
        if syntax and not is_registered(syntax):  # it may be anything, so it is not repeated
            raise RefusedError("its transfer syntax is unknown")
        why = refusal(UID(syntax)) if syntax else None
        if why is not None:
            raise RefusedError(f"it {why}")
        pictures = open_pictures(path, dataset, file, kind)
    item.frames = len(pictures.spans)
    return dataset, pictures


def _frames(pictures: Pictures, how: Deidentifier, item: ObjectReport) -> Iterator[Samples]:
    height_px, width_px = pictures.header.hw_px
    whole = (0, 0, width_px, height_px)
    area = find_kept_area(pictures, how.crop) if pictures.kind is Kind.ULTRASOUND else whole
    item.kept_xyxy_px, item.frame_px = area, height_px * width_px
    for frame in masked_frames(pictures, area, how.reader):
        item.add(frame)
        yield frame.samples


def _may_show_face(dataset: Dataset) -> bool:
    part = str(dataset.get("BodyPartExamined", "") or "").upper()
    return not part or any(head in part for head in _HEADS)


def _files(source: Path) -> list[Path]:
    if source.is_dir() and (source / "session.toml").exists():
        raise UsageError(
            "the input is a recorded session, which holds no identity; show that with: usassist session verify"
        )
    if source.is_dir():
        return sorted(path for path in source.rglob("*") if not path.is_dir())
    if source.exists() and not _is_dicom(source):
        raise UsageError(
            "the input is no DICOM file; of a clip or picture, usassist replay CLIP --out SESSION keeps the scan area "
            "with its text covered, and usassist session export SESSION --video writes it as a clip"
        )
    if source.exists():
        return [source]
    raise UsageError("the input does not exist; name a DICOM file or a folder of them")


def _is_dicom(path: Path) -> bool:
    """True for what may be a DICOM file; what cannot be opened counts as one, so that it is not passed over."""
    try:
        with path.open("rb") as file:
            read_dataset(file, [0x00080016])
    except InvalidDicomError:
        return False
    except (*PYDICOM_ERRORS, OSError):
        return True
    return True


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A private folder that takes its name when the block ends, or is removed; what a killed run left is removed."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with try_locked(out.parent, out.name) as mine:
            if not mine:
                raise UsageError(f"another run is writing {out}; name another folder, or wait for it")
            for left in out.parent.glob(f".{glob.escape(out.name)}.*.partial"):
                shutil.rmtree(left)
            folder = out.with_name(f".{out.name}.{secrets.token_hex(8)}.partial")
            folder.mkdir(mode=0o700)
            try:
                yield folder
                sync_folder(folder)
                os.rename(folder, out)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            sync_folder(out.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DicomError(f"the disk is full: {out} was not written; free some space, or name another") from None
        raise DicomError(f"{out} cannot be written: {error.strerror}; name another folder or check its place") from None


@contextmanager
def _quiet_pydicom() -> Iterator[None]:
    """Its warnings and log lines quote values."""
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
