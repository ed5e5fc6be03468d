"""What a worklist asks of whatever scores a study. It is named as ``module:function``, and runs in a child process."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from usassist.errors import UsageError

__all__ = ["Score", "Scorer", "load_scorer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """The answer about one study.

    Attributes
    ----------
    found : what the engine decided; None = there is no answer
    score : of the study, 0 to 1; None = there is none
    reason : why there is no answer; set exactly when `found` is None
    engine : name and version of what answered
    series : pseudonym of the series that was scored
    """

    found: bool | None
    score: float | None
    engine: str
    series: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        """Check that an answer and a reason exclude each other, and that the score is one."""
        if (self.found is None) != bool(self.reason):
            raise ValueError("a score has either an answer or the reason why there is none")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError("a score must lie from 0 to 1")
        if self.found is None and self.score is not None:
            raise ValueError("without an answer there is no score")


class Scorer(Protocol):
    """Scores one study."""

    def __call__(self, study: Path, out: Path, options: dict[str, Any], beat: Callable[[], None]) -> Score:
        """Score a study.

        Parameters
        ----------
        study : folder, zip or file
        out : gets what is kept of the answer, ``montage.png`` and others; does not exist yet, and need not be made
        options : of the command line, plain values
        beat : to be called while it works

        Raises
        ------
        UsAssistError
            If the study is refused or cannot be read. The message is shown, without the names of files in it.
        """
        ...


def load_scorer(name: str) -> Scorer:
    """The function of a name.

    Raises
    ------
    UsageError
        If there is none.
    """
    module, _, function = name.partition(":")
    try:
        return cast(Scorer, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{name} scores no studies: {error}; name module:function") from error
