"""``usassist pacs listen``: what cannot be is one line, and nothing is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from usassist.app.commands.pacs_listen import listen
from usassist.errors import UsAssistError

FAR = {"host": "0.0.0.0", "port": 0}


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (FAR, 2, "name their AE titles with --allow"),
        (FAR | {"allow": "SCANNER"}, 2, "--unencrypted"),
        (FAR | {"allow": ","}, 2, "name their AE titles with --allow"),
        ({"ae": "A" * 17}, 2, "1 to 16 ASCII characters"),
        ({"allow": "SCANNER,\N{GREEK SMALL LETTER ALPHA}"}, 2, "1 to 16 ASCII characters"),
        ({"tls_cert": Path("cert.pem")}, 2, "name them all"),
        ({"tls_ca": Path("ca.pem")}, 2, "name them all"),
        ({"tls_cert": Path("no.pem"), "tls_key": Path("no.pem"), "port": 0}, 2, "two PEM files"),
        ({"folder": "open"}, 1, "chmod 700"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path: Path, options: dict[str, Any], code: int, message: str) -> None:
    pytest.importorskip("pynetdicom", reason="needs the extra dicom")
    (tmp_path / "open").mkdir(mode=0o755)
    folder = tmp_path / options.get("folder", "new")
    with pytest.raises(UsAssistError, match=message) as caught:
        listen(**(options | {"folder": folder}))
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (code, False)
