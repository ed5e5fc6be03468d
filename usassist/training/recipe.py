"""Recipes: all settings of a training run, read from one TOML file."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usassist.config import from_table
from usassist.errors import ConfigError

__all__ = ["AugmentConfig", "DataConfig", "ModelConfig", "OptimConfig", "Recipe", "load_recipe"]


ENCODER_NAMES = ("mobilenet_v2", "efficientnet_lite0")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Table ``[data]``: the frames, and the number of each kind in a batch.

    Attributes
    ----------
    nodule_per_batch : labelled frames with nodules (DDTI, part ``train``)
    gland_per_batch : frames without nodules (TG3K, part ``train``)
    phantom_per_batch : simulated frames with exact masks
    gland_last_number : only TG3K frames with a file number up to this one are used, so that later sweeps are held out
    phantom_frames : total number of simulated frames, 0 = none
    phantom_seed : seed of the first simulated scene
    phantom_crossing_share : share of the scenes that are rendered while the plane crosses a nodule
    paste_share : share of gland frames with a nodule of another frame pasted into the gland
    other_per_batch : frames without nodules that do not show the thyroid
    boxed_per_batch : frames with one nodule box each (TN5000, part ``train``)
    teacher_outlines : False: of the frames with boxes only the boxes are used, even where a teacher drew outlines
    breast_per_batch : breast frames with outlined lesions (BUSI)
    corrections_per_batch : frames of recorded sessions that readers corrected; the sessions are given to the command
    corrections_val_share : share of these sessions that is held out for validation, each as a whole
    other_pictures : the other frames are not only those of lung clips, but also carotids, heads and drawn screens
    look_power : a scanner look with n frames is drawn with a probability in proportion to n to this power; 1 = every
        frame alike, 0 = every look alike
    unmarked_weight : weight of the loss where nodules may be that are not marked
    dual_share : share of labelled frames that are combined with another one to a dual view
    """

    nodule_per_batch: int = 10
    gland_per_batch: int = 3
    phantom_per_batch: int = 3
    gland_last_number: int = 2400
    phantom_frames: int = 300
    phantom_seed: int = 1000
    phantom_crossing_share: float = 0.75
    paste_share: float = 0.4
    other_per_batch: int = 0
    boxed_per_batch: int = 0
    teacher_outlines: bool = True
    breast_per_batch: int = 0
    corrections_per_batch: int = 0
    corrections_val_share: float = 0.2
    other_pictures: bool = False
    look_power: float = 1.0
    unmarked_weight: float = 0.5
    dual_share: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        counts = (
            self.gland_per_batch,
            self.phantom_per_batch,
            self.other_per_batch,
            self.boxed_per_batch,
            self.breast_per_batch,
            self.corrections_per_batch,
            self.phantom_frames,
        )
        _require(self.nodule_per_batch >= 1, "data.nodule_per_batch must be at least 1")
        _require(min(counts) >= 0, "data counts are 0 or more")
        shares = ("paste_share", "dual_share", "phantom_crossing_share", "corrections_val_share")
        for name in (*shares, "look_power", "unmarked_weight"):
            _require(0.0 <= getattr(self, name) <= 1.0, f"data.{name} must lie in 0 to 1")

    @property
    def batch_size(self) -> int:
        """Images in a batch."""
        phantom = self.phantom_per_batch if self.phantom_frames else 0
        others = self.gland_per_batch + self.other_per_batch + self.boxed_per_batch + self.breast_per_batch
        return self.nodule_per_batch + phantom + others + self.corrections_per_batch


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentConfig:
    """Table ``[augment]``: ranges of the random changes. ``*_p`` is the probability of a change.

    Attributes
    ----------
    zoom_least, zoom_most : scale relative to the letterboxed frame
    aspect_most : maximum factor of the width, either way
    rotate_most_deg : maximum rotation, either way
    histogram_p : histogram matching with a frame of another scanner
    gamma_sd : standard deviation of the logarithm of gamma
    gain_most : maximum factor of the brightness, either way
    tgc_most : maximum change of the logarithm of the gain over the depth
    speckle_most : amplitude of the correlated multiplicative noise
    shadow_p, blur_p, sharpen_p, jpeg_p, marks_p : shadow stripes, blur, sharpening, JPEG, drawn calipers and text
    elastic_most : maximum elastic displacement, share of the height
    spectrum_p : the lowest spatial frequencies get the amplitude of a frame of another scanner
    speckle_swap_p : the speckle is smoothed out and replaced by one with another grain
    equalise_p : adaptive contrast (CLAHE), as on newer scanners
    corners_p : black corners, as beside a trapezoid or a fan
    nodule_free_p : a frame with nodules is cropped to a side of it that shows none, where that is wide enough
    marks_out_p : calipers of the frame itself are painted out
    fan_p : the frame is bent into a trapezoid or a fan, as with a virtual convex or a convex probe
    faint_p : nodules are brought nearer to the grey level of the tissue around them
    """

    zoom_least: float = 0.55
    zoom_most: float = 2.0
    aspect_most: float = 1.25
    rotate_most_deg: float = 8.0
    histogram_p: float = 0.4
    gamma_sd: float = 0.25
    gain_most: float = 1.4
    tgc_most: float = 0.7
    speckle_most: float = 0.3
    shadow_p: float = 0.25
    blur_p: float = 0.25
    sharpen_p: float = 0.15
    jpeg_p: float = 0.2
    marks_p: float = 0.3
    elastic_most: float = 0.0
    spectrum_p: float = 0.0
    speckle_swap_p: float = 0.0
    equalise_p: float = 0.0
    corners_p: float = 0.0
    nodule_free_p: float = 0.0
    marks_out_p: float = 0.0
    fan_p: float = 0.0
    faint_p: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """Table ``[model]``: the network and its regularisation.

    Attributes
    ----------
    encoder : ``mobilenet_v2`` or ``efficientnet_lite0``
    encoder_width : factor on the encoder's channels; ImageNet weights need 1.0
    pyramid_channels : of the pyramid at strides 32 to 8
    mask_channels : of the pyramid at stride 4
    frozen_blocks : number of encoder blocks, 1 to 16, that are frozen together with the stem; 0 = all are trained
    drop_path : share of training images that skip the last block; earlier blocks are skipped less often
    dropout : share of the pyramid's channels that are dropped in a training image, at strides 32 and 8
    mix_style_p : probability that the channels' mean and spread are mixed between training images
    gland_weight : weight of the gland mask in the loss; 0 = the gland is not learnt
    filled_weight : weight of the mask's loss where only the box of a nodule is known
    pair_weight : weight of alike neighbours in that loss
    domain_weight : weight of the frame showing the thyroid
    separable_heads : the heads have depthwise 3x3 and 1x1 convolutions instead of full 3x3 ones
    fresh : parts of the network, by name, that a run with ``--start`` initialises anew
    """

    encoder: str = "mobilenet_v2"
    encoder_width: float = 1.0
    pyramid_channels: int = 64
    mask_channels: int = 48
    frozen_blocks: int = 0
    drop_path: float = 0.0
    dropout: float = 0.0
    mix_style_p: float = 0.0
    gland_weight: float = 0.0
    filled_weight: float = 0.0
    pair_weight: float = 0.0
    domain_weight: float = 0.0
    separable_heads: bool = False
    fresh: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(0.1 <= self.encoder_width <= 2.0, "model.encoder_width must lie in 0.1 to 2")
        _require(min(self.pyramid_channels, self.mask_channels) >= 8, "model channels must be 8 or more")
        _require(0 <= self.frozen_blocks <= 16, "model.frozen_blocks must lie in 0 to 16")
        _require(
            all(0.0 <= share < 1.0 for share in (self.drop_path, self.dropout)),
            "model.drop_path and dropout must lie in 0 to 1",
        )
        _require(0.0 <= self.mix_style_p <= 1.0, "model.mix_style_p must lie in 0 to 1")
        weights = (self.gland_weight, self.filled_weight, self.pair_weight, self.domain_weight)
        _require(min(weights) >= 0.0, "model weights of the loss must not be negative")
        _require(self.encoder in ENCODER_NAMES, f"model.encoder must be {' or '.join(ENCODER_NAMES)}")

    def channels(self, full: int) -> int:
        """Channels of a layer that has ``full`` of them at full width; a multiple of 8."""
        return max(8, round(full * self.encoder_width / 8) * 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimConfig:
    """Table ``[optim]``: AdamW with a cosine schedule over the budget, which ends with the steps or the time.

    Attributes
    ----------
    steps : maximum number of batches
    wall_clock_min : maximum time, without the preparation of the data
    stop_at_step : stop there, before the end of the schedule, for a run that another one starts from; 0 = do not
    learning_rate, encoder_learning_rate : at the peak, for new layers and for the encoder
    weight_decay : of AdamW
    warmup_share : share of the budget in which the rate rises from 0
    average_decay : decay of the moving average of the weights, which is exported
    coarse_share : share of the budget that is trained at ``coarse_size_hw_px``
    coarse_height_px, coarse_width_px : that smaller size, multiples of 32
    rounding_share : share of the budget, at its end, with INT8 fake quantisation
    clip_norm : maximum norm of the gradient
    precision : of the network's forward and backward pass: ``bf16`` (autocast), ``fp32``, or ``auto`` for bfloat16
        where it is measured to be faster
    threads : of PyTorch
    checkpoint_every_steps, validate_every_steps : 0 = only at the end
    """

    steps: int = 3000
    wall_clock_min: float = 45.0
    stop_at_step: int = 0
    learning_rate: float = 2e-3
    encoder_learning_rate: float = 5e-4
    weight_decay: float = 0.02
    warmup_share: float = 0.03
    average_decay: float = 0.995
    coarse_share: float = 0.4
    coarse_height_px: int = 192
    coarse_width_px: int = 288
    rounding_share: float = 0.0
    clip_norm: float = 5.0
    precision: str = "auto"
    threads: int = 2
    checkpoint_every_steps: int = 200
    validate_every_steps: int = 200

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.steps >= 1 and self.wall_clock_min > 0, "optim.steps and optim.wall_clock_min must be positive")
        _require(0.0 <= self.coarse_share <= 1.0, "optim.coarse_share must lie in 0 to 1")
        _require(0.0 <= self.rounding_share <= 1.0, "optim.rounding_share must lie in 0 to 1")
        _require(self.precision in ("auto", "bf16", "fp32"), "optim.precision must be auto, bf16 or fp32")
        _require(
            self.coarse_height_px % 32 == 0 and self.coarse_width_px % 32 == 0,
            "optim.coarse_height_px and coarse_width_px must be multiples of 32",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run.

    Attributes
    ----------
    engine, version : of the engine folder
    seed : of weights, batches and augmentation
    height_px, width_px : input size of the engine, multiples of 32
    pretrained : start the encoder from ImageNet weights
    licence, intended_use : for ``engine.toml``
    """

    engine: str = "thyroid_nodule"
    version: str = "0.0.0"
    seed: int = 1
    height_px: int = 256
    width_px: int = 384
    pretrained: bool = True
    licence: str = "not stated"
    intended_use: str = "Research use only; not a medical device."
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.height_px % 32 == 0 and self.width_px % 32 == 0, "height_px and width_px must be multiples of 32")
        _require(self.pretrained or not self.model.frozen_blocks, "model.frozen_blocks needs pretrained = true")

    @property
    def size_hw_px(self) -> tuple[int, int]:
        """Input size of the engine."""
        return self.height_px, self.width_px

    def size_hw_px_at(self, progress: float) -> tuple[int, int]:
        """Training size at a share of the budget, 0 to 1."""
        if progress < self.optim.coarse_share:
            return self.optim.coarse_height_px, self.optim.coarse_width_px
        return self.size_hw_px

    def as_dict(self) -> dict[str, Any]:
        """All settings, for the run's manifest."""
        return dataclasses.asdict(self)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe.

    A recipe may be based on another one, ``base = "../other.toml"``, and then contains only the differences.

    Raises
    ------
    ConfigError
        If the file cannot be read, has an unknown table or key, or a value of the wrong type or out of range.
    """
    document = _read_document(path)
    kinds: dict[str, type[Any]] = {
        "data": DataConfig,
        "augment": AugmentConfig,
        "model": ModelConfig,
        "optim": OptimConfig,
    }
    tables = {
        name: from_table(kind, document.pop(name, {}), where=f"recipe {path.name}, table {name}")
        for name, kind in kinds.items()
    }
    scalars = {item.name: item for item in dataclasses.fields(Recipe) if item.name not in kinds}
    for key, value in document.items():
        if key not in scalars:
            raise ConfigError(f"recipe {path.name}: unknown key {key}; known: {', '.join(sorted([*scalars, *kinds]))}")
        if type(value) is not type(scalars[key].default):
            raise ConfigError(f"recipe {path.name}: {key} must be {type(scalars[key].default).__name__}, got {value!r}")
    return Recipe(**document, **tables)


def _read_document(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read the keys and tables of a recipe, merged over those of the recipes that it is based on."""
    try:
        own = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"recipe {path} cannot be read: {error}; fix the file") from error
    base = own.pop("base", None)
    if base is None:
        return own
    seen = (*seen, path.resolve())
    if not isinstance(base, str) or (path.parent / base).resolve() in seen:
        raise ConfigError(f"recipe {path.name}: base must name another recipe, relative to this one, got {base!r}")
    merged = _read_document(path.parent / base, seen)
    for key, value in own.items():
        below = merged.get(key)
        merged[key] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)
