"""dcmtk's storescp of the tests: it takes what it is sent, also over TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.clinic.certificates import make_certificate
from tests.clinic.dcmtk import find_dcmtk
from tests.clinic.objects import write_object
from tests.clinic.storescp import running_storescp

STORESCU = find_dcmtk("storescu") or ""  # the fixture skips where it is missing


def test_it_takes_what_it_is_sent(tmp_path: Path) -> None:
    uid = write_object(tmp_path / "one.dcm")
    with running_storescp(tmp_path) as peer:
        command = [STORESCU, "-aec", peer.ae_title, peer.host, str(peer.port), str(tmp_path / "one.dcm")]
        assert subprocess.run(command, check=False).returncode == 0
        assert peer.instances() == [uid]


def test_it_takes_nothing_without_tls_where_it_listens_with_tls(tmp_path: Path) -> None:
    write_object(tmp_path / "one.dcm")
    certificate = make_certificate(tmp_path / "tls")
    with running_storescp(tmp_path, certificate=certificate) as peer:
        plain = [STORESCU, "-to", "2", "-aec", peer.ae_title, peer.host, str(peer.port), str(tmp_path / "one.dcm")]
        assert subprocess.run(plain, check=False, capture_output=True).returncode != 0
        assert peer.instances() == []
