"""The loss, a run that is interrupted, the export and the recipe of the engine ``ct_ich``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training.ct.heads import RECIPE
from usassist.engine import find_engine, open_engine
from usassist.errors import ConfigError
from usassist.training.ct.__main__ import main
from usassist.training.ct.loss import compute_loss
from usassist.training.ct.network import ExportModule, IchNet, IchOutputs
from usassist.training.ct.package import write_engine_folder
from usassist.training.ct.recipe import load_ich_recipe
from usassist.training.ct.samples import IchBatch
from usassist.training.ct.train import load_trained, train

SHIPPED = Path("recipes/ct_ich_0.1.toml")


@pytest.mark.parametrize(
    "path", [SHIPPED, *sorted(Path("recipes/ablation").glob("ct_*.toml"))], ids=lambda path: path.stem
)
def test_every_shipped_recipe_can_be_read(path: Path) -> None:
    assert "not a medical device" in load_ich_recipe(path).intended_use


def _batch(known: bool, has_blood: bool) -> IchBatch:
    kinds = torch.zeros((1, 64, 64), dtype=torch.uint8)
    if known and has_blood:
        kinds[0, 10:30, 10:30] = 3
    return IchBatch(
        image=torch.zeros((1, 3, 64, 64)),
        kinds=kinds,
        has_blood=torch.tensor([float(has_blood)]),
        mask_known=torch.tensor([known]),
    )


def _outputs(high: bool, slice_logit: float) -> IchOutputs:
    mask = torch.full((1, 4, 64, 64), -6.0)
    if high:
        mask[0, [0, 3], 10:30, 10:30] = 6.0
    return IchOutputs(mask, torch.tensor([[slice_logit, -6.0, -6.0, slice_logit]]))


def _total(outputs: IchOutputs, batch: IchBatch) -> float:
    return float(sum(compute_loss(outputs, batch, RECIPE).values()))


@pytest.mark.parametrize(("known", "has_blood"), [(True, True), (True, False), (False, True)])
def test_the_right_answer_has_the_smallest_loss(known: bool, has_blood: bool) -> None:
    batch = _batch(known, has_blood)
    right = _total(_outputs(has_blood, 6.0 if has_blood else -6.0), batch)
    assert right < 0.15
    assert _total(_outputs(not has_blood, 6.0 if has_blood else -6.0), batch) > right + 0.1
    assert _total(_outputs(has_blood, -6.0 if has_blood else 6.0), batch) > right + 0.1


def test_a_mask_that_is_not_known_teaches_no_pixel_but_the_highest() -> None:
    mask = torch.zeros((1, 4, 64, 64), requires_grad=True)
    with torch.no_grad():
        mask[0, 0, 8:16, 8:16] = 1.0
    terms = compute_loss(IchOutputs(mask, torch.zeros((1, 4))), _batch(False, True), RECIPE)
    torch.stack(list(terms.values())).sum().backward()
    assert mask.grad is not None
    touched = mask.grad[0, 0] != 0
    assert touched.sum() == 64
    assert touched[8:16, 8:16].all()
    assert not mask.grad[0, 1:].any()


def test_a_run_that_was_interrupted_ends_as_one_that_was_not(data_root: Path, tmp_path: Path) -> None:
    whole = train(RECIPE, data_root, tmp_path / "whole", workers=0, precision="fp32")

    class Stop(Exception):
        """As a signal would."""

    saved = tmp_path / "cut"
    cut = dataclasses.replace(RECIPE)

    def stop(step: int, _figures: dict[str, float]) -> None:
        raise Stop

    import usassist.training.ct.train as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SAVE_EVERY_S", -1.0)
        patch.setattr(module, "_average", _stop_at(3, Stop, module._average))
        with pytest.raises(Stop):
            train(cut, data_root, saved, workers=0, precision="fp32")
    assert load_trained(saved)[1]["step"] == 2
    torch.manual_seed(1)
    train(cut, data_root, saved, workers=0, precision="fp32")
    again, about = load_trained(saved)
    assert about["step"] == 4
    # dropout draws other channels after a restart, so weights are close and not equal
    for first, second in zip(whole.parameters(), again.parameters(), strict=True):
        assert float((first - second).detach().abs().max()) < 0.02
    with pytest.raises(ConfigError, match="another recipe"):
        train(dataclasses.replace(cut, seed=2), data_root, saved, workers=0)


def _stop_at(step: int, stop: type[Exception], average):  # type: ignore[no-untyped-def]
    calls = []

    def averaged(*arguments):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == step:
            raise stop
        average(*arguments)

    return averaged


def test_the_engine_of_a_run_answers_every_batch(data_root: Path, tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, stop_after=1, mask_threshold=0.3)
    train(recipe, data_root, tmp_path / "run", workers=0, precision="fp32")
    write_engine_folder(recipe, tmp_path / "run", tmp_path / "engines")
    spec = find_engine("ct_ich", tmp_path / "engines")
    assert [label.name for label in spec.labels] == [
        "haemorrhage",
        "intraparenchymal",
        "intraventricular",
        "extra_axial",
    ]
    assert (spec.folder / "golden" / "golden.npz").stat().st_size <= 200_000
    image = np.random.default_rng(0).random((3, 3, 256, 256), np.float32)
    with open_engine(spec, "onnxruntime") as engine:
        assert engine.verify() < 0.002
        together = engine.infer({"image": image})
        alone = engine.infer({"image": image[1:2]})
    assert together["mask_prob"].shape == (3, 1, 256, 256)
    np.testing.assert_allclose(together["mask_prob"][1:2], alone["mask_prob"], atol=1e-5)
    np.testing.assert_allclose(together["slice_prob"][1:2], alone["slice_prob"], atol=1e-5)


def test_the_level_of_the_mask_is_shifted_to_one_half() -> None:
    net = IchNet().eval()
    image = torch.rand((1, 3, 64, 64))
    with torch.no_grad():
        plain, shifted = (ExportModule(net, level)(image)[0] for level in (0.5, 0.2))
    np.testing.assert_array_equal((plain >= 0.2).numpy(), (shifted >= 0.5).numpy())


def test_the_shipped_recipe_is_read_and_a_wrong_key_is_named(tmp_path: Path) -> None:
    assert load_ich_recipe(SHIPPED).engine == "ct_ich"
    text = SHIPPED.read_text(encoding="utf-8")
    for change, message in (
        (text + "\nfoo = 1\n", "foo"),
        (text.replace("\nseed = 1", "\nseed = true"), "seed"),
        (text.replace("\nsteps = ", "\nstep = "), "step"),
        (text.replace("\nstop_after = 1054", "\nstop_after = 1701"), "stop_after"),
    ):
        path = tmp_path / "recipe.toml"
        path.write_text(change, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            load_ich_recipe(path)


def test_a_missing_recipe_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.toml"), "--out", str(tmp_path / "run")]) == 2
    assert "none.toml" in capsys.readouterr().err
