"""What a module brings to the run of a study: options of its task, further files, lines to be read with the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Prepared"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """See the module.

    Attributes
    ----------
    options : of the task
    writers : of further files, see ``answer_study``
    notes : called after the run; one line each, in English
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    writers: Sequence[Any] = ()
    notes: Callable[[], list[str]] = list
