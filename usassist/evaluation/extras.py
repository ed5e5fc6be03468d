"""Late import of the libraries of the extra ``eval``."""

from __future__ import annotations

import importlib
from types import ModuleType

from usassist.errors import UsageError

__all__ = ["has_extra", "import_extra"]


def has_extra(module: str) -> bool:
    """Whether a module of the extra ``eval`` can be imported."""
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def import_extra(module: str) -> ModuleType:
    """Import a module of the extra ``eval``.

    Raises
    ------
    UsageError
        If it is not installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        library = module.partition(".")[0]
        raise UsageError(
            f"{library} is needed for this and cannot be imported ({error}); run: pip install 'usassist[eval]'"
        ) from error
