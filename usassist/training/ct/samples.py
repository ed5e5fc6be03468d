"""Training samples: simulated slices, real pictures with drawn blood, and real pictures with their labels.

Sample ``i`` of step ``s`` depends on the seed, ``s`` and ``i`` alone, so a resumed run gets the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from usassist.errors import ConfigError
from usassist.modalities.ct.haemorrhage.pictures import BRAIN_HU
from usassist.modalities.ct.haemorrhage.preprocess import window_planes
from usassist.phantom.ct.render import blur, correlated_noise, smooth_field
from usassist.training.ct.anatomy import TEMPLATE, read_template
from usassist.training.ct.bleeds import add_bleeds, measure_space
from usassist.training.ct.label_maps import LABEL_MAPS, LabelMap, read_label_maps
from usassist.training.ct.pictures import PICTURES, crop_picture, find_inside, read_pictures, split_pictures
from usassist.training.ct.recipe import IchRecipe
from usassist.training.ct.slices import IchSlice, simulate_slice
from usassist.training.data.terms import load_terms, require_terms
from usassist.training.network.encoder import START_WEIGHTS

__all__ = ["IchBatch", "IchSamples", "RealSlice", "read_samples"]

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_AIR_HU = -1000.0
_FULL_SIDE_PX = 256
_CONTRAST_SD = 0.28  # of the logarithm of the contrast of pictures, whose window is not known


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RealSlice:
    """A picture, cropped, and what its greys show.

    Attributes
    ----------
    name, has_blood : of the picture
    hu : float32 (256, 256), rough HU
    inside, ventricle : bool (256, 256); empty where no ring of bone was found
    """

    name: str
    has_blood: bool
    hu: Float32Array
    inside: BoolArray
    ventricle: BoolArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IchBatch:
    """Input and targets of one step.

    Attributes
    ----------
    image : float32 (B, 3, H, W)
    kinds : uint8 (B, H, W), 0 = no blood
    has_blood : float32 (B,)
    mask_known : bool (B,); a slice without blood is known to have no mask
    """

    image: Tensor
    kinds: Tensor
    has_blood: Tensor
    mask_known: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IchSamples(torch.utils.data.Dataset[IchBatch]):
    """Batches by step.

    Attributes
    ----------
    recipe : numbers and shares
    maps, template : shapes and textures of simulated slices
    with_blood, without : the training pictures
    """

    recipe: IchRecipe
    maps: list[LabelMap]
    template: list[Float32Array]
    with_blood: Sequence[RealSlice]
    without: Sequence[RealSlice]

    def __len__(self) -> int:
        """Steps of the run."""
        return self.recipe.stop_after

    def __getitem__(self, step: int) -> IchBatch:
        """Make the batch of a step."""
        recipe = self.recipe
        side_px = recipe.side_px(step)
        plan = [self._simulated] * recipe.simulated_per_batch + [self._drawn_on] * recipe.drawn_on_per_batch
        plan += [self._labelled] * recipe.labelled_per_batch
        samples = []
        for index, make in enumerate(plan):
            rng = np.random.default_rng((recipe.seed, step, index))
            made = make(side_px, rng)
            samples.append(_turn(made, rng))
        image = np.stack([window_planes(item.hu) for item in samples])
        return IchBatch(
            image=torch.from_numpy(image),
            kinds=torch.from_numpy(np.stack([item.kinds for item in samples])),
            has_blood=torch.tensor([float(item.has_blood) for item in samples]),
            mask_known=torch.tensor([item.mask_known for item in samples]),
        )

    def _simulated(self, side_px: int, rng: np.random.Generator) -> IchSlice:
        made = simulate_slice(self.maps, self.template, rng, side_px, self.recipe.blood_share)
        if rng.random() < self.recipe.window_share:
            made = _as_picture(made, rng)
        shift = np.float32(rng.normal(0.0, 2.0))
        return IchSlice(hu=made.hu + shift, kinds=made.kinds, has_blood=made.has_blood, mask_known=True)

    def _drawn_on(self, side_px: int, rng: np.random.Generator) -> IchSlice:
        """A picture without blood, as a rule with drawn blood; in half of them bone gets its HU back."""
        real = self.without[int(rng.integers(len(self.without)))]
        hu, kinds = real.hu, np.zeros(real.hu.shape, np.uint8)
        top = float(hu.max())
        with_bone = bool(real.inside.any()) and rng.random() < self.recipe.bone_share
        if with_bone:
            hu = _with_bone(hu, top, rng)
        if real.inside.any() and rng.random() < self.recipe.drawn_share:
            sulci = np.clip((np.float32(BRAIN_HU - 8.0) - hu) / np.float32(15.0), 0.0, 1.0)
            sulci = (sulci * real.inside * ~real.ventricle).astype(np.float32)
            space = measure_space(real.inside, real.ventricle, sulci)
            hu, kinds = add_bleeds(hu, space, rng, edge_px=float(rng.uniform(0.4, 1.0)), tissue_hu=BRAIN_HU)
            if not with_bone:
                hu = np.minimum(hu, np.float32(top))
        made = IchSlice(hu=hu, kinds=kinds, has_blood=bool(kinds.any()), mask_known=True)
        return _vary(_warp(made, side_px, rng), rng, 0.12 if with_bone else _CONTRAST_SD)

    def _labelled(self, side_px: int, rng: np.random.Generator) -> IchSlice:
        """A picture as it is."""
        pool = self.with_blood if rng.random() < 0.5 else self.without
        real = pool[int(rng.integers(len(pool)))]
        nothing = np.zeros(real.hu.shape, np.uint8)
        made = IchSlice(hu=real.hu, kinds=nothing, has_blood=real.has_blood, mask_known=not real.has_blood)
        return _vary(_warp(made, side_px, rng), rng)


def read_samples(recipe: IchRecipe, data_root: Path) -> IchSamples:
    """Read what a recipe trains on.

    Raises
    ------
    ConfigError
        If a data set is missing, or the recipe needs pictures that there are none of.
    """
    used = [LABEL_MAPS, TEMPLATE] if recipe.simulated_per_batch else []
    used += [PICTURES] if recipe.labelled_per_batch or recipe.drawn_on_per_batch else []
    terms = load_terms()
    require_terms(used, "training", terms)
    require_terms([START_WEIGHTS["mobilenet_v2"]], "start", terms)
    maps = read_label_maps(data_root) if recipe.simulated_per_batch else []
    template = read_template(data_root) if recipe.simulated_per_batch else []
    pools: dict[bool, list[RealSlice]] = {True: [], False: []}
    if recipe.labelled_per_batch or recipe.drawn_on_per_batch:
        pictures = read_pictures(data_root)
        training = set(split_pictures(pictures, recipe.split_seed).training)
        for picture in pictures:
            if picture.name in training:
                hu = crop_picture(picture, _FULL_SIDE_PX)
                inside, ventricle = find_inside(hu)
                pools[picture.has_blood].append(
                    RealSlice(name=picture.name, has_blood=picture.has_blood, hu=hu, inside=inside, ventricle=ventricle)
                )
        if not pools[True] or not pools[False]:
            raise ConfigError("no training pictures are left; take another split_seed")
    return IchSamples(recipe=recipe, maps=maps, template=template, with_blood=pools[True], without=pools[False])


def _turn(made: IchSlice, rng: np.random.Generator) -> IchSlice:
    """One of eight orientations."""
    quarter, flip = int(rng.integers(4)), rng.random() < 0.5

    def turned(plane: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        plane = np.rot90(plane, quarter)
        return np.ascontiguousarray(plane[:, ::-1] if flip else plane)

    return IchSlice(
        hu=np.asarray(turned(made.hu), np.float32),
        kinds=np.asarray(turned(made.kinds), np.uint8),
        has_blood=made.has_blood,
        mask_known=made.mask_known,
    )


def _warp(made: IchSlice, side_px: int, rng: np.random.Generator) -> IchSlice:
    """Turned a little, stretched, shown smaller, at the size of the batch."""
    centre = made.hu.shape[0] / 2 - 0.5
    zoom = (
        side_px
        / made.hu.shape[0]
        * (float(rng.uniform(0.92, 1.06)) if rng.random() < 0.5 else float(rng.uniform(0.6, 1.0)))
    )
    angle, stretch = np.deg2rad(rng.normal(0.0, 10.0)), float(np.exp(rng.normal(0.0, 0.06)))
    linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = linear @ np.diag([stretch, 1.0 / stretch]) * zoom
    slack = max(0.0, 1.0 - zoom * made.hu.shape[0] / side_px) / 2 * side_px
    target = side_px / 2 - 0.5 + rng.uniform(-1, 1, 2) * slack
    affine = np.column_stack([linear, target - linear @ (centre, centre)])
    size_wh = (side_px, side_px)
    hu = cv2.warpAffine(made.hu, affine, size_wh, flags=cv2.INTER_AREA, borderValue=_AIR_HU)
    kinds = cv2.warpAffine(made.kinds, affine, size_wh, flags=cv2.INTER_NEAREST, borderValue=0)
    return IchSlice(
        hu=np.asarray(hu, np.float32),
        kinds=np.asarray(kinds, np.uint8),
        has_blood=made.has_blood,
        mask_known=made.mask_known,
    )


def _with_bone(hu: Float32Array, top_hu: float, rng: np.random.Generator) -> Float32Array:
    """What the window of a picture has cut off becomes bone. Only of pictures without blood."""
    depth = cv2.distanceTransform((hu >= top_hu - 3.0).astype(np.uint8), cv2.DIST_L2, 5)
    values = rng.uniform(500.0, 1300.0) + 150.0 * smooth_field(hu.shape, 3.0, rng)
    share = 1.0 - np.exp(-depth / np.float32(rng.uniform(0.6, 1.5)))
    return np.asarray(hu + (values - hu) * share, np.float32)


def _vary(made: IchSlice, rng: np.random.Generator, contrast_sd: float = _CONTRAST_SD) -> IchSlice:
    """Another window: contrast and level around the brain; and other sharpness and noise. For rough HU only."""
    contrast = float(np.exp(rng.normal(0.0, contrast_sd)))
    hu = np.where(
        made.hu > -500.0,
        (made.hu - BRAIN_HU) * np.float32(contrast) + np.float32(BRAIN_HU + rng.normal(0.0, 2.5)),
        made.hu,
    )
    hu = hu.astype(np.float32)
    if rng.random() < 0.3:
        hu = blur(hu, float(rng.uniform(0.3, 1.0)))
    elif rng.random() < 0.2:
        hu = hu + np.float32(rng.uniform(0.2, 0.8)) * np.clip(hu - blur(hu, 1.2), -20.0, 20.0)
    if rng.random() < 0.5:
        noise = correlated_noise(hu.shape, float(rng.uniform(0.5, 1.1)), rng)
        hu = hu + noise * np.float32(rng.uniform(0.5, 4.0)) * (hu > -500.0)
    return IchSlice(
        hu=np.asarray(hu, np.float32), kinds=made.kinds, has_blood=made.has_blood, mask_known=made.mask_known
    )


def _as_picture(made: IchSlice, rng: np.random.Generator) -> IchSlice:
    """A simulated slice through a random window of 8 bits, and back to rough HU as pictures are."""
    low = float(rng.uniform(-30.0, 12.0))
    high = float(rng.uniform(58.0, 140.0))
    inside = (made.hu > -150.0) & (made.hu < 200.0)
    air = (made.hu < low) & (blur(made.hu, 3.0) < -150.0)
    grey = np.rint(np.clip((made.hu - low) / (high - low), 0.0, 1.0) * 255.0)
    brain = float(np.median(made.hu[inside])) if inside.any() else BRAIN_HU
    brain = float(np.clip(brain, 22.0, 45.0))
    middle = (brain - low) / (high - low) * 255.0
    per_grey = np.clip(80.0 / 255.0 * np.exp(rng.normal(0.0, 0.15)), 0.2, 0.5)
    hu = (grey - np.float32(middle)) * np.float32(per_grey) + np.float32(BRAIN_HU)
    hu[air] = _AIR_HU
    return IchSlice(
        hu=np.asarray(hu, np.float32), kinds=made.kinds, has_blood=made.has_blood, mask_known=made.mask_known
    )
