from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usassist.errors import EngineError, RecordError, UsageError
from usassist.frames import Slab, blend_windows, fill_volumes, infer_slices, window_starts
from usassist.frames.windows import WEIGHTS, window_weights

Arrays = Mapping[str, np.ndarray]
SIDES = st.integers(1, 13)


class Engine:
    """Answers as engines may: into one buffer that the next call overwrites. Keeps how many windows each call had."""

    def __init__(self, answer: Callable[[np.ndarray], Arrays]) -> None:
        self._answer = answer
        self._buffers: dict[str, np.ndarray] = {}
        self.batches: list[int] = []

    def infer(self, inputs: Arrays) -> dict[str, np.ndarray]:
        self.batches.append(len(inputs["image"]))
        for name, array in self._answer(inputs["image"]).items():
            buffer = self._buffers.setdefault(name, np.empty((64, *array.shape[1:]), array.dtype))
            buffer[...] = np.nan if array.dtype.kind == "f" else 0
            buffer[: len(array)] = array
        return {name: buffer[: len(inputs["image"])] for name, buffer in self._buffers.items()}


def identity() -> Engine:
    return Engine(lambda image: {"same": image})


def whole(slabs: Iterable[Slab], name: str = "same") -> np.ndarray:
    """All planes of one output, after a check that the slabs follow each other from plane 0."""
    parts, end = [], 0
    for slab in slabs:
        assert slab.z_start == end < slab.z_stop
        end = slab.z_stop
        assert slab.outputs[name].shape[1] == slab.z_stop - slab.z_start
        parts.append(slab.outputs[name].copy())
        slab.outputs[name][...] = -7.0  # it is the caller's until the next is asked for
    return np.concatenate(parts, axis=1)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@given(size=st.integers(1, 300), window=st.integers(1, 80), overlap=st.floats(0, 0.99))
def test_windows_cover_an_axis_and_the_last_ends_with_it(size: int, window: int, overlap: float) -> None:
    starts = window_starts(size, window, overlap)
    assert starts[0] == 0
    assert starts[-1] == max(size - window, 0)
    steps = np.diff(starts)
    assert (steps > 0).all()
    assert (steps <= max(1, window * (1 - overlap) + 1e-6)).all()


def test_windows_step_by_whole_voxels_of_the_share_that_does_not_overlap() -> None:
    assert window_starts(10, 4, 0.5) == [0, 2, 4, 6]
    assert window_starts(11, 4, 0.25) == [0, 3, 6, 7]
    assert window_starts(8, 4, 0.0) == [0, 4]
    assert window_starts(4, 4, 0.5) == window_starts(3, 4, 0.5) == [0]
    assert window_starts(24, 20, 0.9) == [0, 2, 4]


def test_weights_are_highest_in_the_middle_and_never_zero() -> None:
    weights = window_weights((9, 8, 40))
    assert weights.dtype == np.float32
    assert np.unravel_index(weights.argmax(), weights.shape)[0] == 4
    assert weights.min() == np.float32(1e-3)
    along_z = weights[:, 4, 20] / weights[4, 4, 20]
    np.testing.assert_allclose(along_z[[3, 5]], np.exp(-0.5 * (1 / (9 / 8)) ** 2), rtol=1e-6)
    assert (window_weights((2, 3, 4), "constant") == 1).all()


@given(
    size=st.tuples(SIDES, SIDES, SIDES),
    window=st.tuples(SIDES, SIDES, SIDES),
    overlap=st.tuples(*[st.sampled_from([0.0, 0.25, 0.5, 0.8])] * 3),
    batch=st.integers(1, 5),
    weights=st.sampled_from(WEIGHTS),
    fixed_batch=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_an_identity_engine_returns_the_volume(
    size: tuple[int, int, int],
    window: tuple[int, int, int],
    overlap: tuple[float, float, float],
    batch: int,
    weights: str,
    fixed_batch: bool,
) -> None:
    volume = noise(2, *size)
    engine = identity()
    slabs = blend_windows(
        volume,
        engine.infer,
        window_zyx=window,
        outputs=["same"],
        overlap=overlap,
        batch=batch,
        weights=weights,
        fixed_batch=fixed_batch,
    )
    np.testing.assert_allclose(whole(slabs), volume, rtol=3e-6, atol=1e-6)
    count = np.prod([len(window_starts(*axis)) for axis in zip(size, window, overlap, strict=True)])
    calls = -(-count // batch)
    assert engine.batches[:-1] == [batch] * (calls - 1)
    assert engine.batches[-1] == (batch if fixed_batch else count - batch * (calls - 1))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_weights_add_up_to_one_everywhere(weights: str) -> None:
    engine = Engine(lambda image: {"same": np.full_like(image, 3.0)})
    slabs = blend_windows(
        noise(1, 23, 17, 9), engine.infer, window_zyx=(8, 6, 12), outputs=["same"], batch=3, weights=weights
    )
    np.testing.assert_allclose(whole(slabs), np.full((1, 23, 17, 9), 3.0), rtol=1e-6)


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5])
@pytest.mark.parametrize("size", [(20, 18, 16), (5, 30, 9), (7, 6, 5)])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_it_agrees_with_the_sliding_window_of_monai(size: tuple[int, int, int], overlap: float, weights: str) -> None:
    torch = pytest.importorskip("torch", reason="the oracle needs the extra `eval`")
    inferers = pytest.importorskip("monai.inferers", reason="the oracle needs the extra `eval`")
    torch.manual_seed(0)
    convolution = torch.nn.Conv3d(2, 3, 3, padding=1)
    volume = noise(2, *size)

    @torch.no_grad()
    def answer(image: np.ndarray) -> Arrays:
        return {"same": torch.tanh(convolution(torch.from_numpy(image.copy()))).numpy()}

    with torch.no_grad():
        expected = inferers.sliding_window_inference(
            torch.from_numpy(volume)[None],
            (8, 7, 6),
            2,
            lambda image: torch.tanh(convolution(image)),
            overlap=overlap,
            mode=weights,
            cval=-1.0,
        )[0].numpy()
    slabs = blend_windows(
        volume,
        Engine(answer).infer,
        window_zyx=(8, 7, 6),
        outputs=["same"],
        overlap=overlap,
        batch=2,
        weights=weights,
        pad_value=-1.0,
    )
    np.testing.assert_allclose(whole(slabs), expected, rtol=1e-4, atol=1e-6)


def test_several_outputs_of_several_channels_are_blended() -> None:
    engine = Engine(
        lambda image: {
            "both": np.concatenate([image, 2 * image], axis=1),
            "half": (image / 2).astype(np.float16),
            "unasked": image[:, :, 0],
        }
    )
    volume = noise(1, 9, 8, 7)
    stored = {"both": np.empty((2, 9, 8, 7), np.float32), "half": np.empty((1, 9, 8, 7), np.float64)}
    fill_volumes(blend_windows(volume, engine.infer, window_zyx=(4, 4, 4), outputs=["both", "half"], batch=4), stored)
    np.testing.assert_allclose(stored["both"], np.concatenate([volume, 2 * volume]), rtol=3e-6, atol=1e-6)
    np.testing.assert_allclose(stored["half"], volume / 2, rtol=2e-3, atol=1e-6)


def test_a_volume_smaller_than_the_window_is_padded_with_pad_value() -> None:
    seen: list[np.ndarray] = []

    def answer(image: np.ndarray) -> Arrays:
        seen.append(image.copy())
        return {"same": image}

    volume = noise(1, 2, 9, 3)
    slabs = blend_windows(volume, Engine(answer).infer, window_zyx=(5, 4, 4), outputs=["same"], batch=2, pad_value=-1.5)
    np.testing.assert_allclose(whole(slabs), volume, rtol=3e-6)
    outside = np.ones((5, 4, 4), bool)
    outside[1:3, :, 0:3] = False  # the odd voxel comes at the end
    for image in np.concatenate(seen)[:, 0]:
        assert (image[outside] == -1.5).all()
        assert (image[~outside] != -1.5).all()


def test_the_engine_may_be_called_between_two_slabs() -> None:
    engine = identity()
    volume = noise(1, 30, 4, 4)
    parts = []
    for slab in blend_windows(volume, engine.infer, window_zyx=(4, 4, 4), outputs=["same"], batch=5):
        parts.append(slab.outputs["same"].copy())
        engine.infer({"image": np.full((5, 1, 4, 4, 4), 99.0, np.float32)})
    np.testing.assert_allclose(np.concatenate(parts, axis=1), volume, rtol=3e-6, atol=1e-6)


def test_planes_are_yielded_as_soon_as_no_further_window_overlaps_them() -> None:
    engine = identity()
    slabs = blend_windows(noise(1, 40, 4, 4), engine.infer, window_zyx=(8, 4, 4), outputs=["same"])
    for index, slab in enumerate(slabs):
        assert (slab.z_start, slab.z_stop) == ((4 * index, 4 * index + 4) if index < 8 else (32, 40))
        assert len(engine.batches) == min(index + 2, 9)


def _peak_bytes(volume: np.ndarray, run: Callable[[np.ndarray], Iterable[Slab]]) -> int:
    tracemalloc.start()
    try:
        for _ in run(volume):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_depth_and_is_what_the_docstring_says() -> None:
    answer = np.zeros((4, 3, 16, 32, 32), np.float32)

    def infer(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return {"a": answer[: len(inputs["image"]), :1], "b": answer[: len(inputs["image"]), 1:]}

    def run(volume: np.ndarray) -> Iterable[Slab]:
        return blend_windows(volume, infer, window_zyx=(16, 32, 32), outputs=["a", "b"], batch=4)

    shallow, deep = (_peak_bytes(np.zeros((2, depth, 64, 48), np.float32), run) for depth in (64, 512))
    outputs, channels, batch, window = 3, 2, 4, 16 * 32 * 32
    formula = 4 * ((outputs + 1) * 16 * 64 * 48 + (batch * channels + 1) * window + batch * outputs * window)
    formula += channels * 64 * 48
    # The list of window starts grows by some bytes for each; one more plane of one channel would be 12 kB.
    assert abs(deep - shallow) < 10e3
    assert formula * 0.95 < deep < formula * 1.05


def test_memory_of_slices_does_not_grow_with_the_depth() -> None:
    def run(volume: np.ndarray) -> Iterable[Slab]:
        return infer_slices(volume, lambda inputs: {"same": inputs["image"][:, :1]}, outputs=["same"], context=1)

    shallow, deep = (_peak_bytes(np.zeros((depth, 64, 48), np.float32), run) for depth in (64, 512))
    assert abs(deep - shallow) < 8e3
    assert deep < 4 * 8 * 3 * 64 * 48 + 64 * 48 + 16e3


def test_outputs_may_be_written_to_a_file(tmp_path: Path) -> None:
    volume = noise(1, 21, 6, 5)
    stored = np.memmap(tmp_path / "same.raw", np.float16, "w+", shape=(1, 21, 6, 5))
    fill_volumes(blend_windows(volume, identity().infer, window_zyx=(6, 4, 4), outputs=["same"]), {"same": stored})
    stored.flush()
    again = np.memmap(tmp_path / "same.raw", np.float16, "r", shape=(1, 21, 6, 5))
    np.testing.assert_allclose(again, volume, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize("fixed_batch", [False, True])
@pytest.mark.parametrize("channels", [None, 2])
def test_slices_are_batched_and_kept_in_order(channels: int | None, fixed_batch: bool) -> None:
    volume = noise(11, 6, 5) if channels is None else noise(channels, 11, 6, 5)
    engine = identity()
    slabs = infer_slices(volume, engine.infer, outputs=["same"], batch=4, fixed_batch=fixed_batch)
    np.testing.assert_array_equal(whole(slabs), volume if channels else volume[None])
    assert engine.batches == [4, 4, 4 if fixed_batch else 3]


def test_a_slice_engine_sees_its_neighbours_and_the_last_plane_beyond_the_ends() -> None:
    volume = np.broadcast_to(np.arange(5, dtype=np.float32)[None, :, None, None], (2, 5, 3, 3)) + np.array(
        [0, 100], np.float32
    ).reshape(2, 1, 1, 1)
    slabs = infer_slices(volume, identity().infer, outputs=["same"], batch=2, context=2)
    seen = whole(slabs)[:, :, 0, 0].T
    assert seen[0].tolist() == [0, 100, 0, 100, 0, 100, 1, 101, 2, 102]
    assert seen[2].tolist() == [0, 100, 1, 101, 2, 102, 3, 103, 4, 104]
    assert seen[4].tolist() == [2, 102, 3, 103, 4, 104, 4, 104, 4, 104]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window_zyx": (4, 4)}, "along z, y and x"),
        ({"window_zyx": (4, 0, 4)}, "window must be a whole number from 1, got 0"),
        ({"window_zyx": (4, 4.0, 4)}, "window must be a whole number from 1, got 4.0"),
        ({"overlap": 1.0}, "overlap must lie in 0 to below 1, got 1.0"),
        ({"overlap": (0.5, -0.1, 0.5)}, "overlap must lie in 0 to below 1, got -0.1"),
        ({"overlap": float("nan")}, "overlap must lie in 0 to below 1, got nan"),
        ({"overlap": (0.5, 0.5)}, "along z, y and x"),
        ({"batch": 0}, "batch must be a whole number from 1"),
        ({"weights": "triangle"}, "known: gaussian, constant"),
        ({"outputs": []}, "give a list"),
        ({"outputs": "same"}, "give a list"),
        ({"pad_value": float("nan")}, "pad_value must be finite"),
    ],
)
def test_invalid_arguments_are_refused_before_the_engine_is_called(change: dict[str, Any], message: str) -> None:
    engine = identity()
    values: dict[str, Any] = {"window_zyx": (4, 4, 4), "outputs": ["same"]} | change
    with pytest.raises(UsageError, match=message) as caught:
        blend_windows(noise(1, 8, 8, 8), engine.infer, **values)
    assert "\n" not in str(caught.value)
    assert engine.batches == []


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        (noise(8, 8, 8), r"array \[channels, z, y, x\]"),
        (np.zeros((1, 0, 8, 8), np.float32), "not empty, got"),
        ([[1.0]], "got list"),
        (np.zeros((1, 8, 8, 8), np.int16), "float32, got int16"),
    ],
)
def test_what_is_not_a_volume_is_refused(volume: Any, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        blend_windows(volume, identity().infer, window_zyx=(4, 4, 4), outputs=["same"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_volume_that_is_not_finite_is_refused_with_its_plane(value: float) -> None:
    volume = noise(2, 20, 5, 5)
    volume[1, 17, 2, 3] = value
    with pytest.raises(RecordError, match="not finite in plane 17; fix"):
        whole(blend_windows(volume, identity().infer, window_zyx=(4, 4, 4), outputs=["same"], batch=3))
    with pytest.raises(RecordError, match="not finite in plane 17; fix"):
        whole(infer_slices(volume, identity().infer, outputs=["same"], context=1))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda image: {"other": image}, "the engine has the outputs other, not same; request one"),
        (lambda image: {"same": image[..., ::2]}, r"\[2, 1, 4, 4, 4\].*got \[2, 1, 4, 4, 2\]; use an engine"),
        (lambda image: {"same": image[:, 0]}, r"must be \[2, \?, 4, 4, 4\].*got \[2, 4, 4, 4\]"),
        (lambda image: {"same": (image > 0).astype(np.int64)}, "must be floats, got int64"),
    ],
)
def test_an_output_that_cannot_be_blended_is_refused(answer: Callable[[np.ndarray], Arrays], message: str) -> None:
    with pytest.raises(EngineError, match=message):
        whole(blend_windows(noise(1, 8, 8, 8), Engine(answer).infer, window_zyx=(4, 4, 4), outputs=["same"], batch=2))


def test_an_engine_that_changes_its_channels_is_refused() -> None:
    calls = iter(range(1, 9))
    with pytest.raises(EngineError, match=r"must be \[1, 1, 4, 4, 4\].*got \[1, 2, 4, 4, 4\]"):
        whole(
            blend_windows(
                noise(1, 8, 4, 4),
                lambda inputs: {"same": np.repeat(inputs["image"], next(calls), axis=1)},
                window_zyx=(4, 4, 4),
                outputs=["same"],
            )
        )


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"same": np.empty((1, 9, 4, 4), np.uint8)}, "must hold floats, got uint8"),
        ({"same": np.empty((1, 8, 4, 4), np.float32)}, "at least 9 planes"),
        ({"same": np.empty((1, 10, 4, 4), np.float32)}, "has 10 planes, the slabs end at 9"),
        ({"same": np.empty((2, 9, 4, 4), np.float32)}, r"got \[2, 9, 4, 4\]"),
        ({"same": np.empty((9, 4, 4), np.float32)}, r"got \[9, 4, 4\]"),
        ({"score": np.empty((1, 9, 4, 4), np.float32)}, "the slabs hold same, not score"),
    ],
)
def test_a_volume_that_does_not_match_the_outputs_is_refused(stored: dict[str, np.ndarray], message: str) -> None:
    slabs = blend_windows(noise(1, 9, 4, 4), identity().infer, window_zyx=(4, 4, 4), outputs=["same"])
    with pytest.raises(UsageError, match=message):
        fill_volumes(slabs, stored)


@pytest.mark.parametrize("context", [-1, 1.0])
def test_a_context_that_is_not_a_count_is_refused(context: Any) -> None:
    with pytest.raises(UsageError, match="context must be a number of planes"):
        infer_slices(noise(4, 3, 3), identity().infer, outputs=["same"], context=context)
