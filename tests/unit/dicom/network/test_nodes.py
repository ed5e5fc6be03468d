"""Archives by name: tables of the settings file, addresses, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from usassist.config import PacsConfig, load_config
from usassist.dicom.network.nodes import Match, Node, Query, WebNode, node_named
from usassist.errors import ConfigError, UsageError

CLINIC = PacsConfig(
    host="pacs.example",
    port=11112,
    ae_title="ARCHIVE",
    own_ae_title="CART7",
    tls_ca="ca.pem",
    tls_cert="own.pem",
    tls_key="own.key",
    tls_name="archive",
    timeout_s=7.0,
    move_port=11113,
)
WEB = PacsConfig(url="https://pacs.example/dicom-web", user="cart", password_file="secret", ca="ca.pem", timeout_s=8.0)


def test_a_table_becomes_a_node_with_every_value() -> None:
    node = node_named("clinic", {"clinic": CLINIC, "web": WEB})
    assert isinstance(node, Node)
    assert node.name == "clinic"
    assert {name: getattr(node, name) for name in Node.__slots__ if name != "name"} == {
        name: getattr(CLINIC, name) for name in Node.__slots__ if name != "name"
    }
    web = node_named("web", {"clinic": CLINIC, "web": WEB})
    assert isinstance(web, WebNode)
    assert {name: getattr(web, name) for name in WebNode.__slots__ if name != "name"} == {
        name: getattr(WEB, name) for name in WebNode.__slots__ if name != "name"
    }


@pytest.mark.parametrize(
    ("text", "host", "port", "ae_title"),
    [
        ("ORTHANC@localhost:4242", "localhost", 4242, "ORTHANC"),
        ("MAIN PACS@10.0.0.7:104", "10.0.0.7", 104, "MAIN PACS"),
        ("A@[::1]:104", "::1", 104, "A"),
    ],
)
def test_an_address_is_a_node(text: str, host: str, port: int, ae_title: str) -> None:
    assert node_named(text, {}) == Node(name=text, host=host, port=port, ae_title=ae_title)


def test_a_url_is_a_web_node() -> None:
    assert node_named("https://h/dicom-web", {}) == WebNode(name="https://h/dicom-web", url="https://h/dicom-web")


@pytest.mark.parametrize(
    "text",
    [
        "nowhere",
        "A@host",
        "A@host:0",
        "A@host:99999",
        "LONGER THAN SIXTEEN@host:104",
        "ÄRZTE@host:104",
        " @h:1",
        "A\\B@h:1",
    ],
)
def test_anything_else_is_refused_with_what_is_known(text: str) -> None:
    with pytest.raises(UsageError, match=r"there is no archive .*; known: clinic; or write AE@HOST:PORT"):
        node_named(text, {"clinic": CLINIC})


def test_tables_are_read_from_the_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[pacs.clinic]\nhost = "h"\nae_title = "A"\n[pacs.web]\nurl = "https://h/dicom-web"\n')
    assert load_config(path).pacs == {
        "clinic": PacsConfig(host="h", ae_title="A"),
        "web": PacsConfig(url="https://h/dicom-web"),
    }


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "needs either host or url"),
        ('host = "h"\nurl = "https://h"', "needs either host or url, and not both"),
        ('host = "h"', "ae_title is missing"),
        ('host = "h"\nae_title = "LONGER THAN SIXTEEN"', "at most 16 ASCII"),
        ('host = "h"\nae_title = "A"\nport = 70000', "a port must be 1 to 65535"),
        ('host = "h"\nae_title = "A"\ntimeout_s = 0', "timeout_s must be more than 0"),
        ('host = "h"\nae_title = "A"\ntls_cert = "c"', "tls_cert and tls_key go together"),
        ('url = "ftp://h"', "url must begin with https"),
        ('host = "h"\nae_title = "A"\ncolour = "red"', "unknown key colour"),
        ('host = 7\nae_title = "A"', "host must be str"),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_name(tmp_path: Path, table: str, said: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(f"[pacs.clinic]\n{table}\n")
    with pytest.raises(ConfigError, match=rf"table pacs\.clinic: .*{said}"):
        load_config(path)


def test_names_that_no_folder_could_have_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[pacs."../x"]\nhost = "h"\nae_title = "A"\n')
    with pytest.raises(ConfigError, match="letters, digits"):
        load_config(path)


def test_queries_and_matches_do_not_show_whom_they_are_about() -> None:
    assert "Test" not in repr(Match(patient_name="Test^Invented")) + repr(Query(patient_id="Test"))
