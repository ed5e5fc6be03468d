"""Ultrasound: frames to tensors and tensors to results."""

from usassist.modalities.ultrasound.association import SweepAssociation
from usassist.modalities.ultrasound.descriptors import DescriptorModel
from usassist.modalities.ultrasound.postprocess import decode
from usassist.modalities.ultrasound.preprocess import preprocess
from usassist.modalities.ultrasound.task import UltrasoundTask, check_outputs
from usassist.modalities.ultrasound.tracking import NoduleTracker, SweepTracker

__all__ = [
    "DescriptorModel",
    "NoduleTracker",
    "SweepAssociation",
    "SweepTracker",
    "UltrasoundTask",
    "check_outputs",
    "decode",
    "preprocess",
]
