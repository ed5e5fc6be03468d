"""Imports corrections that were made elsewhere: all files of one call, or nothing."""

from __future__ import annotations

import errno
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from usassist.common.private_files import locked, sweep
from usassist.errors import SessionError, UsageError
from usassist.session.corrections.claims import FrameClaim, Reading
from usassist.session.corrections.coco_file import read_coco
from usassist.session.corrections.comparing import compare, complete
from usassist.session.corrections.record import (
    CORRECTIONS_SCHEMA,
    CorrectedFrame,
    ImportedFile,
    ImportLine,
    append_import,
    current_frames,
    read_imports,
)
from usassist.session.corrections.seg_file import SEGMENTATION_KIND, is_dicom, read_segmentations
from usassist.session.corrections.seg_sources import SourceImages
from usassist.session.export.labels import announced_engine, label_names
from usassist.session.opening import RecordedSession, open_session

__all__ = ["ROLES", "ImportOutcome", "import_corrections"]

ROLES = ("radiologist", "endocrinologist", "sonographer", "reader", "researcher")

_MAX_BYTES = 2**30
_LEAST_COMPARED = 3  # frames with nodules on both sides, before a file is said to be unlike the session


@dataclass(slots=True, kw_only=True)
class ImportOutcome:
    """What an import did.

    Attributes
    ----------
    frames : corrected
    untouched : frames of the files that do not differ from the results, and are no labels
    accepted, changed, added, removed : nodules on the corrected frames
    known : number of files that were imported before, and changed nothing
    frame_ids : of the corrected frames
    still_holding : frames of the files that do not differ from the results, of which an earlier correction holds
    """

    frames: int = 0
    untouched: int = 0
    accepted: int = 0
    changed: int = 0
    added: int = 0
    removed: int = 0
    known: int = 0
    frame_ids: list[int] = field(default_factory=list)
    still_holding: list[int] = field(default_factory=list)


def import_corrections(
    folder: Path,
    files: Sequence[Path],
    *,
    role: str,
    reviewed: bool = False,
    accept_unlike: bool = False,
    through_centres: bool | None = None,
) -> ImportOutcome:
    """Add the corrections of some files to those of a session.

    Parameters
    ----------
    folder : of the session
    files : COCO (JSON) and DICOM SEG
    role : who corrected; of :data:`ROLES`
    reviewed : all frames of the files were looked at: those without a change are accepted as they are
    accept_unlike : also where no outline of the files lies on one of the results
    through_centres : how polygons of COCO files run, see :func:`read_coco`

    Raises
    ------
    UsageError
        If the role is another one, or no file is given.
    SessionError
        If a file does not belong to the session, or is damaged, or the record cannot be written; nothing is imported.
    """
    if role not in ROLES:
        raise UsageError(f"a role is one of {', '.join(ROLES)}, not {role!r}")
    if not files:
        raise UsageError("no file is given; name a COCO file or DICOM segmentations")
    session = open_session(folder)
    if not session.frames:
        raise SessionError(f"{folder} holds no frame that can be read; there is nothing to correct")
    contents = {path: _read(path) for path in files}
    sums = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
    _once(sums)
    try:
        with locked(folder, "corrections", lambda: None):
            sweep(folder)  # what an import that was killed has left
            before = read_imports(folder)
            named = {path: _named(contents[path], sums[path], through_centres) for path in files}
            known = {item for line in before if line.reviewed or not reviewed for item in line.files}
            new = [path for path in files if named[path] not in known]
            outcome = ImportOutcome(known=len(files) - len(new))
            if not new:
                return outcome
            claims = _claims(session, {path: contents[path] for path in new}, through_centres)
            holding = current_frames(before)
            frames = _compare(session, claims, holding)
            if not accept_unlike:
                _check_alike(frames)
            kept = [frame for frame in frames if reviewed or not frame.is_untouched]
            _count(outcome, frames, kept)
            outcome.still_holding = [item.frame_id for item in frames if item not in kept and item.frame_id in holding]
            if not kept:
                return outcome
            append_import(
                folder,
                ImportLine(
                    schema=CORRECTIONS_SCHEMA,
                    imported_utc=datetime.now(UTC).isoformat(timespec="seconds"),
                    role=role,
                    session_id=session.manifest.session_id,
                    engine_ids=tuple(sorted({item.engine_id for item in session.results if item.engine_id})),
                    files=tuple(named[path] for path in new),
                    reviewed=reviewed,
                    untouched=outcome.untouched,
                    previous_sha256="",
                    frames=tuple(kept),
                ),
            )
    except SessionError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SessionError(f"the disk is full: nothing was imported into {folder}; free some space") from error
        reason = (error.strerror or str(error)).lower()
        raise SessionError(f"{folder} cannot be written: {reason}; nothing was imported, check the folder") from error
    return outcome


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SessionError(f"{path} has more than 1 GiB; export fewer frames at a time")
        return path.read_bytes()
    except SessionError:
        raise
    except OSError as error:
        raise SessionError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}; name a file") from error


def _once(sums: dict[Path, str]) -> None:
    for digest, count in Counter(sums.values()).items():
        if count > 1:
            same = [str(path) for path, other in sums.items() if other == digest]
            raise UsageError(f"{' and '.join(same)} are the same; name each file once")


def _named(content: bytes, sha256: str, through_centres: bool | None) -> ImportedFile:
    if is_dicom(content):
        return ImportedFile(kind=SEGMENTATION_KIND, sha256=sha256)
    return ImportedFile(kind="coco", sha256=sha256, polygons="centres" if through_centres else "edges")


def _claims(session: RecordedSession, contents: dict[Path, bytes], through_centres: bool | None) -> list[FrameClaim]:
    reading = Reading(
        session_id=session.manifest.session_id,
        sizes_hw_px={line.frame_id: _hw(line.roi_xyxy_px) for line in session.frames},
        labels=label_names(session, announced_engine(session)),
    )
    sources = SourceImages(session).of_study
    segmentations = {path: content for path, content in contents.items() if is_dicom(content)}
    groups = [
        *(
            read_coco(content, str(path), reading, through_centres)
            for path, content in contents.items()
            if path not in segmentations
        ),
        *([read_segmentations(segmentations, sources, reading)] if segmentations else []),
    ]
    claims = [claim for group in groups for claim in group]
    for frame_id, count in Counter(claim.frame_id for claim in claims).items():
        if count > 1:
            raise SessionError(
                f"frame {frame_id} is in {count} of the files, and only one can hold; import them one after the other, "
                "the one that holds last"
            )
    return claims


def _compare(
    session: RecordedSession, claims: list[FrameClaim], holding: dict[int, CorrectedFrame]
) -> list[CorrectedFrame]:
    sizes = {line.frame_id: _hw(line.roi_xyxy_px) for line in session.frames}
    frames = []
    with session.result_reader() as read:
        for claim in sorted(claims, key=lambda claim: claim.frame_id):
            result, size_hw_px = read(claim.frame_id), sizes[claim.frame_id]
            whole = complete(claim, result, holding.get(claim.frame_id), size_hw_px)
            frames.append(compare(whole, result, size_hw_px))
    return frames


def _check_alike(frames: list[CorrectedFrame]) -> None:
    """Files of tools do not name the session: one that lies nowhere on the results is that of another session."""
    both = [
        frame
        for frame in frames
        if frame.outlines and (frame.removed or any(item.iou is not None for item in frame.outlines))
    ]
    if len(both) >= _LEAST_COMPARED and not any(item.iou is not None for frame in both for item in frame.outlines):
        raise SessionError(
            f"none of the outlines lies on a nodule of the results, on {len(both)} frames: the files seem to belong to "
            "another session; give --unlike if they do not"
        )


def _count(outcome: ImportOutcome, frames: list[CorrectedFrame], kept: list[CorrectedFrame]) -> None:
    outcome.frames, outcome.untouched = len(kept), len(frames) - len(kept)
    outcome.frame_ids = [frame.frame_id for frame in kept]
    changes = Counter(item.change for frame in kept for item in frame.outlines)
    outcome.accepted, outcome.changed, outcome.added = (changes[name] for name in ("accepted", "changed", "added"))
    outcome.removed = sum(len(frame.removed) for frame in kept)


def _hw(roi_xyxy_px: tuple[int, int, int, int]) -> tuple[int, int]:
    x1, y1, x2, y2 = roi_xyxy_px
    return y2 - y1, x2 - x1
