"""The Python interface: an engine that answers images and streams, and results that other libraries read.

``from usassist import Engine`` is the way in; see ``docs/python.md``.
"""

from usassist.api.engine import Engine
from usassist.api.follow_up import Growth, GrowthState, Quantity, diameter_mm, judge_growth, volume_ml
from usassist.api.result import FrameResult
from usassist.api.stream import ResultStream

__all__ = [
    "Engine",
    "FrameResult",
    "Growth",
    "GrowthState",
    "Quantity",
    "ResultStream",
    "diameter_mm",
    "judge_growth",
    "volume_ml",
]
