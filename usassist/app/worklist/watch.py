"""The worklist process: looks, has studies scored one after the other, takes marks, and writes the list.

What happens is in the journal before the list shows it. The loop is one thread; what takes long is in the child process
that scores. A disk that is full, or a folder that cannot be read, stops nothing for good: the list says so, as long as
it can be written, and everything is tried again at the next look.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from usassist.app.worklist.journal import Arrived, Begun, Ended, Event, Marked, Moved
from usassist.app.worklist.ledger import Ledger, boot_clock, now_utc
from usassist.app.worklist.order import make_rows
from usassist.app.worklist.scoring import ScoringOptions, StudyScoring
from usassist.app.worklist.state_folder import StateFolder
from usassist.app.worklist.survey import Survey
from usassist.app.worklist.workers.score import Outcome
from usassist.errors import UsAssistError
from usassist.sinks.worklist import Heartbeat, Mark, State, Version, Worklist, take_marks

__all__ = ["NOTICE", "WatchOptions", "WorklistProcess"]

logger = logging.getLogger(__name__)

NOTICE = (
    "Research use only. Not a medical device. Notification only: the order is no diagnosis, and every study, also one "
    "that is not flagged, has to be read."
)
_BEAT_S = 5.0
_STALE_S = 20.0
_POLL_S = 0.05
_HOLD_S = 5.0  # after a problem with disk or folder nothing is started
_RETRIES = 1  # of a study whose process died


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions:
    """How a folder is watched.

    Attributes
    ----------
    scoring : how studies are scored
    engine : that they are scored with, for the list
    threshold : score from which a study is suspicious; None = the engine's own decision
    look_s : between two looks
    quiet_s : for so long a study must not have changed before it is scored
    once : end when everything that is there was scored
    once_patience_s : with `once`, studies that have not come to rest by then are left unscored
    """

    scoring: ScoringOptions
    engine: str
    threshold: float | None = None
    look_s: float = 2.0
    quiet_s: float = 10.0
    once: bool = False
    once_patience_s: float = 300.0


@dataclass(slots=True)
class WorklistProcess:
    """Watches one folder.

    Parameters
    ----------
    folder : of the studies
    state : its open state
    options : how it is watched
    on_list : called with the bytes of each list that differs from the one before in more than its times
    """

    folder: Path
    state: StateFolder
    options: WatchOptions
    on_list: Callable[[bytes], None] | None = None
    _ledger: Ledger = field(init=False)
    _survey: Survey = field(init=False)
    _scoring: StudyScoring | None = None
    _died: dict[str, int] = field(default_factory=dict)
    _problem: str = ""
    _count: int = 0
    _written_s: float = -1e9
    _shown: object = None
    _changed: bool = True
    _held_until_s: float = -1e9
    _looked: bool = False

    def __post_init__(self) -> None:
        """Take up what the process before has left."""
        self._ledger = Ledger(self.state.journal.events)
        self._survey = Survey(self.folder, self.state.pseudonym, self.options.quiet_s, beat=self._beat)
        self._count = time.time_ns() // 1_000_000  # a count that grows over restarts too

    def begin(self) -> None:
        """Write the list as the process before has left it.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        self._write("running")
        self._changed = True

    def run(self, stop: threading.Event) -> bool:
        """Watch until `stop`, or with ``once`` until everything is scored.

        Returns
        -------
        complete : every study that is there has an answer

        Raises
        ------
        UsAssistError
            With ``once``, if the state or the folder cannot be used.
        """
        began_s, looked_s = time.monotonic(), -1e9
        try:
            while not stop.is_set():
                if time.monotonic() - looked_s >= self.options.look_s:
                    self._try(self._look)
                    looked_s = time.monotonic()
                self._try(self._score)
                self._beat()
                if self.options.once:
                    if self._problem:
                        raise UsAssistError(self._problem)
                    patient = time.monotonic() - began_s < self.options.once_patience_s
                    if self._looked and self._scoring is None and not self._due(patient):
                        break
                if self._scoring is None:
                    stop.wait(min(_POLL_S, self.options.look_s))
        finally:
            if self._scoring is not None:
                self._scoring.kill()
                self._scoring = None
            self._changed = True
            self._try(lambda: self._write("ended"))
        return (
            all(
                entry.versions and entry.versions[-1].state != "failed"
                for entry in self._ledger.entries.values()
                if entry.present
            )
            and not self._busy()
        )

    # ---- One step each --------------------------------------------------------------------------

    def _look(self) -> None:
        try:
            self._survey.look()
        except OSError as error:
            reason = (error.strerror or type(error).__name__).lower()
            raise UsAssistError(
                f"the folder of studies cannot be read: {reason}; what the list shows may be old"
            ) from error
        found, entries = self._survey.found, self._ledger.entries
        new = sorted(
            (item.state.newest_ns, item.unit.place, study) for study, item in found.items() if study not in entries
        )
        for number, (_, _, study) in enumerate(new, start=self._ledger.next_number):
            self.state.note_place(study, found[study].unit.path)
            boot_id, boot_s = boot_clock()
            self._note(Arrived(study=study, number=number, at_utc=now_utc(), boot_id=boot_id, boot_s=boot_s))
        for study, entry in entries.items():
            if entry.present != (study in found):
                self._note(Moved(study=study, present=study in found))
        for path, mark in take_marks(self.state.path):
            if mark is not None and mark.study in entries and path.name not in self._ledger.taken:
                waited_s = round(entries[mark.study].waiting_s(), 1)
                version = self._read_version(mark)
                self._note(
                    Marked(
                        study=mark.study,
                        is_read=mark.is_read,
                        version=version,
                        name=path.name,
                        at_utc=now_utc(),
                        waited_s=waited_s,
                    )
                )
            path.unlink(missing_ok=True)
        self._looked = True

    def _score(self) -> None:
        if self._scoring is None:
            if time.monotonic() >= self._held_until_s:
                self._start()
            return
        outcome = self._scoring.poll(_POLL_S)
        if outcome is not None:
            scoring, self._scoring, self._changed = self._scoring, None, True
            self._end(scoring, outcome)

    def _start(self) -> None:
        """Start the study that was started least often, then the one that came first: none can hold up the others."""
        due = [study for study in self._due(patient=False) if self._survey.found[study].at_rest]
        entries = self._ledger.entries
        for study in sorted(due, key=lambda study: (entries[study].begun, entries[study].arrived.number))[:1]:
            item = self._survey.found[study]
            if item.state.too_large:
                outcome = Outcome(state="failed", code="too_large", reason="it has too many files, or too deep folders")
                self._note(Ended(study=study, signature=item.state.signature, scored=self._version(study, outcome)))
                return
            self._note(Begun(study=study, signature=item.state.signature))
            self._scoring = StudyScoring(study, item.unit, item.state.signature, self.state.path, self.options.scoring)

    def _end(self, scoring: StudyScoring, outcome: Outcome) -> None:
        study, entry = scoring.study, self._ledger.entries[scoring.study]
        if outcome.code in ("crashed", "deadline", "memory"):
            self.state.tidy()
        if outcome.state == "blocked":
            raise UsAssistError(f"no study is scored now: {outcome.reason}")
        if outcome.state == "changed":
            self._survey.unsettle(study)
            return
        if outcome.code == "crashed":
            self._died[study] = self._died.get(study, 0) + 1
            if self._died[study] <= _RETRIES:
                return
        self._died.pop(study, None)
        same = bool(outcome.result and entry.versions and entry.versions[-1].result == outcome.result)
        scored = None if same else self._version(study, outcome)
        self._note(Ended(study=study, signature=scoring.signature, scored=scored))

    # ---- What is to do, and what is shown -------------------------------------------------------

    def _due(self, patient: bool) -> list[str]:
        """Studies that are to be scored; without patience those at rest alone."""
        return [
            study
            for study, item in self._survey.found.items()
            if (entry := self._ledger.entries.get(study)) is not None
            and (item.at_rest or patient)
            and item.state.signature != entry.signature
        ]

    def _busy(self) -> dict[str, State]:
        busy: dict[str, State] = {
            study: "waiting" if self._survey.found[study].at_rest else "arriving" for study in self._due(patient=True)
        }
        if self._scoring is not None:
            busy[self._scoring.study] = "scoring"
        return busy

    def _read_version(self, mark: Mark) -> int:
        """The version that a reader has read: that of the files which are there, also where it is not scored yet."""
        newest = len(self._ledger.entries[mark.study].versions)
        return newest + (mark.study in self._busy()) if mark.version >= newest else max(0, mark.version)

    def _version(self, study: str, outcome: Outcome) -> Version:
        owner = self._ledger.owner_of(outcome.result) if outcome.result else ""
        state = outcome.state
        assert state in ("suspicious", "unflagged", "failed")
        return Version(
            version=len(self._ledger.entries[study].versions) + 1,
            state=state,  # type: ignore[arg-type]
            score=outcome.score,
            reason=outcome.reason,
            code=outcome.code,
            scored_utc=now_utc(),
            scoring_s=None if outcome.known else outcome.scoring_s,
            engine=outcome.engine,
            series=outcome.series,
            result=outcome.result,
            montage=outcome.montage,
            same_as="" if owner == study else owner,
        )

    def _note(self, event: Event) -> None:
        self.state.journal.append(event)
        self._ledger.apply(event)
        self._changed = True

    def _try(self, step: Callable[[], None]) -> None:
        """Take a step. What is wrong with the disk or the folder is told in the list, and tried again."""
        problem = ""
        try:
            step()
        except OSError as error:
            problem = str(error) if isinstance(error, UsAssistError) else _disk(error)
        except UsAssistError as error:
            problem = str(error)
        if problem:
            self._held_until_s = time.monotonic() + _HOLD_S
        if step == self._look or problem:
            self._tell(problem)

    def _tell(self, problem: str) -> None:
        if problem != self._problem:
            self._problem, self._changed = problem, True
            if problem:
                logger.warning("%s", problem)

    def _beat(self) -> None:
        if self._changed or time.monotonic() - self._written_s >= _BEAT_S:
            self._try(lambda: self._write("running"))

    def _write(self, state: str) -> None:
        self._written_s = time.monotonic()  # also where it fails: it is tried again after the usual time
        self._changed = False
        self._count += 1
        shown = Worklist(
            notice=NOTICE,
            heartbeat=Heartbeat(
                count=self._count,
                written_utc=now_utc(),
                stale_after_s=_STALE_S,
                state="ended" if state == "ended" else "running",
                problem=self._problem,
            ),
            engine=self.options.engine,
            threshold=self.options.threshold,
            studies=make_rows(self._ledger.entries.values(), busy=self._busy(), threshold=self.options.threshold),
            left_out=self._survey.left_out,
            damaged_lines=self.state.journal.damaged,
        )
        data = msgspec.json.format(msgspec.json.encode(shown), indent=1)
        self.state.write_list(data)
        content = [msgspec.structs.replace(row, waiting_s=0.0) for row in shown.studies]
        if self.on_list is not None and self._looked and content != self._shown:
            self._shown = content
            self.on_list(data)


def _disk(error: OSError) -> str:
    reason = (error.strerror or type(error).__name__).lower()
    return f"the folder of state cannot be written: {reason}; free some space, or check it"
