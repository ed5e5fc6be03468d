"""Find the series of an input, and say what each is."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from usassist.errors import SourceFormatError, UsageError
from usassist.sources.volumes.entries import find_entries, is_nifti_name
from usassist.sources.volumes.facts import SeriesFacts
from usassist.sources.volumes.headers import Common, Plane, Scan, read_scan
from usassist.sources.volumes.nifti import NiftiFile, open_nifti, sha256_of
from usassist.sources.volumes.pixels import missing_decoder, refuse_rescale
from usassist.sources.volumes.stacks import Stack, make_stacks

__all__ = ["Found", "choose_series", "find_series", "size_of"]

_LISTED, _REASONS = 12, 4

Found = tuple[SeriesFacts, "Stack | NiftiFile | None"]


def find_series(path: Path) -> list[Found]:
    """What an input holds, with what each series is read from; None where it cannot be read."""
    entries = find_entries(path)
    planes: list[tuple[Common, Scan, Plane]] = []
    niftis: list[Path] = []
    damaged: list[str] = []
    for entry in entries:
        if is_nifti_name(entry.name):
            if entry.member is None:
                niftis.append(entry.path)
            continue
        try:
            planes += read_scan(entry) or []
        except SourceFormatError as error:
            damaged.append(str(error))
    if damaged and not planes and not niftis:
        what = path.name if len(entries) == 1 else f"{path.name}: a file"
        raise SourceFormatError(f"{what} {damaged[0]}; export or copy it again")
    found: list[Found] = []
    for stack in make_stacks(planes):
        found.append((_facts_of_stack(len(found) + 1, stack), stack))
    for file in niftis:
        found.append(_of_nifti(len(found) + 1, file, alone=len(entries) == 1))
    if not found and any(entry.member is not None and is_nifti_name(entry.name) for entry in entries):
        raise SourceFormatError(f"{path.name} holds NIfTI files, which are not read from a zip; unpack it")
    if not found:
        raise SourceFormatError(f"{path.name} holds no images of CT or MR; name a folder, a DICOM file, a zip or NIfTI")
    if damaged:
        note = f"{len(damaged)} DICOM {'files' if len(damaged) > 1 else 'file'} beside it cannot be read"
        found = [(dataclasses.replace(facts, problems=(*facts.problems, note)), what) for facts, what in found]
    return found


def choose_series(
    found: list[Found], series: int | str | None, unfit: Callable[[SeriesFacts], str] | None = None
) -> Found:
    """The series of this number or id; None = the only one that can be read, is no localizer and is not unfit.

    Raises
    ------
    UsageError
        If there is no such series, or more than one to choose from.
    SourceFormatError
        If none can be read, or all are unfit.
    """
    if series is not None:
        for facts, what in found:
            if str(series) in (str(facts.number), facts.series_id):
                return facts, what
        raise UsageError(f"there is no series {series}; {_choices(found)}")
    if len(found) == 1:
        return found[0]
    reasons = [_why_not(facts, unfit) for facts, _ in found]
    left = [item for item, reason in zip(found, reasons, strict=True) if not reason]
    if not left:
        why = [f"{facts.number} {reason}" for (facts, _), reason in zip(found, reasons, strict=True)]
        more = f"; and {len(why) - _REASONS} more" if len(why) > _REASONS else ""
        raise SourceFormatError(f"none of the {len(found)} series is what is needed: {'; '.join(why[:_REASONS])}{more}")
    if len(left) == 1:
        return left[0]
    raise UsageError(f"there are {len(left)} series to choose from; give one with --series: {_choices(left)}")


def _why_not(facts: SeriesFacts, unfit: Callable[[SeriesFacts], str] | None) -> str:
    if facts.unreadable:
        return facts.unreadable
    if facts.is_localizer:
        return "is a localizer"
    return unfit(facts) if unfit is not None else ""


def _choices(found: list[Found]) -> str:
    names = [
        f"{facts.number} ({' '.join([facts.modality, size_of(facts), *facts.description_words, facts.kernel]).strip()})"
        for facts, _ in found
    ]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def size_of(facts: SeriesFacts) -> str:
    """Columns, rows and planes."""
    return "x".join(map(str, reversed(facts.shape_zyx)))


def _facts_of_stack(number: int, stack: Stack) -> SeriesFacts:
    common, scan, first = stack.common, stack.scan, stack.planes[0]
    unreadable = stack.unreadable
    if not unreadable:
        unreadable = next(filter(None, map(refuse_rescale, stack.planes)), "")
    if not unreadable and first.coding is not None:
        unreadable = missing_decoder(first.coding.syntax)
    height, width = (common.columns, common.rows) if stack.turn.transpose else (common.rows, common.columns)
    spacing = (0.0, 0.0, 0.0)
    if stack.affine is not None:
        x_mm, y_mm, z_mm = (float(length) for length in np.linalg.norm(stack.affine[:3, :3], axis=0))
        spacing = (z_mm, y_mm, x_mm)
    part = (common.series_uid,) if stack.part == 0 else (common.series_uid, str(stack.part))
    return SeriesFacts(
        number=number,
        series_id=_pseudonym(*part),
        modality=common.modality,
        body_part=scan.body_part,
        description_words=scan.words,
        kernel=scan.kernel,
        contrast=scan.contrast,
        image_type=common.image_type,
        shape_zyx=(len(stack.planes), height, width),
        spacing_zyx_mm=spacing,
        slice_thickness_mm=first.thickness_mm,
        tilt_deg=stack.tilt_deg,
        unit="HU" if all(plane.is_hu for plane in stack.planes) else "1",
        transfer_syntax=scan.syntax_name,
        spacing_is_known=stack.spacing_is_known and stack.affine is not None,
        problems=tuple(stack.problems),
        unreadable=unreadable,
        patient=scan.patient,
    )


def _of_nifti(number: int, path: Path, *, alone: bool) -> Found:
    try:
        file = open_nifti(path)
        is_hu = file.looks_like_hu()
    except SourceFormatError as error:
        if alone:
            raise
        reason = str(error).removeprefix(f"{path.name} ")
        facts = SeriesFacts(
            number=number,
            series_id=sha256_of(path),
            modality="OT",
            shape_zyx=(0, 0, 0),
            spacing_zyx_mm=(0.0, 0.0, 0.0),
            transfer_syntax="NIfTI",
            spacing_is_known=False,
            unreadable=reason,
        )
        return facts, None
    x_mm, y_mm, z_mm = (float(length) for length in np.linalg.norm(file.affine[:3, :3], axis=0))
    facts = SeriesFacts(
        number=number,
        series_id=sha256_of(path),
        modality="CT" if is_hu else "OT",
        shape_zyx=file.shape_zyx,
        spacing_zyx_mm=(z_mm, y_mm, x_mm),
        unit="HU" if is_hu else "1",
        transfer_syntax="NIfTI",
        spacing_is_known=file.has_grid,
        problems=file.problems,
    )
    return facts, file


def _pseudonym(*parts: str) -> str:
    """The first 12 hex digits of SHA-256 of the parts."""
    return hashlib.sha256(os.fsencode("/".join(parts))).hexdigest()[:12]
