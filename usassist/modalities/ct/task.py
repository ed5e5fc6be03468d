"""Which task runs an engine for CT."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from usassist.engine import EngineSpec
from usassist.errors import EngineSpecError
from usassist.modalities.protocols import StudyTask

__all__ = ["TASKS", "make_task"]

TASKS = {
    "detect_segment": "usassist.modalities.ct.haemorrhage.task:make_haemorrhage_task",
    "segment": "usassist.modalities.ct.body.task:make_body_task",
}
"""``task`` of an engine → the function that makes its task; each is imported when it is called."""


def make_task(spec: EngineSpec) -> StudyTask:
    """The task of a CT engine, for the table of modalities.

    Raises
    ------
    EngineSpecError
        If no task runs such an engine, or the engine does not fit it.
    """
    if spec.task not in TASKS:
        raise EngineSpecError(f"engine {spec.engine_id}: CT runs {' and '.join(TASKS)}, not {spec.task}; use another")
    module, _, name = TASKS[spec.task].partition(":")
    make: Callable[[EngineSpec], StudyTask] = getattr(importlib.import_module(module), name)
    return make(spec)
