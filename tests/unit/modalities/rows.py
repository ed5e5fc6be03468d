"""Rows of the table of modalities for tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from usassist.modalities import Kind, Modality, table


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


def empty_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing of CT and MRI run, so that a test says the same before and after usassist runs them itself."""
    rows = dict(table.MODALITIES)
    for code in ("CT", "MR"):
        row = rows[code]
        rows[code] = dataclasses.replace(row, make_task="", make_decoder="", engine_tasks=(), missing="nothing yet")
    monkeypatch.setattr(table, "MODALITIES", rows)
    table._added.cache_clear()
