"""Corrected frames of recorded sessions as training data."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")
pytest.importorskip("onnx", reason="training needs the extra `train`: pip install usassist[train]")

from tests.unit.training.test_train import tiny_data, tiny_recipe
from usassist.errors import ConfigError, SessionError
from usassist.frames import letterbox, to_grey
from usassist.session import open_session
from usassist.session.corrections import import_corrections, labelled_frames
from usassist.session.export import export_coco
from usassist.training.data.batches import BatchMaker, TrainFrames
from usassist.training.data.corrections import is_held_out_session, load_corrections
from usassist.training.recipe import DataConfig
from usassist.training.run import prepare

SWEEP = Path(__file__).resolve().parents[3] / "golden" / "sessions" / "sweep"
CORRECTED = {9: 6, 12: -4, 15: None}  # frame → moved by so many px; None = removed


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of which three frames were corrected."""
    folder = tmp_path_factory.mktemp("corrected")
    shutil.copytree(SWEEP, folder / "sweep")
    export_coco(open_session(folder / "sweep"), folder / "out.json")
    document = json.loads((folder / "out.json").read_text())
    for item in list(document["annotations"]):
        move = CORRECTED.get(item["image_id"], 0)
        if move is None:
            document["annotations"].remove(item)
        else:
            polygon = item["segmentation"][0]
            polygon[::2] = [x + move for x in polygon[::2]]
    (folder / "edited.json").write_text(json.dumps(document))
    import_corrections(folder / "sweep", [folder / "edited.json"], role="reader")
    return folder / "sweep"


def _another(folder: Path, session_id: str, target: Path) -> Path:
    """The session under another id."""
    shutil.copytree(folder, target)
    for name in ("session.toml", "corrections.jsonl"):
        text = (target / name).read_text().replace("reference-sweep", session_id)
        (target / name).write_text(text)
    return target


def test_batches_hold_the_corrected_masks_and_no_frame_that_nobody_touched(corrected: Path) -> None:
    samples = load_corrections([corrected], 0.0).train
    assert [sample.name for sample in samples] == [f"reference-sweep/{number:08d}" for number in CORRECTED]
    labels = {f"reference-sweep/{item.frame_id:08d}": item for item in labelled_frames(open_session(corrected))}
    for sample in samples:
        np.testing.assert_array_equal(sample.nodule, labels[sample.name].nodule)
        np.testing.assert_array_equal(sample.image, to_grey(labels[sample.name].image))
    assert not samples[2].nodule.any()

    def plain(sample, size_hw_px, rng):
        return tuple(letterbox(getattr(sample, name), size_hw_px)[0] for name in ("image", "nodule", "gland"))

    data = DataConfig(
        nodule_per_batch=1, gland_per_batch=0, phantom_per_batch=0, phantom_frames=0, corrections_per_batch=3
    )
    recipe = dataclasses.replace(tiny_recipe(), data=data)
    frames = TrainFrames(nodule=tiny_data().frames.nodule, corrections=samples)
    batch = BatchMaker(recipe, plain, frames).make(0, (192, 192))
    assert len(batch.image) == data.batch_size == 4
    found = {
        image.tobytes(): mask
        for image, mask in zip(*(x[1:, 0].numpy() for x in (batch.image, batch.mask)), strict=True)
    }
    for sample in samples:
        image, _ = letterbox(sample.image, (192, 192))
        nodule, _ = letterbox(sample.nodule, (192, 192))
        expected = cv2.resize(nodule.astype(np.float32), (96, 96), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(found[(image.astype(np.float32) / np.float32(255)).tobytes()], expected)


def test_a_session_is_on_one_side_alone(corrected: Path, tmp_path: Path) -> None:
    ids = [f"session-{number}" for number in range(200)]
    held_out = [name for name in ids if is_held_out_session(name, 0.2)]
    assert 20 < len(held_out) < 60
    assert set(held_out) <= {name for name in ids if is_held_out_session(name, 0.5)}
    kept = next(name for name in ids if name not in held_out)
    folders = [_another(corrected, name, tmp_path / name) for name in (kept, held_out[0])]
    sides = load_corrections(folders, 0.2)
    assert {sample.name.split("/")[0] for sample in sides.train} == {kept}
    assert {sample.name.split("/")[0] for sample in sides.validation} == {held_out[0]}
    with pytest.raises(ConfigError, match="all 1 sessions with corrections are held out"):
        load_corrections(folders[1:], 0.2)
    with pytest.raises(ConfigError, match="give each session once"):
        load_corrections([folders[0], shutil.copytree(folders[0], tmp_path / "copy")], 0.0)


def test_sessions_without_corrections_and_recipes_that_do_not_fit_are_refused(corrected: Path, tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no corrections"):
        load_corrections([SWEEP], 0.0)
    recipe = tiny_recipe()
    with pytest.raises(ConfigError, match="give both, or neither"):
        prepare(recipe, tmp_path, corrections=[corrected])
    with pytest.raises(ConfigError, match="give both, or neither"):
        prepare(dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, corrections_per_batch=1)), tmp_path)
