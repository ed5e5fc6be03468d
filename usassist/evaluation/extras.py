"""Libraries of the extra ``eval``, imported when they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType

from usassist.errors import UsageError

__all__ = ["need"]


def need(module: str) -> ModuleType:
    """Import a module of the extra ``eval``.

    Raises
    ------
    UsageError
        If it is not installed; says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise UsageError(
            f"{library} is needed for this and cannot be imported ({error}); run: pip install 'usassist[eval]'"
        ) from error
