"""Imports Gradio without the part of it that takes half of the time."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["import_gradio"]


def import_gradio() -> None:
    """Import Gradio; its environment has to be set before.

    For every component, Gradio reads and parses its own source to renew a file of type stubs beside it, at each import:
    one of two seconds of processor time, and writes into the installation. It leaves that out for classes whose source
    file cannot be named, which is what this makes of its own classes while it is imported.
    """
    name_file = inspect.getfile

    def getfile(item: Any) -> str:
        if isinstance(item, type) and item.__module__.partition(".")[0] == "gradio":
            raise OSError("no type stubs are wanted")
        return name_file(item)

    inspect.getfile = getfile  # type: ignore[assignment]
    try:
        import gradio  # noqa: F401
    finally:
        inspect.getfile = name_file
