"""Lets engines misbehave in processes that have this folder in PYTHONPATH, as ``USASSIST_TEST_ENGINE`` asks.

``MODE,BACKEND,CALL,TIMES,FOLDER``: from its call number CALL on, a back end whose name begins with BACKEND

- ``sleep``: never comes back, and lets other threads work
- ``gil``: never comes back, in native code that lets no other thread of Python work
- ``memory``: keeps 64 MiB more with every call
- ``open``: is never done with being opened

and it does so in TIMES processes; FOLDER counts them. With the mode ``refuse``, an engine in the precision BACKEND
cannot be opened.

``USASSIST_TEST_PAGE`` makes the page misbehave before it is ready: ``slow,SECONDS`` computes for so long first,
``hang,FOLDER`` sleeps for ever the first time, ``crash,FOLDER`` exits the first two times.
"""

from __future__ import annotations

import ctypes
import os
import sys
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


def _refuse(precision: str) -> None:
    from usassist.engine import failover
    from usassist.errors import EngineError

    opened = failover.FailoverEngine.open.__func__

    def refuse(cls: Any, spec: Any, backend: str, threads: int, wanted: str, **more: Any) -> Any:
        if wanted == precision:
            raise EngineError(f"no engine opens in {precision} in this test")
        return opened(cls, spec, backend, threads, wanted, **more)

    failover.FailoverEngine.open = classmethod(refuse)  # type: ignore[assignment,method-assign]


def _misbehave_at_start(mode: str, argument: str) -> None:
    if mode == "slow":
        until_s = time.process_time() + float(argument)
        while time.process_time() < until_s:
            sum(range(1000))
        return
    for number in range(1 if mode == "hang" else 2):
        try:
            (Path(argument) / f"page{number}").touch(exist_ok=False)
        except FileExistsError:
            continue
        while mode == "hang":
            time.sleep(3600)
        os._exit(7)


if "USASSIST_TEST_PAGE" in os.environ and "usassist.app.runtime.workers.panel" in sys.orig_argv:
    _misbehave_at_start(*os.environ["USASSIST_TEST_PAGE"].split(","))

if "USASSIST_TEST_ENGINE" in os.environ:
    _mode, _backend, _call, _times, _folder = os.environ["USASSIST_TEST_ENGINE"].split(",")
    if _mode == "refuse":
        _refuse(_backend)
    else:
        _misbehave(_mode, _backend, int(_call), int(_times), Path(_folder))
