"""The engine layer: named tensors in, named tensors out. It knows no modality.

What can be run lies as data in ``engines/``; the runtimes that run it are one file each in ``backends/``. Start with
``registry`` (what is there, why not, open) and ``backend`` (the contract). Then, by subject:

- an engine: ``spec``, ``engine_toml``, ``table``, ``base`` (every call checked), ``int8``, ``half``, ``qdq``
- opening and failover: ``opening``, ``failover``, ``background``, ``speed``, ``timing``
- plans: ``plan``, ``building``, ``build_child``, ``cache``, ``cache_entry``
- comparing back ends: ``conformance``, ``parity``, ``comparison``, ``findings``, ``probe``
- behind the back ends: ``onnx_torch``, ``trt``, ``gpu``, ``cuda``
"""

from usassist.engine.backend import PRECISIONS, Backend
from usassist.engine.base import Engine
from usassist.engine.domain import Domain
from usassist.engine.engine_toml import find_engine, list_engines, load_spec
from usassist.engine.failover import FailoverEngine
from usassist.engine.plan import PlanBackend
from usassist.engine.registry import BACKENDS, candidates, get_backend, list_backends, open_engine, why_not
from usassist.engine.spec import EngineSpec, TensorSpec

__all__ = [
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "Domain",
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
