from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from rich.console import Console

from bench.peers.ours import mask_on_frame
from bench.peers.report import Row, dice, print_report
from bench.peers.turns import Worker, read_masks, take_turns
from bench.peers.worker import serve
from usassist.engine import find_engine
from usassist.errors import EngineError, UsAssistError
from usassist.frames import letterbox_affine
from usassist.phantom import PhantomConfig, PhantomScanner

TIMES_S = (3.4, 6.4, 7.0)


@pytest.fixture(scope="module")
def mask_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx", reason="deriving a model wants onnx (pip install 'usassist[dev]')")
    from bench.peers.model import derive

    path = tmp_path_factory.mktemp("model") / "mask.fp32.onnx"
    derive(find_engine("thyroid_nodule").check_weights("onnx"), path)
    return path


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated frames of three nodules, cut to the shape of the engine's input: stretching is fitting then."""
    folder = tmp_path_factory.mktemp("frames")
    scanner = PhantomScanner(PhantomConfig.demo())
    screens = np.stack([scanner.render(t_s).screen[:, 100:1180] for t_s in TIMES_S])
    np.save(folder / "bgr.npy", screens[..., ::-1])
    return folder


def test_the_derived_model_has_the_mask_alone_and_gives_the_same_mask(mask_model: Path) -> None:
    import onnx

    graph = onnx.load(mask_model).graph
    assert [output.name for output in graph.output] == ["mask_prob"]
    assert "ReduceMean" not in {node.op_type for node in graph.node}
    assert {item.name for item in graph.initializer} <= {name for node in graph.node for name in node.input}
    tensor = np.random.default_rng(3).random((1, 1, 192, 288), np.float32)
    full, derived = (
        onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(
            ["mask_prob"], {"image": tensor}
        )
        for path in (find_engine("thyroid_nodule").check_weights("onnx"), mask_model)
    )
    np.testing.assert_allclose(derived[0], full[0], atol=1e-5)


def test_a_model_without_a_mask_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from bench.peers.model import derive

    ports = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("image", "score")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["image"], ["score"])], "g", ports[:1], ports[1:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(EngineError, match="no output mask_prob"):
        derive(tmp_path / "other.onnx", tmp_path / "mask.onnx")
    assert not (tmp_path / "mask.onnx").exists()


@pytest.mark.parametrize("way", ["ours", "ours_lanes"])
def test_the_plain_loop_and_ours_outline_the_same(way: str, mask_model: Path, frames: Path, tmp_path: Path) -> None:
    masks = {}
    for name in ("plain", way):
        request = json.dumps({"first": 0, "count": len(TIMES_S), "masks": str(tmp_path / f"{name}.npy")})
        versions, _ = serve(name, mask_model, frames, iter([request]))
        assert versions["versions"]
        masks[name] = read_masks(tmp_path / f"{name}.npy", 1080)
        assert masks[name].shape == (len(TIMES_S), 720, 1080)
    assert masks["plain"].sum(axis=(1, 2)).min() > 1000
    for plain, ours in zip(masks["plain"], masks[way], strict=True):
        assert dice(plain[None], ours[None])[0] > 0.96


@pytest.mark.parametrize("place", ["inside", "corner", "edge", "everywhere", "nowhere"])
@pytest.mark.parametrize("image_hw_px", [(720, 1280), (720, 1080), (500, 700)])
def test_resampling_only_where_the_mask_is_gives_what_resampling_everything_does(
    place: str, image_hw_px: tuple[int, int]
) -> None:
    rng = np.random.default_rng(5)
    prob = np.zeros((128, 192), np.float32)
    where = {
        "inside": np.s_[40:61, 70:105],
        "corner": np.s_[:30, :90],
        "edge": np.s_[100:, 150:],
        "everywhere": np.s_[:],
        "nowhere": np.s_[:0],
    }[place]
    prob[where] = rng.random(prob[where].shape, np.float32)
    image_to_input = letterbox_affine(image_hw_px, (256, 384))
    scale, shift = np.diag(image_to_input[:, :2]) / 2, image_to_input[:, 2] / 2
    whole = cv2.warpAffine(
        prob,
        np.column_stack([np.diag(scale), 0.5 * scale + shift - 0.5]),
        image_hw_px[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    mask = mask_on_frame(prob, image_to_input, image_hw_px)
    # OpenCV rounds where it reads to 1/32 of a cell, from another corner each time: what is nearly 0.5 may differ.
    sure = np.abs(whole - 0.5) > 0.07
    assert mask.max() == (0 if place == "nowhere" else 1)
    np.testing.assert_array_equal(mask[sure] > 0, whole[sure] >= 0.5)


def test_dice_counts_all_pixels_together_and_the_median_frame() -> None:
    one, other = np.zeros((2, 3, 4, 4), np.bool_)
    assert dice(one, other) == (1.0, None)
    one[0, :2], other[0, :2] = True, True
    one[1, 0, 0] = True
    pooled, of_a_frame = dice(one, other)
    assert (pooled, of_a_frame) == pytest.approx((16 / 17, 0.5))


def _row(key: str, rates: list[float], agreement: float = 1.0) -> Row:
    return Row(key=key, title=key, versions="", rates=np.array(rates), dice=agreement, frame_dice=None)


def test_a_target_is_reached_by_the_median_ratio_of_the_same_rounds() -> None:
    rows = {
        "pyfast": _row("pyfast", [10.0, 5.0, 1.0]),
        "plain": _row("plain", [50.0, 25.0, 5.0]),
        "ours": _row("ours", [90.0, 45.0, 1.0]),
    }
    shown = io.StringIO()
    assert print_report(rows, {"table": ("pyfast", "plain", "ours")}, Console(file=shown, width=150))
    assert "8 x pyfast: reached by ours, 9.00 x" in shown.getvalue()
    assert "2 x plain: NOT reached by ours, 1.80 x" in shown.getvalue()


def test_masks_that_do_not_agree_make_the_comparison_mean_nothing() -> None:
    rows = {"plain": _row("plain", [50.0]), "ours": _row("ours", [90.0], agreement=0.4)}
    shown = io.StringIO()
    assert not print_report(rows, {"table": ("plain", "ours")}, Console(file=shown, width=150))
    assert "its figures mean nothing" in shown.getvalue()


class _Turned:
    def __init__(self, name: str, turns: list[tuple[str, int]]) -> None:
        self._name, self._turns = name, turns

    def turn_s(self, first: int, count: int) -> float:
        self._turns.append((self._name, first))
        return 0.5 if self._name == "a" else 0.25


def test_workers_take_turns_on_the_same_frames_and_the_first_of_a_round_changes() -> None:
    turns: list[tuple[str, int]] = []
    workers = [_Turned(name, turns) for name in "ab"]
    rates = take_turns(workers, rounds=3, turn=2, frames=4)  # type: ignore[arg-type]
    assert turns == [("a", 0), ("b", 0), ("b", 2), ("a", 2), ("a", 1), ("b", 1)]
    np.testing.assert_array_equal(rates, [[4.0, 8.0]] * 3)


def test_a_worker_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsAssistError, match=r"plain does not run here: .*bgr\.npy.*--leave-out"):
        Worker(Path(sys.executable), "plain", tmp_path / "none.onnx", tmp_path)
