"""Writes the report of a recorded sweep: the page and its JSON, both of them or none."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from usassist.common.private_files import replacing
from usassist.errors import SessionError, UsageError, UsAssistError
from usassist.session.opening import RecordedSession
from usassist.session.report.page import run_sections, write_page
from usassist.session.report.pictures import draw_pictures
from usassist.session.summary import LEAST_FRAMES, Earlier, Section, SweepDocument, summarise
from usassist.words import load_words

__all__ = ["WrittenReport", "write_report"]

_SUFFIXES = (".html", ".htm")


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    """What was written.

    Attributes
    ----------
    page, data : the HTML and the JSON file
    document : that both have
    """

    page: Path
    data: Path
    document: SweepDocument


def write_report(
    session: RecordedSession,
    out: Path,
    *,
    language: str = "en",
    least_frames: int = LEAST_FRAMES,
    earlier: Earlier | None = None,
    overwrite: bool = False,
) -> WrittenReport:
    """Summarise a session and write its report.

    Parameters
    ----------
    session : is not changed
    out : the HTML file; the JSON file lies beside it, with the suffix ``.json``
    language : code, one of ``languages()``
    least_frames : identities seen on fewer frames are counted, and not listed one by one
    earlier : report that nodules are compared with, for growth
    overwrite : replace files that are there

    Raises
    ------
    UsageError
        If the language, a nodule that is to be compared, or the name of the file does not fit.
    SessionError
        If the session is still being recorded, damaged or without frames; if a file exists, or cannot be written.
    """
    words = load_words(language, "report")
    if out.suffix.lower() not in _SUFFIXES:
        raise UsageError(f"{out} is no HTML file; name a file that ends with .html")
    data = out.with_suffix(".json")
    if out.resolve().is_relative_to(session.folder.resolve()):
        raise UsageError(f"{out} lies in the session, which is not changed; choose another --out")
    with _file(out, overwrite=overwrite) as page_file, _file(data, overwrite=overwrite) as data_file:
        document = summarise(session, least_frames=least_frames, earlier=earlier)
        pictures = draw_pictures(session, _sections(document), words)
        data_file.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
        page_file.write_text(write_page(document, pictures, words), encoding="utf-8")
    return WrittenReport(page=out, data=data, document=document)


def _sections(document: SweepDocument) -> Iterator[Section]:
    """Those that have a picture."""
    for nodule in document.nodules:
        yield from (item for item in (nodule.best, nodule.transverse, nodule.longitudinal) if item is not None)
    for _, run in run_sections(document):
        yield run.best


@contextlib.contextmanager
def _file(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A private file that takes its name at the end, or is removed."""
    if path.is_dir():
        raise SessionError(f"{path} is a folder; choose another --out")
    if path.exists() and not overwrite:
        raise SessionError(f"{path} already exists; choose another --out, or add --overwrite")
    try:
        with replacing(path, private=True) as temporary:
            yield temporary
    except UsAssistError:
        raise
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        why, what = ("the disk is full", "free some space, or choose") if full else (error.strerror or error, "choose")
        raise SessionError(f"{path} cannot be written: {why}; {what} another --out") from error
