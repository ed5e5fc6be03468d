"""The recipe of the engine ``ct_ich``, a TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path

from usassist.errors import ConfigError

__all__ = ["IchRecipe", "load_ich_recipe"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IchRecipe:
    """All numbers of a run.

    Attributes
    ----------
    engine, version : of the folder that is written
    licence, intended_use : texts of ``engine.toml``
    seed : of weights and samples
    split_seed : of the pictures that are held out
    steps : batches, over which the learning rate falls
    stop_after : batches after which the run ends early; `steps` = not early
    small_side_px, small_share : side of the slices in the first share of the steps; 256 afterwards
    simulated_per_batch : simulated slices
    drawn_on_per_batch : pictures without blood, most of them with drawn blood
    labelled_per_batch : pictures with their label
    blood_share : of simulated slices that have blood
    drawn_share : of the pictures without blood that blood is drawn on
    bone_share : of the pictures without blood whose bone gets HU of bone
    window_share : of simulated slices that are shown through a window of 8 bits
    learning_rate, encoder_rate : highest rate of the decoder, and of the encoder as a share of it
    weight_decay : of AdamW
    dropout : of channels
    average_decay : of the averaged weights
    dice_weight, slice_weight, bag_weight : of the terms of the loss; the bag is a picture with blood whose mask is not
        known: somewhere in it the mask must be high
    mask_threshold : probability of the mask from which blood is outlined; the engine shifts it to 0.5
    slice_thresholds : operating points of the slice's probabilities, by label
    """

    engine: str
    version: str
    licence: str
    intended_use: str
    seed: int
    split_seed: int
    steps: int
    stop_after: int
    small_side_px: int
    small_share: float
    simulated_per_batch: int
    drawn_on_per_batch: int
    labelled_per_batch: int
    blood_share: float
    drawn_share: float
    bone_share: float
    window_share: float
    learning_rate: float
    encoder_rate: float
    weight_decay: float
    dropout: float
    average_decay: float
    dice_weight: float
    slice_weight: float
    bag_weight: float
    mask_threshold: float
    slice_thresholds: tuple[float, float, float, float]

    def side_px(self, step: int) -> int:
        """Side of the slices of a step."""
        return self.small_side_px if step < self.small_share * self.steps else 256


def load_ich_recipe(path: Path) -> IchRecipe:
    """Read a recipe.

    Raises
    ------
    ConfigError
        If it cannot be read, or a key is missing, unknown or of another type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    known = {item.name: str(item.type) for item in dataclasses.fields(IchRecipe)}
    wrong = sorted(set(known) ^ set(table))
    if wrong:
        raise ConfigError(f"{path}: missing or unknown: {', '.join(wrong)}")
    types: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float)}
    for name, kind in known.items():
        value = table[name]
        if kind.startswith("tuple"):
            if not (isinstance(value, list) and len(value) == 4 and all(isinstance(item, float) for item in value)):
                raise ConfigError(f"{path}: {name} must be a list of four numbers, got {value!r}")
            table[name] = tuple(value)
        elif not isinstance(value, types[kind]) or isinstance(value, bool):
            raise ConfigError(f"{path}: {name} must be of type {kind}, got {value!r}")
    recipe = IchRecipe(**table)
    if recipe.simulated_per_batch + recipe.drawn_on_per_batch + recipe.labelled_per_batch < 1:
        raise ConfigError(f"{path}: a batch must have at least one slice")
    if not 1 <= recipe.stop_after <= recipe.steps:
        raise ConfigError(f"{path}: stop_after must be from 1 to {recipe.steps}, got {recipe.stop_after}")
    return recipe
