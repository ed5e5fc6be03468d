"""dcmtk's storescp (Debian's package, a process of its own): a C-STORE receiver, and only that.

with running_storescp(tmp_path, "--abort-after") as peer:
    send(..., peer.host, peer.port, peer.ae_title)
    assert peer.instances() == []
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest

from tests.clinic.certificates import Certificate
from tests.clinic.dcmtk import find_dcmtk
from tests.clinic.orthanc import free_port

__all__ = ["StoreScp", "running_storescp"]

_PATIENCE_S = 20.0


class StoreScp:
    """One storescp on this machine. It takes every storage SOP class and transfer syntax that it knows.

    Attributes
    ----------
    host, port, ae_title : where it listens
    received : folder of what it has taken
    """

    host = "127.0.0.1"
    ae_title = "STORESCP"

    def __init__(self, folder: Path, options: tuple[str, ...]) -> None:
        self.port = free_port()
        self.received = folder / "received"
        self.received.mkdir(parents=True, exist_ok=True)
        self._log = folder / "storescp.log"
        program = find_dcmtk("storescp")
        assert program is not None
        self._command = [program, *options, "-aet", self.ae_title, "-od", str(self.received), str(self.port)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; returns when its port answers."""
        assert self._process is None
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until = time.monotonic() + _PATIENCE_S
        while True:
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError(self._log.read_text()[-2000:])
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
                return
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def instances(self) -> list[str]:
        """SOP Instance UIDs of the files that it wrote, sorted."""
        files = [pydicom.dcmread(path, stop_before_pixels=True) for path in self.received.iterdir()]
        return sorted(str(file.SOPInstanceUID) for file in files)


@contextlib.contextmanager
def running_storescp(folder: Path, *options: str, certificate: Certificate | None = None) -> Iterator[StoreScp]:
    """Run storescp until the block ends; the test is skipped where it is not installed.

    Parameters
    ----------
    folder : of what it receives, and of its log; made
    options : further options of storescp; without ``+x…`` every transfer syntax is accepted
    certificate : listen with TLS; a client's certificate is then asked for, and must be signed by ``certificate.ca``
    """
    if find_dcmtk("storescp") is None:
        pytest.skip("no storescp here; apt-get install dcmtk")
    if not any(option.startswith("+x") for option in options):
        options = ("+xa", *options)
    if certificate is not None:
        options = (*options, "+tls", str(certificate.key), str(certificate.cert), "+cf", str(certificate.ca))
    server = StoreScp(folder, options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
