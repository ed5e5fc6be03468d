"""A real Orthanc (Debian's package, GPL, a process of its own) that tests start with a configuration of its own.

    with running_orthanc(tmp_path) as orthanc:
        send(..., orthanc.host, orthanc.dicom_port, orthanc.ae_title)
        orthanc.kill()
        orthanc.start()
        assert len(orthanc.instances()) == 1

Its ports are chosen by the system; its storage, configuration and log lie in the folder that it is given. Tests that
only add to it, and look for what they added, share the one of the fixture ``orthanc`` (tests/conftest.py).
"""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clinic.certificates import Certificate, make_certificate
from tests.clinic.tcp_proxy import tcp_proxy

__all__ = ["OrthancServer", "free_port", "has_orthanc", "running_orthanc"]

_PLUGINS = Path("/usr/share/orthanc/plugins")
_PATIENCE_S = 30.0
_MISSING = "no Orthanc here; apt-get install orthanc orthanc-dicomweb"


class OrthancServer:
    """One Orthanc on this machine.

    Attributes
    ----------
    host, dicom_port, ae_title : of DIMSE
    http_port, url : of its REST interface, without a slash at the end
    dicomweb_url : root of DICOMweb; with TLS through a proxy, as Orthanc's book advises (Debian's Orthanc 1.10.1 dies
        of its own HTTPS, with OpenSSL 3)
    certificate : with TLS the one of DIMSE and of HTTPS; clients trust ``certificate.ca``
    user, password : of HTTP, or None
    """

    host = "127.0.0.1"
    ae_title = "ORTHANC"

    def __init__(
        self,
        folder: Path,
        *,
        certificate: Certificate | None,
        worklists: Path | None,
        user: str | None,
        password: str | None,
        settings: dict[str, Any],
    ) -> None:
        self.folder, self.certificate, self.user, self.password = folder, certificate, user, password
        self.dicom_port, self.http_port = free_port(), free_port()
        self.url = f"http://localhost:{self.http_port}"
        self.dicomweb_url = f"{self.url}/dicom-web"
        self._process: subprocess.Popen[bytes] | None = None
        self._config = folder / "orthanc.json"
        config: dict[str, Any] = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(_PLUGINS / "libOrthancDicomWeb.so"), str(_PLUGINS / "libModalityWorklists.so")],
            "HttpPort": self.http_port,
            "HttpBindAddresses": [self.host],
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": user is not None,
            "RegisteredUsers": {} if user is None else {user: password},
            "DicomAet": self.ae_title,
            "DicomPort": self.dicom_port,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowFindWorklist": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Host": "localhost", "Ssl": False},
            "Worklists": {"Enable": worklists is not None, "Database": str(worklists or folder / "worklists")},
            "StableAge": 1,
            "OverwriteInstances": False,
            "SyncStorageArea": False,  # what a killed process wrote is there all the same, and tests wait less
        }
        if certificate is not None:
            config |= {
                "DicomTlsEnabled": True,
                "DicomTlsCertificate": str(certificate.cert),
                "DicomTlsPrivateKey": str(certificate.key),
                "DicomTlsTrustedCertificates": str(certificate.ca),
                "DicomTlsRemoteCertificateRequired": False,
            }
        self._config.write_text(json.dumps(config | settings))

    def start(self) -> None:
        """Start it, on the storage that it has; returns when both its ports answer."""
        assert self._process is None
        with (self.folder / "orthanc.log").open("ab") as log:
            self._process = subprocess.Popen(["Orthanc", str(self._config)], stdout=log, stderr=log)
        until = time.monotonic() + _PATIENCE_S
        while True:
            if self._process.poll() is not None or time.monotonic() > until:
                self.kill()
                raise AssertionError((self.folder / "orthanc.log").read_text()[-2000:])
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.dicom_port), 1):
                self.rest("/system")
                return
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self, *, paused: bool = True) -> None:
        """Let it hang: its connections stay, and nothing is answered. With ``paused=False`` it goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if paused else signal.SIGCONT)
        threads = Path(f"/proc/{self._process.pid}/task")
        while paused and not all(_state(thread) == "T" for thread in threads.iterdir()):
            time.sleep(0.002)

    def rest(self, path: str, data: bytes | None = None, method: str | None = None) -> bytes:
        """Answer of its REST interface.

        Raises
        ------
        urllib.error.HTTPError
            With the status.
        """
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if self.user is not None:
            token = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {token}")
        with urllib.request.urlopen(request, timeout=_PATIENCE_S) as answer:
            body: bytes = answer.read()
        return body

    def instances(self) -> list[str]:
        """SOP Instance UIDs of what it holds, sorted; one that it held twice would be here twice."""
        held = json.loads(self.rest("/instances?expand"))
        return sorted(item["MainDicomTags"]["SOPInstanceUID"] for item in held)

    def file(self, sop_uid: str) -> bytes:
        """The DICOM file that it holds of this SOP Instance UID."""
        return self.rest(f"/instances/{self._identifier(sop_uid)}/file")

    def preview(self, sop_uid: str, frame: int = 0) -> bytes:
        """PNG that Orthanc renders of an instance, or of one frame of it, counted from 0."""
        return self.rest(f"/instances/{self._identifier(sop_uid)}/frames/{frame}/preview")

    def add_modality(self, name: str, ae_title: str, port: int) -> None:
        """Make another node known, as a target of C-MOVE."""
        node = {"AET": ae_title, "Host": self.host, "Port": port}
        self.rest(f"/modalities/{name}", json.dumps(node).encode(), "PUT")

    def remove_all(self) -> None:
        """Remove every study."""
        for study in json.loads(self.rest("/studies")):
            self.rest(f"/studies/{study}", method="DELETE")

    def _identifier(self, sop_uid: str) -> str:
        found = json.loads(self.rest("/tools/lookup", sop_uid.encode()))
        (identifier,) = [item["ID"] for item in found if item["Type"] == "Instance"]
        return str(identifier)


@contextlib.contextmanager
def running_orthanc(
    folder: Path,
    *,
    tls: bool = False,
    worklists: Path | None = None,
    user: str | None = None,
    password: str | None = None,
    settings: dict[str, Any] | None = None,
) -> Iterator[OrthancServer]:
    """Run Orthanc until the block ends; the test is skipped where it is not installed.

    Parameters
    ----------
    folder : of its configuration, storage and log; made, and its storage removed at the end
    tls : DICOM over TLS, and DICOMweb over HTTPS
    worklists : folder with the .wl files that its worklist answers from
    user, password : asked for by HTTP
    settings : further keys of its configuration
    """
    if not has_orthanc():
        pytest.skip(_MISSING)
    folder.mkdir(parents=True, exist_ok=True)
    server = OrthancServer(
        folder,
        certificate=make_certificate(folder / "tls") if tls else None,
        worklists=worklists,
        user=user,
        password=password,
        settings=settings or {},
    )
    server.start()
    try:
        with contextlib.ExitStack() as stack:
            if server.certificate is not None:
                proxy = stack.enter_context(tcp_proxy(server.http_port, server.certificate))
                server.dicomweb_url = f"https://localhost:{proxy.port}/dicom-web"
            yield server
    finally:
        server.kill()
        shutil.rmtree(folder / "storage", ignore_errors=True)


def _state(thread: Path) -> str:
    try:
        return (thread / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return "T"


def has_orthanc() -> bool:
    """True where Orthanc and its plugins are installed."""
    return shutil.which("Orthanc") is not None and (_PLUGINS / "libOrthancDicomWeb.so").exists()


def free_port() -> int:
    """A port of this machine that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
