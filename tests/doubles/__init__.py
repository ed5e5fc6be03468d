"""What stands for a GPU and for TensorRT where there is neither; see ``cuda.c`` and ``tensorrt/``."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["double_environment"]

HERE = Path(__file__).resolve().parent


def double_environment(folder: Path) -> dict[str, str]:
    """Variables with which a process finds both doubles; skips the test where there is no C compiler.

    Parameters
    ----------
    folder : private to the test; the driver's double is compiled into it, and plans are cached in it
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("the double of the NVIDIA driver needs a C compiler")
    library = folder / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(HERE / "cuda.c")], check=True)
    paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "LD_LIBRARY_PATH": str(folder),
        "PYTHONPATH": os.pathsep.join(paths),
        "USASSIST_CACHE": str(folder / "cache"),
    }
