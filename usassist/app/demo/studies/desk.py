"""What the events of a tab for studies do: take an upload, open a study, answer it. No component of Gradio is touched.

Every method may be called by several visitors at once. Everything of a visit lies in its folder and goes with it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usassist.app.demo.answering import StoppedError
from usassist.app.demo.studies.answering import StudyAnswering, StudyChoice, StudyReport
from usassist.app.demo.studies.findings import StudyDocument
from usassist.app.demo.studies.limits import check_zip, stored_study_name
from usassist.app.demo.studies.opened import Opened
from usassist.app.demo.studies.routes import FILES, PREFIX, RESULT
from usassist.app.demo.visits import Visit, Visits
from usassist.errors import UsageError, UsAssistError

__all__ = ["YOURS", "StudyDesk", "StudyOutcome"]

logger = logging.getLogger(__name__)

YOURS = "yours"
"""Name of the item that stands for the visitor's own file."""

_KIND = "study"  # of folders
_KEPT = 8  # answers to simulated studies that are kept for everybody


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOutcome:
    """What is shown.

    Attributes
    ----------
    item : name of a simulated study, or :data:`YOURS`
    opened : the study
    folder : with its planes: those of the answer, or those of the study alone
    choice, document : what was asked and what came of it; None = nothing was asked yet
    failed : why the last question has no result; empty where it has, or none was asked
    """

    item: str
    opened: Opened
    folder: Path
    choice: StudyChoice | None = None
    document: StudyDocument | None = None
    failed: str = ""

    @property
    def state(self) -> str:
        """As in ``Overview``; a question that failed is ``no_result``."""
        if self.failed:
            return "no_result"
        return "none" if self.document is None else self.document.state

    @property
    def reason(self) -> str:
        """Why there is no result."""
        return self.failed or ("" if self.document is None else self.document.reason)

    @property
    def files(self) -> list[str]:
        """Names of what can be downloaded."""
        return [] if self.document is None else [name for name in FILES if (self.folder / RESULT / name).is_file()]


class StudyDesk:
    """Takes what visitors want of one tab.

    Parameters
    ----------
    visits : of all visitors
    answering : opens and answers studies
    """

    def __init__(self, visits: Visits, answering: StudyAnswering) -> None:
        self.visits, self.answering = visits, answering
        self.tab = answering.tab
        self._uploads: dict[str, Path] = {}  # secret of a visit → the folder of its file
        self._simulated: dict[str, Opened] = {}
        self._answers: dict[tuple[str, str], StudyOutcome] = {}  # (item, question) → of a simulated study
        self._making = threading.Lock()

    def take_upload(self, visitor: str, path: str) -> None:
        """Move an uploaded file into the visitor's folder.

        Raises
        ------
        UsAssistError
            If it is not taken; it is removed then.
        """
        given = Path(path)
        try:
            name = stored_study_name(given.name, given.stat().st_size)
            if name.endswith(".zip"):
                check_zip(given)
            visit = self.visits.of(visitor)
            self._forget_upload(visit)
            folder = visit.new_answer("studyfile")
            folder.mkdir(mode=0o700)
            shutil.move(given, folder / name)
            self._uploads[visit.secret] = folder / name
        except BaseException:
            given.unlink(missing_ok=True)
            raise

    def drop_upload(self, visitor: str) -> None:
        """Remove the visitor's file, if there is one, and stop what is being done with it."""
        visit = self.visits.of(visitor)
        if visit.secret in self._uploads:
            visit.study_stop.set()
        self._forget_upload(visit)

    def stop(self, visitor: str) -> None:
        """Stop what is being done for a visitor."""
        self.visits.of(visitor).study_stop.set()

    def end_old(self) -> None:
        """Forget visits that have ended."""
        self._uploads = {secret: path for secret, path in self._uploads.items() if self.visits.has(secret)}

    def open(
        self, visitor: str, item: str, report: Callable[[StudyReport], None], series: int | None = None
    ) -> StudyOutcome:
        """Open a study, so that it can be looked at.

        Raises
        ------
        StoppedError
            If it was stopped.
        UsAssistError
            If it cannot be opened.
        """
        visit = self.visits.of(visitor)
        visit.study_stop.clear()
        with _quiet_failures():
            opened = self._open(visit, item, series, report)
        return StudyOutcome(item=item, opened=opened, folder=opened.folder)

    def choice(self, module: str, values: Mapping[str, Any]) -> StudyChoice:
        """What was asked, checked; options that the module does not have, or that were left as they are, are left out.

        Raises
        ------
        UsageError
            If there is no such module or option, or a value is none of its values.
        """
        names = [item.name for item in self.tab.modules]
        if module not in names:
            raise UsageError(f"there is no module {module!r}; choose {' or '.join(names)}")
        if unknown := set(values) - {option.name for option in self.tab.options}:
            raise UsageError(f"there is no option {min(unknown)!r}; leave it out")
        asked = {option.name: option.check(values.get(option.name)) for option in self.tab.module(module).options}
        return StudyChoice(module=module, options={name: value for name, value in asked.items() if value is not None})

    def answer(
        self, visitor: str, shown: StudyOutcome, choice: StudyChoice, report: Callable[[StudyReport], None]
    ) -> StudyOutcome:
        """Answer the study that is shown.

        Raises
        ------
        StoppedError
            If it was stopped.
        UsAssistError
            If it cannot be answered.
        """
        visit = self.visits.of(visitor)
        visit.study_stop.clear()
        key = (shown.item, choice.key)
        if shown.opened.is_simulated and key in self._answers:
            return self._answers[key]
        keeper = self.visits.shared if shown.opened.is_simulated else visit
        folder = keeper.new_answer(_KIND)
        with _quiet_failures():
            document = self.answering.answer(shown.opened, folder, choice, stop=visit.study_stop, report=report)
        found = StudyOutcome(item=shown.item, opened=shown.opened, folder=folder, choice=choice, document=document)
        if shown.opened.is_simulated:
            self._keep(key, found)
        else:
            visit.keep_only([shown.opened.folder, folder, *self._upload_folders(visit)], _KIND)
        return found

    def answer_document(self, visitor: str, path: str, choice: StudyChoice) -> dict[str, Any]:
        """Answer one file and give the result as one document; nothing of it is kept.

        Raises
        ------
        UsAssistError
            If it is not taken or fails.
        """
        visit = self.visits.of(visitor)
        try:
            self.take_upload(visitor, path)
            shown = self.open(visitor, YOURS, lambda now: None)
            found = self.answer(visitor, shown, choice, lambda now: None)
            file = found.folder / RESULT / "result.json"
            document: dict[str, Any] = json.loads(file.read_bytes()) if file.is_file() else {}
            return {"state": found.state, "reason": found.reason, "notice": _NOTICE, "result": document}
        finally:
            self._forget_upload(visit)
            visit.keep_only([], _KIND)

    def address(self, folder: Path) -> str:
        """Where the page fetches the planes and files of a folder, from its own address."""
        return f"{PREFIX}/{self.visits.secret_of(folder.parent)}/{folder.name}"

    def _open(self, visit: Visit, item: str, series: int | None, report: Callable[[StudyReport], None]) -> Opened:
        if item == YOURS:
            path = self._uploads.get(visit.secret)
            if path is None:
                raise UsageError("there is no file yet; upload one, or choose a simulated study")
            opened = self.answering.open(
                path, visit.new_answer(_KIND), series=series, stop=visit.study_stop, report=report
            )
            visit.keep_only([opened.folder, path.parent], _KIND)
            return opened
        if item not in self.tab.simulated:
            raise UsageError(f"there is no study {item!r}; choose {', '.join(self.tab.simulated)}")
        while not self._making.acquire(timeout=0.2):
            report(StudyReport(stage="making"))
            if visit.study_stop.is_set():
                raise StoppedError("stopped")
        try:
            if item not in self._simulated:
                shared = self.visits.shared
                self._simulated[item] = self.answering.open(
                    shared.folder / f"series-{item}",
                    shared.new_answer(_KIND),
                    simulated=item,
                    stop=visit.study_stop,
                    report=report,
                )
            return self._simulated[item]
        finally:
            self._making.release()

    def _keep(self, key: tuple[str, str], found: StudyOutcome) -> None:
        """Keep an answer for everybody; the oldest goes, where there are many."""
        self._answers[key] = found
        while len(self._answers) > _KEPT:
            old = self._answers.pop(next(iter(self._answers)))
            shutil.rmtree(old.folder, ignore_errors=True)

    def _upload_folders(self, visit: Visit) -> list[Path]:
        path = self._uploads.get(visit.secret)
        return [] if path is None else [path.parent]

    def _forget_upload(self, visit: Visit) -> None:
        path = self._uploads.pop(visit.secret, None)
        if path is not None:
            shutil.rmtree(path.parent, ignore_errors=True)


_NOTICE = "Research use only; not a medical device."


@contextlib.contextmanager
def _quiet_failures() -> Any:
    """What fails in the file system names no path of a visitor, neither to anyone nor in the log."""
    try:
        yield
    except UsAssistError:
        raise
    except OSError as error:
        logger.warning("a study of the demo page failed: %s", error.strerror)
        raise UsAssistError("something went wrong on the server; try again") from None
