"""CUDA through the library of the driver itself: the packages for it are large, or not free software.

Sources of names, types and meanings: NVIDIA, CUDA Driver API reference and ``cuda.h``. Names with ``_v2`` are what the
plain names stand for in that header; a program that looks up the plain names itself gets other versions.
"""

from __future__ import annotations

import ctypes
import functools
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Any

from usassist.errors import BackendFailedError, BackendUnavailableError

__all__ = ["FUNCTIONS", "DeviceInfo", "check", "declare", "describe_device", "driver", "error_name", "why_no_cuda"]

_OUT = POINTER(c_void_p)
FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (_OUT, c_int),
    "cuDevicePrimaryCtxRelease_v2": (c_int,),
    "cuCtxPushCurrent_v2": (c_void_p,),
    "cuCtxPopCurrent_v2": (_OUT,),
    "cuMemAlloc_v2": (POINTER(c_uint64), c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostRegister_v2": (c_void_p, c_size_t, c_uint),
    "cuMemHostUnregister": (c_void_p,),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuStreamCreate": (_OUT, c_uint),
    "cuStreamSynchronize": (c_void_p,),
    "cuStreamDestroy_v2": (c_void_p,),
    "cuStreamBeginCapture_v2": (c_void_p, c_int),
    "cuStreamEndCapture": (c_void_p, _OUT),
    "cuGraphInstantiateWithFlags": (_OUT, c_void_p, c_uint64),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphDestroy": (c_void_p,),
}
"""Every function of the driver that is used, with the types of its arguments; each returns a ``CUresult``."""

_ORDINAL = 0  # CUDA_VISIBLE_DEVICES chooses another one
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76
_OUT_OF_MEMORY = 2
_BREAKS_THE_CONTEXT = range(700, 720)  # illegal address, launch failure and their like: nothing works after them


@functools.cache
def why_no_cuda() -> str | None:
    """Why there is no CUDA device here; None when there is one. Never raises."""
    try:
        driver = _load()
    except (OSError, AttributeError):
        return "there is no NVIDIA driver (libcuda.so.1) that can be used; install or update the driver of the GPU"
    count = c_int()
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(byref(count)) != 0 or count.value == 0:
        return "the NVIDIA driver finds no GPU; see nvidia-smi"
    return None


def declare(library: Any) -> Any:
    """Declare the types of :data:`FUNCTIONS` to ctypes: without them it would cut addresses to 32 bits.

    Raises
    ------
    AttributeError
        If the library lacks one of them: it is older than CUDA 11.4.
    """
    for name, types in FUNCTIONS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = types, c_int
    return library


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceInfo:
    """What a GPU is, as far as plans depend on it.

    Attributes
    ----------
    ordinal : its number for the driver
    name : as its maker calls it
    compute_capability : major and minor
    driver : newest CUDA version that the driver supports, major and minor
    """

    ordinal: int
    name: str
    compute_capability: tuple[int, int]
    driver: tuple[int, int]


def describe_device(library: Any = None) -> DeviceInfo:
    """What the GPU is; takes no memory on it.

    Parameters
    ----------
    library : the driver, declared; None = the one of this machine

    Raises
    ------
    BackendUnavailableError
        If there is no GPU.
    BackendFailedError
        If a call of the driver fails.
    """
    return _describe(library or driver())


def driver() -> Any:
    """The driver of this machine, declared.

    Raises
    ------
    BackendUnavailableError
        If there is none, or no GPU.
    """
    reason = why_no_cuda()
    if reason is not None:
        raise BackendUnavailableError(reason)
    return _load()


def check(library: Any, name: str, *arguments: Any) -> None:
    """Call a function of the driver.

    Raises
    ------
    BackendFailedError
        If it fails; the message names the call and the error, and says what to do.
    """
    code = getattr(library, name)(*arguments)
    if code == 0:
        return
    if code == _OUT_OF_MEMORY:
        remedy = "end other programs that use the GPU (nvidia-smi lists them), or use --backend openvino"
    elif code in _BREAKS_THE_CONTEXT:
        remedy = "start usassist again, and use --backend openvino if it happens again"
    else:
        remedy = "see nvidia-smi, or use --backend openvino"
    raise BackendFailedError(f"CUDA failed in {name}: {error_name(library, code)} ({code}); {remedy}")


def error_name(library: Any, code: int) -> str:
    """CUDA's name of an error."""
    name = c_char_p()
    known = library.cuGetErrorName(code, byref(name)) == 0 and name.value
    return name.value.decode(errors="replace") if known and name.value else "unknown error"


@functools.cache
def _load() -> Any:
    return declare(ctypes.CDLL("libcuda.so.1"))


def _describe(library: Any) -> DeviceInfo:
    device, version, major, minor = c_int(), c_int(), c_int(), c_int()
    name = ctypes.create_string_buffer(256)
    check(library, "cuInit", 0)
    check(library, "cuDriverGetVersion", byref(version))
    check(library, "cuDeviceGet", byref(device), _ORDINAL)
    check(library, "cuDeviceGetName", name, len(name), device.value)
    check(library, "cuDeviceGetAttribute", byref(major), _COMPUTE_CAPABILITY_MAJOR, device.value)
    check(library, "cuDeviceGetAttribute", byref(minor), _COMPUTE_CAPABILITY_MINOR, device.value)
    return DeviceInfo(
        ordinal=device.value,
        name=name.value.decode(errors="replace"),
        compute_capability=(major.value, minor.value),
        driver=(version.value // 1000, version.value % 1000 // 10),
    )
