"""How the findings are read from an engine's outputs, where two back ends are compared.

The engine layer compares them and knows no modality, so the decoders are handed to it from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine import EngineSpec
from usassist.engine.comparison import Decoder
from usassist.engine.findings import Findings

__all__ = ["decoder_for"]

_NODULE_OUTPUTS = {"mask_prob", "center_score", "box_ltrb_px"}


def decoder_for(spec: EngineSpec) -> Decoder | None:
    """The decoder of an engine's outputs; None where there is none, so that only tensors can be compared."""
    if spec.modality == "US" and {tensor.name for tensor in spec.outputs} == _NODULE_OUTPUTS:
        return _nodule_decoder(spec)
    return None


def _nodule_decoder(spec: EngineSpec) -> Decoder:
    """Boxes and masks in pixels of the engine's input, read as the live path reads them."""
    from usassist.frames import fill_labelmap
    from usassist.modalities.ultrasound import decode
    from usassist.modalities.ultrasound.postprocess import MASK_STRIDE_PX

    def read(outputs: Mapping[str, npt.NDArray[Any]]) -> Findings:
        height_px, width_px = (MASK_STRIDE_PX * side for side in outputs["mask_prob"].shape[-2:])
        detections, segmentation = decode(outputs, np.eye(2, 3), (height_px, width_px), spec.labels)
        labelmap = fill_labelmap(segmentation, (height_px, width_px))
        return Findings(
            label_id=detections.label_id,
            score=detections.score,
            boxes=detections.xyxy_px,
            masks=tuple(labelmap == index + 1 for index in range(len(segmentation))),
        )

    return read
