"""What the page's events do: take an upload, answer a clip, say how far it is. No component of Gradio is touched here
but its progress and its session.

Every method may be called by several visitors at once.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usassist.app.demo.answering import Answered, Answering, Choice, Report, StoppedError
from usassist.app.demo.limits import Allowance, stored_name
from usassist.app.demo.material import Item
from usassist.app.demo.routes import PREFIX
from usassist.app.demo.shelf import Shelf
from usassist.app.demo.status import done_text, failure_text
from usassist.app.demo.visits import Visit, Visits
from usassist.errors import UsageError, UsAssistError
from usassist.words import Words

__all__ = ["YOURS", "Desk", "Outcome", "Wish"]

logger = logging.getLogger(__name__)

YOURS = "yours"
"""Name of the item that stands for the visitor's own file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a visitor wants answered.

    Attributes
    ----------
    item : name of one of the items, or :data:`YOURS`
    a : with what
    b : with what a second time; None = do not compare
    """

    item: str
    a: Choice
    b: Choice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a wish.

    Attributes
    ----------
    text : for the visitor, in Markdown
    answers : one, or two; empty where it failed
    simulated : the clip is one of ours
    """

    text: str
    answers: tuple[Answered, ...] = ()
    simulated: bool = False


class Desk:
    """Takes wishes and answers them.

    Parameters
    ----------
    visits : of all visitors
    answering : answers clips
    shelf : the items, and those of them that were answered before
    """

    def __init__(self, visits: Visits, answering: Answering, shelf: Shelf) -> None:
        self.visits, self.shelf = visits, shelf
        self._answering = answering
        self._allowances: dict[Path, Allowance] = {}
        self._kept: dict[str, tuple[str, tuple[Answered, ...]]] = {}  # secret of a visit → what it shows

    @property
    def items(self) -> dict[str, Item]:
        """What can be answered without an upload, by name."""
        return self.shelf.items

    def take_upload(self, visitor: str, path: str) -> Allowance:
        """Move an uploaded file into the visitor's folder, and look at it.

        Raises
        ------
        UsAssistError
            If it is not taken; it is removed then.
        """
        given = Path(path)
        try:
            visit = self.visits.of(visitor)
            self._forget_upload(visit)
            kept = visit.folder / stored_name(given.name, given.stat().st_size)
            shutil.move(given, kept)
        except BaseException:
            given.unlink(missing_ok=True)
            raise
        visit.upload = kept
        try:
            allowance = self._allowances[kept] = self._answering.look(str(kept))
        except UsAssistError as error:
            self._forget_upload(visit)
            raise UsageError(str(error).replace(kept.name, "the file")) from None
        except BaseException:
            self._forget_upload(visit)
            raise
        return allowance

    def drop_upload(self, visitor: str) -> None:
        """Remove the visitor's file, if there is one."""
        self._forget_upload(self.visits.of(visitor))

    def stop(self, visitor: str) -> None:
        """Stop what is being answered for a visitor."""
        self.visits.of(visitor).stop.set()

    def end(self, visitor: str) -> None:
        """A visitor has left."""
        self.visits.end(visitor)

    def end_old(self) -> None:
        """End visits in which nothing has happened for long."""
        self.visits.end_old()
        self._kept = {secret: value for secret, value in self._kept.items() if self.visits.has(secret)}
        self._allowances = {path: value for path, value in self._allowances.items() if path.exists()}

    def answer(self, visitor: str, wish: Wish, words: Words, report: Callable[[Report, str], None]) -> Outcome:
        """Answer a wish, and say what came of it; also where it fails.

        Parameters
        ----------
        visitor : who wants it
        wish : what
        words : of the visitor's language
        report : called with the progress, and ``A`` or ``B`` where there are two answers
        """
        try:
            visit = self.visits.of(visitor)
            visit.stop.clear()
            source, calibration, allowance = self._source(visit, wish.item)
            simulated = wish.item != YOURS and self.items[wish.item].simulated
            answers: list[Answered] = []
            for letter, choice in (("A" if wish.b else "", wish.a), ("B", wish.b)):
                if choice is None:
                    continue
                tell = functools.partial(_lettered, report, letter)
                known = self._known(visit, wish.item, choice) or self.shelf.ask(wish.item, choice, visit.stop, tell)
                answers.append(
                    known
                    or self._answering.answer(
                        source,
                        visit.new_answer(),
                        choice,
                        allowance=allowance,
                        calibration=calibration,
                        stop=visit.stop,
                        report=tell,
                        cover_text=not simulated,
                    )
                )
        except StoppedError:
            return Outcome(text=words("status.stopped"))
        except UsAssistError as error:
            return Outcome(text=failure_text(error, words))
        except OSError as error:
            logger.warning("an answer failed: %s", error.strerror)
            return Outcome(text=words("status.failed", reason=words("status.unexpected")))
        visit.keep_only([item.folder for item in answers])
        self._kept[visit.secret] = (wish.item, tuple(answers))
        text = done_text(answers, allowance, words)
        return Outcome(text=text, answers=tuple(answers), simulated=simulated)

    def answer_document(self, visitor: str, path: str, choice: Choice) -> dict[str, Any]:
        """Answer one file and give everything as one document; nothing of it is kept.

        Raises
        ------
        UsAssistError
            If it is not taken or fails.
        """
        visit = self.visits.of(visitor)
        self._kept.pop(visit.secret, None)
        try:
            allowance = self.take_upload(visitor, path)
            visit.stop.clear()
            assert visit.upload is not None  # just taken
            answered = self._answering.answer(
                str(visit.upload),
                visit.new_answer(),
                choice,
                allowance=allowance,
                calibration=None,
                stop=visit.stop,
                report=lambda now: None,
            )
            return _document(answered, allowance)
        finally:
            visit.keep_only([])
            self._forget_upload(visit)

    def address(self, answered: Answered) -> str:
        """Where the page fetches an answer, from its own address."""
        return f"{PREFIX}/{self.visits.secret_of(answered.folder.parent)}/{answered.folder.name}"

    def _source(self, visit: Visit, name: str) -> tuple[str, str | None, Allowance]:
        """Address, calibration and what is known of an item."""
        if name != YOURS:
            item = self.items[name]
            return item.source, item.calibration, self._answering.look(item.source)
        if visit.upload is None:
            raise UsageError("there is no file yet; upload one, or choose a clip")
        return str(visit.upload), None, self._allowances[visit.upload]

    def _known(self, visit: Visit, name: str, choice: Choice) -> Answered | None:
        """An answer that need not be made again."""
        item, answers = self._kept.get(visit.secret, ("", ()))
        if item == name:
            for answered in answers:
                if answered.choice == choice and answered.folder.exists():
                    return answered
        return None

    def _forget_upload(self, visit: Visit) -> None:
        if visit.upload is not None:
            with contextlib.suppress(OSError):
                visit.upload.unlink()
            self._allowances.pop(visit.upload, None)
            visit.upload = None
            if self._kept.get(visit.secret, ("",))[0] == YOURS:
                del self._kept[visit.secret]


def _lettered(report: Callable[[Report, str], None], letter: str, now: Report) -> None:
    report(now, letter)


def _document(answered: Answered, allowance: Allowance) -> dict[str, Any]:
    """An answer as one JSON document: the lines of ``results.jsonl``, and the summary of the sweep."""
    with (answered.folder / "session" / "results.jsonl").open("rb") as file:
        frames = [json.loads(line) for line in file]
    return {
        "engine": answered.overview.engine_id,
        "backend": answered.overview.backend,
        "point": answered.overview.point,
        "frames_in_file": allowance.frames,
        "frames_answered": len(frames),
        "notice": "Research use only; not a medical device.",
        "frames": frames,
        "summary": json.loads((answered.folder / "sweep.json").read_bytes()),
    }
