"""Which task runs an engine for CT, and what compares two back ends of it."""

from __future__ import annotations

import importlib
from typing import Any

from usassist.engine import EngineSpec
from usassist.engine.comparison import Decoder
from usassist.errors import EngineSpecError
from usassist.modalities.protocols import StudyTask

__all__ = ["DECODERS", "TASKS", "make_decoder", "make_task"]

TASKS = {
    "detect_segment": "usassist.modalities.ct.haemorrhage.task:make_haemorrhage_task",
    "segment": "usassist.modalities.ct.body.task:make_body_task",
}
"""``task`` of an engine → the function that makes its task; each is imported when it is called."""

DECODERS = {
    "detect_segment": "usassist.modalities.ct.haemorrhage.task:make_haemorrhage_decoder",
    "segment": "usassist.modalities.ct.body.decoder:make_body_decoder",
}
"""``task`` of an engine → the function that makes its decoder, where it has one."""


def make_task(spec: EngineSpec) -> StudyTask:
    """The task of a CT engine, for the table of modalities.

    Raises
    ------
    EngineSpecError
        If no task runs such an engine, or the engine does not fit it.
    """
    if spec.task not in TASKS:
        raise EngineSpecError(f"engine {spec.engine_id}: CT runs {' and '.join(TASKS)}, not {spec.task}; use another")
    task: StudyTask = _load(TASKS[spec.task])(spec)
    return task


def make_decoder(spec: EngineSpec) -> Decoder | None:
    """The decoder of a CT engine's outputs, for the comparison of two back ends; None = only tensors are compared."""
    if spec.task not in DECODERS:
        return None
    decoder: Decoder | None = _load(DECODERS[spec.task])(spec)
    return decoder


def _load(function: str) -> Any:
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)
