"""Which back ends ``usassist engine bench`` takes to answer correctly."""

from __future__ import annotations

from usassist.engine import EngineSpec
from usassist.engine.base import Engine
from usassist.engine.comparison import compare
from usassist.engine.parity import open_reference
from usassist.engine.timing import Judge
from usassist.modalities.findings_decoder import decoder_for

__all__ = ["reference_judge"]


def reference_judge(spec: EngineSpec, threads: int) -> Judge:
    """A judge that compares with the reference as ``usassist engine verify`` does."""
    decode = decoder_for(spec)

    def judge(engine: Engine) -> str | None:
        with open_reference(spec, threads)[0] as reference:
            return next(iter(compare(engine, reference, decode).failures), None)

    return judge
