from __future__ import annotations

import ctypes
import re
import subprocess
import sys
import threading
from ctypes import c_int, c_size_t, c_uint, c_uint64, c_void_p
from pathlib import Path

import numpy as np
import pytest

from tests.unit.engine.gpu_double import LAUNCH_FAILED, OUT_OF_MEMORY, Driver
from usassist.engine.cuda import FUNCTIONS, declare, describe_device, why_no_cuda
from usassist.engine.gpu import Device
from usassist.errors import BackendFailedError, BackendUnavailableError


def test_a_device_says_what_it_is_without_taking_memory() -> None:
    driver = Driver()
    info = describe_device(driver)
    assert (info.name, info.compute_capability, info.driver) == ("Double 1", (8, 6), (13, 0))
    assert not driver.held
    assert driver.names[0] == "cuInit"


def test_memory_goes_there_and_back_through_pinned_arrays() -> None:
    driver = Driver()
    device = Device(driver)
    with device:
        address, here, back = device.allocate(16), device.pin(16), device.pin(16)
        here[:] = range(16)
        device.to_device(address, here)
        device.to_host(back, address)
        assert not back.any()
        device.synchronize()
        np.testing.assert_array_equal(back, here)
    device.close()
    assert back[15] == 15, "pinned memory can be read when the device is closed"


def test_a_graph_does_again_what_was_captured_and_nothing_at_first() -> None:
    driver = Driver()
    device = Device(driver)
    with device:
        address, here, back = device.allocate(4), device.pin(4), device.pin(4)

        def work() -> None:
            device.to_device(address, here)
            device.to_host(back, address)

        graph = device.capture(work)
        device.synchronize()
        here[:] = 7
        assert not back.any()
        device.launch(graph)
        device.synchronize()
        assert (back == 7).all()
    device.close()


def test_close_gives_everything_back_and_may_be_called_twice() -> None:
    driver = Driver()
    device = Device(driver)
    with device:
        device.allocate(0)
        device.pin(0)
        device.capture(lambda: None)
    driver.forget()
    device.close()
    assert driver.names == [
        "cuStreamSynchronize",
        "cuGraphExecDestroy",
        "cuMemFree_v2",
        "cuMemHostUnregister",
        "cuStreamDestroy_v2",
        "cuDevicePrimaryCtxRelease_v2",
    ]
    assert not driver.held
    assert not driver.current
    device.close()
    with pytest.raises(BackendFailedError, match="closed before"):
        device.__enter__()


def test_a_context_is_current_in_the_block_alone_whatever_the_thread() -> None:
    driver = Driver()
    device = Device(driver)
    seen: list[list[int]] = []

    def elsewhere() -> None:
        with device:
            seen.append(list(driver.current))
            device.synchronize()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert len(seen[0]) == 1
    assert not driver.current
    device.close()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (OUT_OF_MEMORY, r"CUDA failed in cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY \(2\); end other programs"),
        (LAUNCH_FAILED, r"CUDA_ERROR_LAUNCH_FAILED \(719\); start usassist again"),
    ],
)
def test_a_failing_call_is_named_with_the_error_and_what_to_do(code: int, message: str) -> None:
    driver = Driver()
    device = Device(driver)
    driver.fail["cuMemAlloc_v2"] = code
    with device, pytest.raises(BackendFailedError, match=message):
        device.allocate(8)
    device.close()
    assert not driver.held


def test_a_device_that_cannot_be_opened_leaves_nothing_behind() -> None:
    driver = Driver()
    driver.fail["cuStreamCreate"] = OUT_OF_MEMORY
    with pytest.raises(BackendFailedError, match="cuStreamCreate"):
        Device(driver)
    assert not driver.held
    assert not driver.current


def test_close_goes_on_when_the_gpu_is_broken() -> None:
    driver = Driver()
    device = Device(driver)
    with device:
        device.allocate(8)
        device.pin(8)
    for name in ("cuStreamSynchronize", "cuMemFree_v2"):
        driver.fail[name] = LAUNCH_FAILED
    device.close()
    assert "cuDevicePrimaryCtxRelease_v2" in driver.names
    assert {kind for kind, _ in driver.held} == {"memory"}


def test_work_that_fails_in_a_capture_ends_the_capture() -> None:
    driver = Driver()
    device = Device(driver)

    def fail() -> None:
        raise BackendFailedError("no")

    with device:
        with pytest.raises(BackendFailedError, match="no"):
            device.capture(fail)
        device.synchronize()
    assert driver.capturing is None
    device.close()
    assert not driver.held


def test_addresses_are_declared_with_64_bits() -> None:
    class Library:
        def __getattr__(self, name: str):
            function = type("Function", (), {})()
            setattr(self, name, function)
            return function

    library = declare(Library())
    for name, types in FUNCTIONS.items():
        assert getattr(library, name).argtypes == types
        assert getattr(library, name).restype is c_int
    assert ctypes.sizeof(FUNCTIONS["cuMemFree_v2"][0]) == 8
    assert ctypes.sizeof(FUNCTIONS["cuMemcpyDtoHAsync_v2"][0]) == 8


def test_a_driver_that_is_too_old_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    why_no_cuda.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    from usassist.engine import cuda

    cuda._load.cache_clear()
    try:
        assert "install or update the driver" in (why_no_cuda() or "")
        with pytest.raises(BackendUnavailableError, match="install or update the driver"):
            describe_device()
    finally:
        cuda._load.cache_clear()
        why_no_cuda.cache_clear()


def test_asking_for_cuda_never_raises_and_imports_no_gpu_package() -> None:
    program = (
        "import sys; from usassist.engine.cuda import why_no_cuda; answer = why_no_cuda();"
        "assert answer is None or isinstance(answer, str);"
        "assert not {'torch', 'cuda', 'tensorrt', 'tensorrt_bindings', 'tensorrt_rtx_bindings'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_every_function_is_declared_as_in_the_header_of_cuda() -> None:
    header = next(iter(sorted(Path("/usr/local").glob("cuda*/include/cuda.h"))), None)
    if header is None:
        pytest.skip("there is no cuda.h on this machine")
    text = header.read_text(errors="replace")
    for name, types in FUNCTIONS.items():
        plain = name.removesuffix("_v2").removesuffix("WithFlags")
        meant = re.search(rf"#\s*define\s+{plain}\s+(?:__CUDA_API_PTSZ\()?(\w+)", text)
        assert name == (meant[1] if meant else plain)
        found = re.search(rf"^CUresult CUDAAPI {plain}\(([^)]*)\);", text, re.MULTILINE)
        assert found, name
        assert tuple(_ctype(item) for item in found[1].split(",")) == tuple(map(_plain, types)), name


def _ctype(argument: str) -> object:
    words = argument.replace("*", " * ").split()
    if "*" in words:
        return "pointer"
    kind = " ".join(words[:-1])
    handles = ("CUcontext", "CUstream", "CUgraph", "CUgraphExec")
    numbers = {
        "int": c_int,
        "CUdevice": c_int,
        "CUresult": c_int,
        "CUdevice_attribute": c_int,
        "CUstreamCaptureMode": c_int,
        "unsigned int": c_uint,
        "size_t": c_size_t,
        "CUdeviceptr": c_uint64,
        "unsigned long long": c_uint64,
    }
    return "pointer" if kind in handles else numbers[kind]


def _plain(kind: object) -> object:
    return "pointer" if kind in (c_void_p, ctypes.c_char_p) or hasattr(kind, "contents") else kind
