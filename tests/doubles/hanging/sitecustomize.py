"""Lets engines misbehave in processes that have this folder in PYTHONPATH, as ``USASSIST_TEST_ENGINE`` asks.

``MODE,BACKEND,CALL,TIMES,FOLDER``: from its call number CALL on, a back end whose name begins with BACKEND

- ``sleep``: never comes back, and lets other threads work
- ``gil``: never comes back, in native code that lets no other thread of Python work
- ``memory``: keeps 64 MiB more with every call
- ``open``: is never done with being opened

and it does so in TIMES processes; FOLDER counts them.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any


def _misbehave(mode: str, backend: str, call: int, times: int, folder: Path) -> None:
    from usassist.engine.base import Engine

    infer, calls, kept = Engine.infer, dict[int, int](), []

    def never_open(self: Engine) -> float:
        (folder / "began").write_text(str(time.monotonic()))
        while True:
            time.sleep(3600)

    if mode == "open":
        Engine.verify = never_open  # type: ignore[method-assign]
        return

    def chosen() -> bool:
        for number in range(times):
            try:
                (folder / f"{mode}{number}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False

    def hang(self: Engine, inputs: Any) -> Any:
        calls[id(self)] = calls.get(id(self), 0) + 1
        if self.backend.startswith(backend) and calls[id(self)] >= call and (mode == "memory" or chosen()):
            if mode == "memory":
                kept.append(b"\1" * 2**26)
            elif mode == "gil":
                (folder / "began").write_text(str(time.monotonic()))
                while True:
                    ctypes.PyDLL(None).pause()  # PyDLL does not let go of the interpreter
            else:
                (folder / "began").write_text(str(time.monotonic()))
                while True:
                    time.sleep(3600)
        return infer(self, inputs)

    Engine.infer = hang  # type: ignore[method-assign]


if "USASSIST_TEST_ENGINE" in os.environ:
    _mode, _backend, _call, _times, _folder = os.environ["USASSIST_TEST_ENGINE"].split(",")
    _misbehave(_mode, _backend, int(_call), int(_times), Path(_folder))
