"""What OpenVINO compiled once comes out of the cache, and a cache that cannot be used costs time and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest

from usassist.engine import find_engine
from usassist.engine.cache import open_cache
from usassist.engine.opening import load_engine

SPEC = find_engine("thyroid_nodule")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("USASSIST_CACHE", str(folder))
    return folder


def _answers(threads: int = 1, precision: str = "int8") -> list[bytes]:
    shape = tuple(side or 1 for side in SPEC.inputs[0].shape)
    image = np.random.default_rng(3).random(shape, dtype=np.float32)
    with load_engine(SPEC, "openvino", threads, precision) as engine:
        return [array.tobytes() for array in engine.infer({"image": image}).values()]


def _refuse(*_: object) -> None:
    raise AssertionError("it was compiled again")


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_what_was_compiled_is_loaded_and_answers_to_the_last_bit_as_before(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _answers(precision=precision)
    (row,) = open_cache().rows()
    assert row.header["facts"]["kind"] == "compiled"
    assert row.header["facts"]["engine"] == SPEC.engine_id
    monkeypatch.setattr(openvino.Core, "compile_model", _refuse)
    assert _answers(precision=precision) == first


def test_other_options_are_another_entry() -> None:
    _answers(threads=1)
    _answers(threads=2)
    assert len(open_cache().rows()) == 2


def test_a_damaged_entry_is_compiled_again(own_cache: Path) -> None:
    first = _answers()
    (path,) = own_cache.glob("*.entry")
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    assert _answers() == first


def test_an_entry_that_openvino_refuses_is_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("made by another build")

    first = _answers()
    with monkeypatch.context() as patch:
        patch.setattr(openvino.Core, "import_model", refuse)
        assert _answers() == first
    monkeypatch.setattr(openvino.Core, "compile_model", _refuse)
    assert _answers() == first  # what was compiled then was kept


def test_without_a_cache_it_runs_all_the_same(own_cache: Path) -> None:
    first = _answers()
    os.chmod(own_cache, 0o777)  # others could write into it: nothing is loaded from there
    assert _answers() == first


def test_a_signal_after_an_engine_was_closed_in_another_thread_does_not_end_the_process() -> None:
    """OpenVINO's plugin frees a stack for signals with its last user, in whichever thread that is."""
    program = """
import signal, threading
from usassist.engine import find_engine, open_engine

engines = [open_engine(find_engine("thyroid_nodule"), "openvino", threads=1)]
closing = threading.Thread(target=lambda: engines.pop().close())
closing.start()
closing.join()
signal.signal(signal.SIGINT, lambda *_: print("handled"))
signal.raise_signal(signal.SIGINT)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr
