"""usassist: a real-time ultrasound streaming assistant. For research use; not a medical device.

::

    from usassist import Engine

    with Engine("thyroid_nodule") as engine:
        for result in engine.stream("clip.mp4"):
            print(result.frame_id, result.state, result.boxes_xyxy_px, result.scores)

See ``docs/python.md``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from usassist.api import Engine, FrameResult, ResultStream

__version__ = "0.1.0"

__all__ = ["Engine", "FrameResult", "ResultStream", "__version__"]

_API = ("Engine", "FrameResult", "ResultStream")


def __getattr__(name: str) -> Any:
    """Import the interface on first use: every process of a stream imports this package, and most need none of it."""
    if name in _API:
        from importlib import import_module

        return getattr(import_module("usassist.api"), name)
    raise AttributeError(f"module 'usassist' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_API})
