"""The engine layer: named tensors in, named tensors out. It knows no modality.

What can be run lies as data in ``engines/``; the runtimes that run it are one file each in ``engine/backends/``.
"""

from usassist.engine.base import Engine
from usassist.engine.failover import FailoverEngine
from usassist.engine.registry import (
    BACKENDS,
    PRECISIONS,
    candidates,
    is_ready,
    open_engine,
    runs,
    why_unavailable,
)
from usassist.engine.spec import EngineSpec, TensorSpec, find_engine, list_engines, load_spec

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Engine",
    "EngineSpec",
    "FailoverEngine",
    "TensorSpec",
    "candidates",
    "find_engine",
    "is_ready",
    "list_engines",
    "load_spec",
    "open_engine",
    "runs",
    "why_unavailable",
]
