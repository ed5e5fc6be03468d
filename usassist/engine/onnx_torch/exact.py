"""FP32 without TF32 or BF16 inside, while an inference runs.

These settings of torch belong to the whole process, and a training in it may need them. So they are changed for the
time of an inference and restored after it; where two inferences overlap, the last one restores them. Another thread
meanwhile computes more exactly than it asked for, never less. A replayed CUDA graph needs none of this: it holds the
kernels that were chosen when it was recorded.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch

__all__ = ["exact"]

_lock = threading.Lock()
_running = 0
_before: list[str | bool] = []


def _settings() -> list[tuple[Any, str]]:
    backends: Any = torch.backends
    owners = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.conv, backends.mkldnn.matmul)
    return [*((owner, "fp32_precision") for owner in owners), (backends.cudnn, "benchmark")]


@contextlib.contextmanager
def exact(*, benchmark: bool | None = None) -> Iterator[None]:
    """Compute FP32 in IEEE single precision inside this block.

    Parameters
    ----------
    benchmark : whether cuDNN tries its algorithms in here; None = leave that as it is
    """
    global _running
    with _lock:
        if _running == 0:
            # A setting that only follows the one of all of torch must keep following it.
            everywhere = getattr(torch.backends, "fp32_precision", "none")
            found = [getattr(owner, name) for owner, name in _settings()]
            _before[:] = ["none" if value == everywhere else value for value in found]
            for owner, name in _settings()[:-1]:
                setattr(owner, name, "ieee")
        if benchmark is not None:
            torch.backends.cudnn.benchmark = benchmark
        _running += 1
    try:
        yield
    finally:
        with _lock:
            _running -= 1
            if _running == 0:
                for (owner, name), before in zip(_settings(), _before, strict=True):
                    setattr(owner, name, before)
