"""``usassist engine quantize --images``: images with bright ellipses, and an engine that finds what is bright."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("nncf", reason="quantising needs the extra `train`: pip install usassist[train]")

from tests.samples import bright_engine, bright_screen
from usassist.app.commands.main import main
from usassist.app.quantization.user_frames import read_user_images
from usassist.engine import find_engine, open_engine
from usassist.engine.int8 import load_calibration

LAYERS = 11  # the last stays in float
COUNT = 24
NODULE = (160, 120, 40, 28)
PATIENT = "Doe_Jane"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def engine_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_engine(tmp_path_factory.mktemp("bright"), LAYERS)


@pytest.fixture
def engines(engine_once: Path, tmp_path: Path) -> Path:
    """A folder of engines with `bright` in it, of this test alone."""
    return shutil.copytree(engine_once, tmp_path / "installed" / "engines")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Images with a nodule each and their masks, named as patients are; and images without any nodule."""
    root = tmp_path / "data"
    for folder in ("images", "masks", "dark"):
        (root / folder).mkdir(parents=True)
    for index in range(COUNT):
        x, y, a, b = NODULE
        ellipse = (x + 5 * index, y + 3 * (index % 5), a, b)
        mask = cv2.ellipse(np.zeros((360, 560), np.uint8), ellipse[:2], ellipse[2:], 0, 0, 360, 255, -1)
        suffix = (".png", ".bmp", ".tif")[index % 3]
        cv2.imwrite(str(root / f"images/{PATIENT}_{index}{suffix}"), bright_screen(index, [ellipse]))
        cv2.imwrite(str(root / f"masks/{PATIENT}_{index}.png"), mask)
        cv2.imwrite(str(root / f"dark/{PATIENT}_{index}.png"), bright_screen(90 + index, []))
    (root / "images/notes.txt").write_text("not an image")
    return root


@pytest.fixture
def run(engines: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Call ``usassist engine quantize bright``; exit code, standard output, standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        options = ["bright", "--engines", engines, "--threads", "1"]
        monkeypatch.setattr(sys, "argv", ["usassist", "engine", "quantize", *map(str, (*options, *arguments))])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return (ended.value.code or 0, *capfd.readouterr())  # type: ignore[return-value]

    return call


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def _refused(run: Run, engines: Path, *arguments: object) -> str:
    """The one line of a refusal, after which nothing has changed and no name was told."""
    before = _tree(engines.parent)
    code, out, err = run(*arguments)
    assert code != 0
    assert out == ""
    assert "Traceback" not in err
    assert PATIENT not in err
    assert _tree(engines.parent) == before
    return _last_line(err)


@pytest.mark.slow
def test_own_images_and_labels_give_int8_with_accuracy_and_without_names(run: Run, engines: Path, data: Path) -> None:
    gate = ("--gate-images", data / "images", "--gate-masks", data / "masks")
    code, out, err = run("--images", data / "images", "--count", 20, *gate, "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["kind"] == "accuracy"
    assert report["gate"]["sensitivity"]["int8"] == 1.0
    assert report["gate"]["dice"]["fp32"] > 0.9
    spec = find_engine("bright", engines)
    with open_engine(spec, "openvino", precision="int8") as engine:
        assert engine.precision == "int8"
    calibration = load_calibration(spec)
    assert set(calibration.gate) == {"dice", "sensitivity"}
    assert f"{COUNT} labelled frames of the user's own (20 of them set ranges too)" in calibration.method
    (frames,) = calibration.frames
    assert (frames.name, len(frames.sha256)) == ("own pictures", 20)
    assert frames.chosen == f"20 of {COUNT}, evenly spaced in the order of their names"
    written = (engines.parent / "calibration/int8/bright_1.0.0.toml").read_text()
    assert PATIENT not in written + out + err
    assert str(data) not in written
    document = tomllib.loads((engines / "bright/1.0.0/engine.toml").read_text())
    assert document["artifacts"]["onnx_int8"]["path"] == "model.int8.onnx"
    assert "use --replace" in _refused(run, engines, "--images", data / "images")


def test_the_hashes_are_those_of_the_scan_area_alone(data: Path) -> None:
    """Text on the screen lies outside of it and changes none of them."""
    before = read_user_images(data / "images", COUNT).frames.digests()
    for index, path in enumerate(sorted((data / "images").glob(f"{PATIENT}*"))):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        cv2.putText(image, f"DOE JANE {index}", (10, 350), cv2.FONT_HERSHEY_PLAIN, 0.8, 255)
        cv2.imwrite(str(path), image)
    assert read_user_images(data / "images", COUNT).frames.digests() == before


@pytest.mark.slow
def test_without_labels_the_gate_is_agreement_and_is_called_so(
    run: Run, engines: Path, data: Path, tmp_path: Path
) -> None:
    before = _tree(engines.parent)
    code, out, err = run("--images", data / "images", "--out", tmp_path / "copy")
    assert code == 0, err
    assert "agreement_dice: 0.9" in out or "agreement_dice: 1.0" in out
    assert "this is agreement with FP32, not accuracy" in out
    assert _tree(engines.parent) == before
    calibration = load_calibration(find_engine("bright", tmp_path / "copy/engines"))
    assert "agreement, not accuracy" in calibration.method
    assert set(calibration.gate) == {"agreement_dice", "agreement_found"}
    assert all(figure.fp32 == 1.0 >= figure.int8 >= 0.95 for figure in calibration.gate.values())


@pytest.mark.slow
def test_int8_that_loses_accuracy_is_refused_with_the_figures(run: Run, engines: Path, data: Path) -> None:
    """Ranges from dark images alone cut off everything that is bright."""
    gate = ("--gate-images", data / "images", "--gate-masks", data / "masks")
    line = _refused(run, engines, "--images", data / "dark", *gate)
    assert "is refused: dice 0.9" in line
    assert "sensitivity 1.0000 in FP32 and 0.0000 in INT8; none may fall by more than 0.01" in line
    assert line.endswith("Nothing was written; go on in FP32")


@pytest.mark.slow
def test_int8_that_does_not_agree_is_refused_with_the_figures(run: Run, engines: Path, data: Path) -> None:
    for path in [*(data / "images").glob("*_1?.*")]:
        path.rename(data / "dark" / f"bright{path.suffix.join(path.name.rsplit(path.suffix, 1))}")
    line = _refused(run, engines, "--images", data / "dark")
    assert "agreement_dice 0." in line
    assert "against FP32 on the same frames; none may be below 0.95" in line


def test_images_with_too_few_findings_in_fp32_are_refused(run: Run, engines: Path, data: Path) -> None:
    line = _refused(run, engines, "--images", data / "dark")
    assert f"finds something in 0 of {COUNT} images, too few to compare" in line
    assert "--gate-images" in line


def _empty(data: Path) -> None:
    shutil.rmtree(data / "images")
    (data / "images").mkdir()


def _few(data: Path) -> None:
    for path in list((data / "images").glob(f"{PATIENT}*"))[:10]:
        path.unlink()


def _all_the_same(data: Path) -> None:
    for path in (data / "images").glob(f"{PATIENT}*"):
        cv2.imwrite(str(path), bright_screen(0, [NODULE]))


def _unreadable(data: Path) -> None:
    (data / f"images/{PATIENT}_2.tif").write_bytes(b"II*\0")
    (data / f"images/{PATIENT}_4.bmp").write_bytes(b"")


def _black(data: Path) -> None:
    cv2.imwrite(str(data / f"images/{PATIENT}_3.png"), np.zeros((360, 560), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: shutil.rmtree(data / "images"), "there is no folder"),
        (_empty, "holds no png, jpg, bmp or tif images"),
        (_few, "14 images are too few; give 20 or more"),
        (_all_the_same, "1 different images are too few"),
        (
            _unreadable,
            "of 24 images in the order of their names, number 3 is not an image that can be read; number 5 is empty; "
            "repair or remove them",
        ),
        (_black, "number 4 shows no scan area; repair or remove them"),
    ],
    ids=["no folder", "no images", "few", "all the same", "unreadable", "black"],
)
def test_unusable_images_are_refused_in_one_line(
    run: Run, engines: Path, data: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(data)
    assert message in _refused(run, engines, "--images", data / "images")


def _no_mask(data: Path) -> None:
    (data / f"masks/{PATIENT}_7.png").rename(data / f"masks/{PATIENT}_x.png")
    shutil.copyfile(data / f"images/{PATIENT}_0.png", data / f"images/{PATIENT}_0.jpg")


def _small_mask(data: Path) -> None:
    cv2.imwrite(str(data / f"masks/{PATIENT}_7.png"), np.zeros((90, 90), np.uint8))


def _grey_mask(data: Path) -> None:
    cv2.imwrite(str(data / f"masks/{PATIENT}_7.png"), np.full((360, 560), 99, np.uint8))


def _nothing_marked(data: Path) -> None:
    for index in range(10):
        cv2.imwrite(str(data / f"masks/{PATIENT}_{index}.png"), np.zeros((360, 560), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: shutil.rmtree(data / "masks"), "there is no folder"),
        (
            _no_mask,
            "1 of 24 images have no mask of the same name (the first is image 8 in the order of their names), 1 of "
            "24 masks have no image, 1 files have the name of another",
        ),
        (_small_mask, "number 8 image 560 x 360 px, mask 90 x 90 px; repair or remove them"),
        (_grey_mask, "number 8 is neither black and white nor 0 and 1"),
        (_nothing_marked, "14 labelled images with a nodule in them are too few"),
    ],
    ids=["no folder", "no partner", "sizes", "grey", "nothing marked"],
)
def test_labels_that_cannot_be_used_are_one_line(
    run: Run, engines: Path, data: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(data)
    gate = ("--gate-images", data / "images", "--gate-masks", data / "masks")
    assert message in _refused(run, engines, "--images", data / "dark", *gate)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gate-images", "a", "--gate-masks", "b"), "--gate-images goes with --images"),
        (("--count", "30"), "--count goes with --images"),
        (("--images", "a", "--data", "b"), "--images and --data cannot go together"),
        (("--images", "a", "--gate-masks", "b"), "--gate-images and --gate-masks go together"),
        (("--images", "a", "--count", "19"), "--count"),
    ],
)
def test_options_that_do_not_fit_together_are_wrong_use(
    run: Run, engines: Path, arguments: tuple[str, ...], message: str
) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert message in err
    assert set(_tree(engines.parent)) == {
        f"engines/bright/1.0.0/{name}" for name in ("engine.toml", "golden.npz", "model.onnx")
    }


def test_without_nncf_no_image_is_read(run: Run, engines: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert "pip install 'usassist[train]'" in _refused(run, engines, "--images", data / "missing")
