"""One study that is being scored, from the side of the process that asked for it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from usassist.app.runtime.child_process import ChildProcess
from usassist.app.worklist.units import Unit
from usassist.app.worklist.workers.score import Outcome
from usassist.errors import UsAssistError

__all__ = ["ScoringOptions", "StudyScoring"]

_CHILD = "study_score"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringOptions:
    """How studies are scored.

    Attributes
    ----------
    scorer : ``module:function``, see ``scorer.py``
    options : plain values for it
    deadline_s : a study that takes longer is given up
    memory_mb : most memory of the process that scores it
    """

    scorer: str
    options: dict[str, Any] = field(default_factory=dict)
    deadline_s: float = 600.0
    memory_mb: int = 4000


class StudyScoring:
    """A child process that scores a study. It is killed at its deadline, and dies with the process that started it.

    Parameters
    ----------
    study : pseudonym
    unit : where it is
    signature : of its files, as they were when they came to rest
    state : folder of state

    Raises
    ------
    UsAssistError
        If no process can be started.
    """

    def __init__(self, study: str, unit: Unit, signature: str, state: Path, options: ScoringOptions) -> None:
        self.study, self.signature = study, signature
        self._options = options
        self._deadline_s = time.monotonic() + options.deadline_s
        try:
            self._child = ChildProcess(_CHILD)
        except (OSError, RuntimeError) as error:
            raise UsAssistError(f"no process can be started: {error}; end other programs") from error
        self._child.start(
            {
                "parent_pid": os.getpid(),
                "place": unit.place,
                "path": str(unit.path),
                "is_folder": unit.is_folder,
                "signature": signature,
                "state": str(state),
                "scorer": options.scorer,
                "scorer_options": options.options,
                "memory_mb": options.memory_mb,
            }
        )

    def poll(self, timeout_s: float) -> Outcome | None:
        """The outcome; None where there is none yet after `timeout_s`."""
        report = self._child.next_report(timeout_s)
        if report is None:
            if time.monotonic() < self._deadline_s:
                return None
            self.kill()
            return _failed("deadline", f"it gave no answer within {self._options.deadline_s:g} s")
        if report.event == "done" and "outcome" in report.content:
            self._child.stop()
            return msgspec.convert(report.content["outcome"], Outcome)
        if report.event == "error":
            self._child.stop()
            return _failed("failed", "the process that scores it could not start")
        if report.event == "gone":
            self.kill()
            return self._crashed()
        return None

    def kill(self) -> None:
        """End it, with every process that it has started; nothing half-written counts."""
        with contextlib.suppress(OSError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.kill()
        self._child.stop()

    def _crashed(self) -> Outcome:
        code = self._child.exit_code
        if code == -signal.SIGKILL:
            return _failed("memory", "its process was killed by the system, as it is when memory ends")
        if code is not None and code < 0:
            return _failed("crashed", f"its process was ended by {signal.Signals(-code).name}")
        return _failed("crashed", f"its process ended with code {code}")


def _failed(code: str, reason: str) -> Outcome:
    return Outcome(state="failed", code=code, reason=reason)
