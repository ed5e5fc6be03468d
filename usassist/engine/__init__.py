"""The engine layer: named tensors in, named tensors out. It knows no modality.

What can be run lies as data in ``engines/``; the runtimes that run it are one file each in ``engine/backends/``. Start
with :mod:`usassist.engine.registry` (what is there, why not, open) and :mod:`usassist.engine.backend` (the contract).
"""

from usassist.engine.backend import PRECISIONS, Backend
from usassist.engine.base import Engine
from usassist.engine.engine_toml import find_engine, list_engines, load_spec
from usassist.engine.failover import FailoverEngine
from usassist.engine.plan import PlanBackend
from usassist.engine.registry import BACKENDS, candidates, get_backend, list_backends, open_engine, why_not
from usassist.engine.spec import EngineSpec, TensorSpec

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "Engine",
    "EngineSpec",
    "FailoverEngine",
    "PlanBackend",
    "TensorSpec",
    "candidates",
    "find_engine",
    "get_backend",
    "list_backends",
    "list_engines",
    "load_spec",
    "open_engine",
    "why_not",
]
