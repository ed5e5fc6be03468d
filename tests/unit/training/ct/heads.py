"""A tiny data set: drawn label maps, drawn pictures and random starting weights."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from usassist.training.ct.network import IchNet
from usassist.training.ct.recipe import IchRecipe
from usassist.training.network.layers import ConvNorm

RECIPE = IchRecipe(
    engine="ct_ich",
    version="0.0.9",
    licence="none",
    intended_use="a test",
    seed=1,
    split_seed=1,
    steps=4,
    stop_after=4,
    small_side_px=64,
    small_share=1.0,
    simulated_per_batch=3,
    drawn_on_per_batch=0,
    labelled_per_batch=0,
    blood_share=0.7,
    drawn_share=0.7,
    bone_share=0.5,
    window_share=0.5,
    learning_rate=1e-3,
    encoder_rate=0.3,
    weight_decay=0.01,
    dropout=0.1,
    average_decay=0.99,
    dice_weight=1.0,
    slice_weight=0.5,
    bag_weight=0.3,
    mask_threshold=0.5,
    slice_thresholds=(0.5, 0.5, 0.5, 0.5),
)


def draw_label_map(path: Path) -> None:
    """Bone, brain, ventricle, blood and scalp by colour (BGR)."""
    image = np.zeros((128, 128, 3), np.uint8)
    for axes, colour in (((40, 50), (0, 255, 255)), ((37, 47), (255, 255, 255)), ((32, 42), (0, 255, 0))):
        cv2.ellipse(image, (64, 64), axes, 0, 0, 360, colour, cv2.FILLED)
    cv2.ellipse(image, (64, 60), (6, 12), 0, 0, 360, (255, 0, 0), cv2.FILLED)
    cv2.ellipse(image, (48, 70), (6, 6), 0, 0, 360, (0, 0, 255), cv2.FILLED)
    cv2.imwrite(str(path), image)


def draw_picture(window: tuple[float, float] = (0.0, 80.0), blood: bool = False) -> np.ndarray:
    """A head of 33 HU in bone, through a window: uint8 (200, 180)."""
    hu = np.full((200, 180), -1000.0, np.float32)
    cv2.ellipse(hu, (90, 100), (72, 90), 0, 0, 360, 900.0, cv2.FILLED)
    cv2.ellipse(hu, (90, 100), (62, 80), 0, 0, 360, 33.0, cv2.FILLED)
    cv2.ellipse(hu, (90, 95), (10, 22), 0, 0, 360, 6.0, cv2.FILLED)
    if blood:
        cv2.ellipse(hu, (60, 110), (12, 12), 0, 0, 360, 65.0, cv2.FILLED)
    low, high = window
    return np.rint(np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def write_data(root: Path) -> Path:
    """Label maps, a template and starting weights, as the recipe reads them."""
    import nibabel

    maps = root / "ct_head_ich_labels_cq500"
    maps.mkdir(parents=True)
    for number in range(2):
        draw_label_map(maps / f"CT{number}-1.png")
    template = np.zeros((40, 48, 150), np.float32)
    template[8:32, 8:40, 20:145] = np.random.default_rng(0).normal(30, 3, (24, 32, 125))
    (root / "ct_head_template").mkdir()
    nibabel.save(nibabel.Nifti1Image(template, np.eye(4)), root / "ct_head_template" / "scct_unsmooth_SS_0.01.nii.gz")
    (root / "weights_mobilenet_v2").mkdir()
    net, arrays = IchNet(), {}
    layers = {"Conv2d_0_0": net.stem}
    for number, block in enumerate(net.blocks, start=1):
        for part in ("expand", "depthwise", "project"):
            layer = getattr(block, part)
            if isinstance(layer, ConvNorm):
                layers[f"expanded_conv_{number}.{part}"] = layer
    for name, layer in layers.items():
        assert layer.conv.bias is not None
        arrays[f"{name}.weight"] = layer.conv.weight.detach().numpy().astype(np.float16)
        arrays[f"{name}.bias"] = layer.conv.bias.detach().numpy().astype(np.float16)
    np.savez(root / "weights_mobilenet_v2" / "mobilenet_v2_1.0_224_imagenet_folded.npz", **arrays)
    return root
