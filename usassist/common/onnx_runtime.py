"""Import of ONNX Runtime, which would report its use to its maker."""

from __future__ import annotations

import importlib
import os
from typing import Any

__all__ = ["import_onnxruntime"]


def import_onnxruntime() -> Any:
    """Import ``onnxruntime`` with its telemetry off, unless the environment says otherwise.

    Returns
    -------
    module : ``onnxruntime``

    Raises
    ------
    ImportError
        If it is not installed, or a system library is missing.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return importlib.import_module("onnxruntime")
