"""The simulated clips, answered once with the default settings and shared by all visitors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from usassist.app.demo.answering import Answered, Answering, Choice, Report, StoppedError
from usassist.app.demo.material import Item
from usassist.app.demo.visits import Visit
from usassist.errors import UsAssistError

__all__ = ["Shelf"]

logger = logging.getLogger(__name__)

_POLL_S = 0.2


class Shelf:
    """Answers items one after the other in the background, the first one first.

    Parameters
    ----------
    items : what is answered, by name
    answering : answers them
    choice : with what
    visit : the shared one, which the answers belong to

    Attributes
    ----------
    report : progress of the item that is being answered; what is asked for comes next
    failed : item → why it could not be answered
    """

    def __init__(self, items: dict[str, Item], answering: Answering, choice: Choice, visit: Visit) -> None:
        self.items, self.choice = items, choice
        self.report = Report(stage="starting")
        self.failed: dict[str, str] = {}
        self._answering, self._visit = answering, visit
        self._done: dict[str, Answered] = {}
        self._lock = threading.Lock()
        self._waiting = list(items)
        self._current = ""
        self._thread = threading.Thread(target=self._run, name="shelf", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait for the end."""
        self._visit.stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def get(self, name: str, choice: Choice) -> Answered | None:
        """The answer to an item with these settings; None where there is none, or not yet."""
        return self._done.get(name) if choice == self.choice else None

    def ask(
        self, name: str, choice: Choice, stop: threading.Event, report: Callable[[Report], None]
    ) -> Answered | None:
        """As :meth:`get`, and where it is still to come, have it answered next and wait for it.

        Parameters
        ----------
        name : of the item
        choice : with what
        stop : set it to end the wait
        report : called with the progress

        Raises
        ------
        StoppedError
            If it was stopped.
        """
        if choice != self.choice or name not in self.items:
            return None
        with self._lock:
            if name in self._waiting:
                self._waiting.remove(name)
                self._waiting.insert(0, name)
        while name not in self._done and name not in self.failed and self._thread.is_alive():
            report(self.report if self._current == name else Report(stage="waiting"))
            if stop.wait(_POLL_S):
                raise StoppedError("stopped")
        return self._done.get(name)

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                name = self._current = self._waiting.pop(0)
                self.report = Report(stage="starting")
            item = self.items[name]
            try:
                self._done[name] = self._answering.answer(
                    item.source,
                    self._visit.new_answer(),
                    self.choice,
                    allowance=self._answering.look(item.source),
                    calibration=item.calibration,
                    stop=self._visit.stop,
                    report=self._take,
                    cover_text=not item.simulated,
                )
            except StoppedError:
                return
            except (UsAssistError, OSError) as error:
                logger.warning("the clip %s of the demo page could not be answered: %s", name, error)
                self.failed[name] = str(error)

    def _take(self, report: Report) -> None:
        self.report = report
