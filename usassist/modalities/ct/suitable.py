"""Refuse what a CT module was not made for, with the reason.

What the header says comes first. It is often silent, and a NIfTI file has none, so planes are looked at too: a skull
is a ring of bone around most of the section, values that are HU have air around the patient and soft tissue near water.

Names of kernels: Siemens B, H, J, U and their newer forms (Br, Hr, …) carry their sharpness as a number, from 60 on for
bone and lung; Canon FC30 to FC39 and FC80 to FC89 are for bone, FC50 to FC59 for the lung; GE and Philips have names
(DICOM conformance statements and manuals of the makers).
"""

from __future__ import annotations

import re
from typing import Protocol

import numpy as np

from usassist.errors import VolumeError
from usassist.modalities.ct.sections import RING_SHARE, Section, look_at
from usassist.volumes import Volume

__all__ = ["SeriesLike", "abdomen_reason", "head_reason", "is_sharp_kernel", "refuse_abdomen", "refuse_head"]

_HEAD_PARTS = frozenset({"", "HEAD", "BRAIN", "SKULL", "HEADNECK"})
_TRUNK = frozenset({"CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "CHESTABDPELV", "THORAX", "ABDOMEN", "ABDOMENPELVIS"})
_ORGANS = frozenset(
    {"PELVIS", "LIVER", "KIDNEY", "PANCREAS", "SPLEEN", "AORTA", "SPINE", "LSPINE", "LSSPINE", "TLSPINE"}
)
_BODY_PARTS = _TRUNK | _ORGANS | {"WHOLEBODY"}
_SHARP_NAMES = frozenset({"EDGE", "ULTRA", "YC", "YD", "YE", "YL", "D", "L", "E"})
_SIEMENS_SHARP = 59

_LEAST_AIR, _LEAST_BODY = 0.01, 0.02  # shares of a plane
_SOFT_HU = (-20.0, 90.0)  # the median of what lies in a skull
_HEAD_MM, _ABDOMEN_MM = 270.0, 150.0  # the widest section of a head, the narrowest of an adult's abdomen
_NOISE_HU = 45.0  # of soft tissue, from pixel to pixel; of soft kernels below 25
_AXIAL_COSINE = 0.7


class SeriesLike(Protocol):
    """What is known of a series: ``usassist.sources.volumes.SeriesFacts``."""

    @property
    def modality(self) -> str: ...  # noqa: D102
    @property
    def body_part(self) -> str: ...  # noqa: D102
    @property
    def description_words(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def kernel(self) -> str: ...  # noqa: D102
    @property
    def contrast(self) -> bool | None: ...  # noqa: D102
    @property
    def image_type(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102
    @property
    def unreadable(self) -> str: ...  # noqa: D102
    @property
    def is_localizer(self) -> bool: ...  # noqa: D102
    @property
    def spacing_is_known(self) -> bool: ...  # noqa: D102


def head_reason(facts: SeriesLike) -> str:
    """Why a series is not for the haemorrhage module, by its header; empty where nothing speaks against it."""
    reason = _common_reason(facts)
    if reason:
        return reason
    words = set(facts.description_words)
    if facts.contrast or words & {"angio", "perfusion", "vascular", "subtraction"}:
        return "was made with contrast medium, which looks like blood; give the series without contrast"
    if facts.body_part not in _HEAD_PARTS:
        return f"shows another body part ({facts.body_part.lower()}); give a CT of the head"
    if (
        not facts.body_part
        and words & {"abdomen", "chest", "pelvis", "spine", "neck"}
        and not words & {"head", "brain"}
    ):
        return "is described as another body part; give a CT of the head"
    return ""


def abdomen_reason(facts: SeriesLike) -> str:
    """Why a series is not for body composition, by its header; empty where nothing speaks against it."""
    reason = _common_reason(facts)
    if reason:
        return reason
    words = set(facts.description_words)
    if facts.body_part and facts.body_part not in _BODY_PARTS:
        return f"shows another body part ({facts.body_part.lower()}); give a CT of the abdomen"
    if (
        not facts.body_part
        and words & {"head", "brain", "neck"}
        and not words & {"abdomen", "chest", "pelvis", "spine"}
    ):
        return "is described as another body part; give a CT of the abdomen"
    if words & {"perfusion", "subtraction"}:
        return "holds a perfusion or a subtraction, whose values are not those of tissue; give the plain series"
    return ""


def refuse_head(facts: SeriesLike, volume: Volume) -> None:
    """Raise unless a volume is a plain CT of a head, in one plane or more.

    Raises
    ------
    VolumeError
        With the reason and what to give instead.
    """
    _raise(head_reason(facts) or _plane_reason(volume))
    sections = look_at(volume)
    _raise(_values_reason(sections))
    skulls = [section for section in sections if section.shows_skull]
    if not skulls:
        raise VolumeError("the series shows no skull (no plane has a ring of bone); give a CT of the head")
    if facts.spacing_is_known and max(section.width_mm for section in sections) > _HEAD_MM:
        raise VolumeError(f"the series shows a section wider than {_HEAD_MM:g} mm; give a CT of the head")
    inside = np.concatenate([section.inside_hu for section in skulls])
    median = float(np.median(inside))
    if not _SOFT_HU[0] <= median <= _SOFT_HU[1]:
        raise VolumeError(
            f"what lies in the skull has a median of {median:.0f} HU, which is no brain; check how values are rescaled"
        )
    _raise(_noise_reason(facts, sections))


def refuse_abdomen(facts: SeriesLike, volume: Volume, *, level_is_given: bool = False) -> None:
    """Raise unless a volume is a CT of the trunk.

    Parameters
    ----------
    level_is_given : the level of the planes is known, so that one plane is enough

    Raises
    ------
    VolumeError
        With the reason and what to give instead.
    """
    _raise(abdomen_reason(facts) or _plane_reason(volume))
    if volume.shape_zyx[0] == 1 and not level_is_given:
        raise VolumeError("one plane does not show at which vertebra it lies; give its level with --level")
    sections = look_at(volume)
    _raise(_values_reason(sections))
    rings = [section.ring_share >= RING_SHARE for section in sections]
    if np.mean(rings) > 0.5:
        raise VolumeError("the series shows a skull or a limb (a ring of bone); give a CT of the abdomen")
    if facts.spacing_is_known and max(section.width_mm for section in sections) < _ABDOMEN_MM:
        raise VolumeError(f"no section is as wide as {_ABDOMEN_MM:g} mm; give a CT of the abdomen")
    _raise(_noise_reason(facts, sections))


def is_sharp_kernel(kernel: str) -> bool:
    """True for the names of kernels for bone or lung."""
    name = kernel.upper().replace(" ", "")
    if name in _SHARP_NAMES or name.startswith(("BONE", "LUNG")):
        return True
    canon = re.fullmatch(r"FC(\d\d)\w*", name)
    if canon:
        return 30 <= int(canon[1]) < 40 or 50 <= int(canon[1]) < 60 or 80 <= int(canon[1]) < 90
    siemens = re.match(r"(?:[BHJTU]|[BHQ][VRFUPCL])(\d\d)", name)
    return siemens is not None and int(siemens[1]) >= _SIEMENS_SHARP


def _common_reason(facts: SeriesLike) -> str:
    if facts.unreadable:
        return facts.unreadable
    if facts.modality == "OT":
        return "holds values that do not look like HU; give a CT"
    if facts.modality != "CT":
        return f"is of modality {facts.modality}; give a CT"
    if facts.unit != "HU":
        return "holds no HU; give the series as it was reconstructed"
    if facts.is_localizer:
        return "is a localizer; give the series of planes"
    if {"MIP", "MINIP", "PROJECTION"} & set(facts.image_type) or "mip" in facts.description_words:
        return "holds projections; give the series of planes"
    if "dose" in facts.description_words and "DERIVED" in facts.image_type and "AXIAL" not in facts.image_type:
        return "is a report of dose; give the series of planes"
    if is_sharp_kernel(facts.kernel):
        return f"was reconstructed for bone or lung (kernel {facts.kernel}); give the one of a soft kernel"
    if "bone" in facts.description_words:
        return "was reconstructed for bone, as its description says; give the one of a soft kernel"
    return ""


def _raise(reason: str) -> None:
    if reason:
        raise VolumeError(f"the series {reason}")


def _plane_reason(volume: Volume) -> str:
    along_k = volume.affine_ijk_to_lps_mm[:3, 2]
    if abs(float(along_k[2])) < _AXIAL_COSINE * float(np.linalg.norm(along_k)):
        return "holds sagittal or coronal planes; give the axial ones"
    return ""


def _values_reason(sections: list[Section]) -> str:
    if max(section.body_share for section in sections) < _LEAST_BODY:
        return "shows nothing but air; give the series of the patient"
    if max(section.air_share for section in sections) < _LEAST_AIR:
        return "shows no air, so its values are clipped or no HU; give the series as it was reconstructed"
    return ""


def _noise_reason(facts: SeriesLike, sections: list[Section]) -> str:
    noise = float(np.nanmedian([*(section.noise_hu for section in sections), np.inf]))
    if not facts.kernel and np.isfinite(noise) and noise > _NOISE_HU:
        return f"has a noise of {noise:.0f} HU, as kernels for bone have; give the one of a soft kernel"
    return ""
