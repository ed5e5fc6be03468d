"""usassist: its own layers, one frame after the other, or with a lane per processor as ``replay --fast`` does."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import openvino

from usassist.calibrate import load_score_calibration
from usassist.common.process_tuning import usable_cpus
from usassist.engine import Engine, EngineSpec, find_engine, open_engine
from usassist.engine.opening import open_artifact
from usassist.frames import fill_labelmap, find_scan_area
from usassist.modalities import Task, TaskEngine
from usassist.modalities.ultrasound import DescriptorModel, UltrasoundTask
from usassist.modalities.ultrasound.preprocess import preprocess
from usassist.records import Answer, Frame
from usassist.sources.cropping import Roi, cut

__all__ = ["ENGINE", "MaskTask", "mask_on_frame", "mask_spec", "open_lanes", "open_shipped", "open_way"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Loop = Callable[[int, int], Iterator[UInt8Array]]

ENGINE = "thyroid_nodule"
_STRIDE_PX = 2
_MAX_LANES = 4


def open_way(model: Path, folder: Path) -> tuple[str, Loop]:
    """The same file, one frame after the other: what a live stream does.

    Parameters
    ----------
    model : ONNX file with one output, the mask; its name says its precision, as in ``mask.int8.onnx``
    folder : with ``bgr.npy``, uint8 (N, H, W, 3)

    Returns
    -------
    versions, loop : the loop takes the first frame and how many, and gives a mask of 0 and 1, uint8 (H, W), for each
    """
    return _same_file(model, folder, 1)


def open_lanes(model: Path, folder: Path) -> tuple[str, Loop]:
    """The same file, several frames at a time: what ``usassist replay --fast`` does."""
    return _same_file(model, folder, min(usable_cpus(), _MAX_LANES))


def open_shipped(model: Path, folder: Path) -> tuple[str, Loop]:
    """As it ships: cropped to the scan area, in the precision that is best here, outlines, sizes and descriptors.

    `model` is not read: the engine opens its own.
    """
    spec = find_engine(ENGINE)
    lanes = min(usable_cpus(), _MAX_LANES)
    engines = [open_engine(spec, threads=_threads(lanes)) for _ in range(lanes)]
    frames = _frames(folder)
    scores, descriptors = load_score_calibration(spec.engine_id), DescriptorModel.load(spec.folder, spec.engine_id)

    def make_task() -> UltrasoundTask:
        return UltrasoundTask(
            _size(spec),
            spec.labels,
            spec.diameter_rel_sd,
            scores=scores,
            descriptors=descriptors,
            domain=spec.domain,
        )

    def to_mask(frame: Frame, answer: Answer) -> UInt8Array:
        x1, y1, x2, y2 = frame.roi_xyxy_px
        mask = np.zeros(frames.shape[1:3], np.uint8)
        mask[y1:y2, x1:x2] = fill_labelmap(answer.segmentation, frame.image_hw_px) > 0
        return mask

    area = find_scan_area(list(frames[:8])).xyxy_px
    return _versions(engines), _loop(frames, area, make_task, engines, to_mask)


def mask_spec(spec: EngineSpec, model: Path) -> EngineSpec:
    """The spec of an engine of which only the mask is left."""
    return dataclasses.replace(
        spec,
        artifacts={"onnx": (model, "")},
        outputs=tuple(item for item in spec.outputs if item.name == "mask_prob"),
        domain=None,
        golden=dataclasses.replace(spec.golden, mean_abs_diff={}),
        parity={},
    )


class MaskTask:
    """From a frame to its mask, without looking for single nodules.

    Parameters
    ----------
    size_hw_px : height and width of the engine's input ``image``
    masks : where the mask of each frame is left, by its number
    """

    def __init__(self, size_hw_px: tuple[int, int], masks: dict[int, UInt8Array]) -> None:
        self._size_hw_px, self._masks = size_hw_px, masks
        self._tensor = np.empty((1, 1, *size_hw_px), np.float32)

    def __call__(self, frame: Frame, engine: TaskEngine) -> Answer:
        """Leave the mask of a frame; the answer is empty."""
        tensor, image_to_input = preprocess(frame.image, self._size_hw_px, self._tensor)
        prob = engine.infer({"image": tensor})["mask_prob"][0, 0]
        self._masks[frame.frame_id] = mask_on_frame(prob, image_to_input, frame.image_hw_px)
        return Answer()


def mask_on_frame(prob: Float32Array, image_to_input: Float64Array, image_hw_px: tuple[int, int]) -> UInt8Array:
    """Bring a mask back to the pixels of the frame, as ``modalities/ultrasound/postprocess.py`` does in its boxes.

    Where no cell around a pixel reaches 0.5, what is interpolated does not either. So only the rectangle around those
    that do is resampled, and the answer is that of resampling everything.

    Parameters
    ----------
    prob : float32 (h, w), mask at stride 2 of the letterboxed input
    image_to_input : float64 (2, 3), of the letterbox
    image_hw_px : height and width of the frame, px

    Returns
    -------
    mask : uint8 (H, W), 0 or 1
    """
    mask = np.zeros(image_hw_px, np.uint8)
    rows, columns = np.nonzero(prob >= 0.5)
    if not len(rows):
        return mask
    scale, shift = image_to_input[[0, 1], [0, 1]] / _STRIDE_PX, image_to_input[:, 2] / _STRIDE_PX
    # The centre of cell k lies at k + 0.5 and is felt as far as the centres of its neighbours. At the border of the
    # map it is felt without end.
    height, width = prob.shape
    low = np.where(np.array([columns.min(), rows.min()]) == 0, -np.inf, [columns.min() - 0.5, rows.min() - 0.5])
    high = np.where(
        np.array([columns.max(), rows.max()]) == (width - 1, height - 1),
        np.inf,
        [columns.max() + 1.5, rows.max() + 1.5],
    )
    (x1, y1), (x2, y2) = (
        np.clip(edge((bound - shift) / scale), 0, image_hw_px[::-1]).astype(int)
        for edge, bound in ((np.floor, low), (np.ceil, high))
    )
    if x1 >= x2 or y1 >= y2:
        return mask
    offset = (np.array([x1, y1]) + 0.5) * scale + shift - 0.5
    window = cv2.warpAffine(
        prob,
        np.column_stack([np.diag(scale), offset]),
        (int(x2 - x1), int(y2 - y1)),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    np.greater_equal(window, 0.5, out=mask[y1:y2, x1:x2].view(np.bool_))
    return mask


def _same_file(model: Path, folder: Path, lanes: int) -> tuple[str, Loop]:
    spec = mask_spec(find_engine(ENGINE), model)
    precision = model.suffixes[-2].removeprefix(".")
    engines = [open_artifact(spec, "openvino", _threads(lanes), precision, model) for _ in range(lanes)]
    frames, masks = _frames(folder), dict[int, UInt8Array]()
    whole = (0, 0, frames.shape[2], frames.shape[1])
    loop = _loop(
        frames, whole, lambda: MaskTask(_size(spec), masks), engines, lambda frame, _: masks.pop(frame.frame_id)
    )
    return _versions(engines), loop


def _loop(
    frames: UInt8Array,
    area: Roi,
    make_task: Callable[[], Task],
    engines: list[Engine],
    to_mask: Callable[[Frame, Answer], UInt8Array],
) -> Loop:
    lanes = deque((make_task(), engine) for engine in engines)

    def make_mask(index: int) -> UInt8Array:
        frame = Frame(
            session_id="peers",
            source_id="us0",
            frame_id=index,
            t_capture_ns=time.monotonic_ns(),
            image=cut(frames[index], area),
            roi_xyxy_px=area,
        )
        task, engine = lanes.popleft()  # there are as many threads as lanes
        try:
            return to_mask(frame, task(frame, engine))
        finally:
            lanes.append((task, engine))

    if len(engines) == 1:
        return lambda first, count: map(make_mask, range(first, first + count))
    pool = ThreadPoolExecutor(len(engines), thread_name_prefix="lane")
    return lambda first, count: pool.map(make_mask, range(first, first + count))


def _frames(folder: Path) -> UInt8Array:
    """As our sources give them: RGB."""
    return np.ascontiguousarray(np.load(folder / "bgr.npy")[..., ::-1])


def _size(spec: EngineSpec) -> tuple[int, int]:
    height, width = spec.inputs[0].shape[-2:]
    assert height is not None
    assert width is not None
    return height, width


def _threads(lanes: int) -> int:
    return 0 if lanes == 1 else max(1, usable_cpus() // lanes)


def _versions(engines: list[Engine]) -> str:
    count = f"{len(engines)} lanes" if len(engines) > 1 else "one lane"
    return f"{engines[0].backend} {openvino.__version__.split('-')[0]}, {count}"
