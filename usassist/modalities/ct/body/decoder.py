"""What two back ends are compared by: the compartments that each finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine import EngineSpec
from usassist.engine.comparison import Decoder
from usassist.engine.findings import Findings
from usassist.errors import EngineOutputError
from usassist.modalities.ct.body.tissues import Compartment, Tissue

__all__ = ["make_body_decoder"]

_LABEL_OF = {
    Compartment.SUBCUTANEOUS: Tissue.SUBCUTANEOUS_FAT,
    Compartment.MUSCLE: Tissue.SKELETAL_MUSCLE,
    Compartment.CAVITY: Tissue.ABDOMINAL_CONTENTS,
    Compartment.BONE: Tissue.BONE,
}
_LEAST_SHARE = 0.003  # of the picture: a smaller compartment is not compared, a few pixels would decide


def make_body_decoder(spec: EngineSpec) -> Decoder:
    """For the table of modalities: each compartment that takes part of the picture, with its mean probability."""
    name = spec.outputs[0].name

    def decode(outputs: Mapping[str, npt.NDArray[Any]]) -> Findings:
        probabilities = np.asarray(outputs[name], np.float32)
        if probabilities.ndim != 4 or probabilities.shape[1] != len(Compartment):
            raise EngineOutputError(f"{name} must be (n, {len(Compartment)}, h, w), got {probabilities.shape}")
        best = probabilities.argmax(axis=1)
        labels, scores, masks = [], [], []
        for compartment, tissue in _LABEL_OF.items():
            mask = best == compartment
            if mask.mean() >= _LEAST_SHARE:
                labels.append(int(tissue))
                scores.append(float(probabilities[:, compartment][mask].mean()))
                masks.append(mask)
        return Findings(label_id=np.array(labels, np.int64), score=np.array(scores), masks=tuple(masks))

    return decode
