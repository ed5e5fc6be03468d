"""A valid row of the table of modalities for tests."""

from __future__ import annotations

from typing import Any

from usassist.modalities import Kind, Modality


def make_study_row(**changes: Any) -> Modality:
    values: dict[str, Any] = {
        "code": "NM",
        "title": "Nuclear medicine",
        "kind": Kind.STUDY,
        "room": "elsewhere",
        "engine_tasks": ("segment",),
        "make_task": "elsewhere.task:make_task",
    }
    return Modality(**(values | changes))
