"""The decoder of an engine's findings, for comparing two back ends.

The engine layer makes the comparison and has no modality in it, so it is given the decoder from here.
"""

from __future__ import annotations

from usassist.engine import EngineSpec
from usassist.engine.comparison import Decoder
from usassist.modalities.table import list_modalities

__all__ = ["decoder_for"]


def decoder_for(spec: EngineSpec) -> Decoder | None:
    """The decoder of an engine's outputs; None where its modality has none, so that only tensors can be compared."""
    row = list_modalities().get(spec.modality)
    if row is None or not row.make_decoder:
        return None
    decoder: Decoder | None = row.load(row.make_decoder)(spec)
    return decoder
