from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import zmq
from typer.testing import CliRunner
from zmq.utils import z85

from usassist.app.commands.main import app
from usassist.bus.keys import ROLES, Keyring, Role, role_of
from usassist.errors import BusKeyError, ConfigError

OTHER_VIEWER = "viewer-" + "a1" * 32
OTHER_STREAM = "stream-" + "b2" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "keys"
    monkeypatch.setenv("USASSIST_KEYS", str(folder))
    return folder


@pytest.mark.parametrize("role", ROLES)
def test_a_secret_key_is_a_file_that_only_its_owner_can_read(folder: Path, role: Role) -> None:
    old = os.umask(0)  # the most generous one there is
    try:
        public = Keyring().make(role)
    finally:
        os.umask(old)
    path = folder / f"{role}.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [item.name for item in folder.iterdir()] == [path.name]
    assert Keyring().public_key(role) == public
    secret = z85.encode(Keyring().secret_key(role))
    assert f"{role}-{z85.decode(zmq.curve_public(secret)).hex()}" == public


def test_a_key_is_never_replaced() -> None:
    first = Keyring().make("stream")
    with pytest.raises(BusKeyError, match="is there already"):
        Keyring().make("stream")
    assert Keyring().public_key("stream") == first


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_secret_key_that_others_may_read_is_refused_with_the_command_that_mends_it(folder: Path, mode: int) -> None:
    Keyring().make("viewer")
    path = folder / "viewer.key"
    path.chmod(mode)
    with pytest.raises(BusKeyError, match=f"open to others .*run: chmod 600 {path}$"):
        Keyring().secret_key("viewer")


def test_a_folder_that_others_may_enter_is_refused(folder: Path) -> None:
    Keyring().make("viewer")
    folder.chmod(0o750)
    with pytest.raises(ConfigError, match=f"chmod 700 {folder}"):
        Keyring().secret_key("viewer")


def test_a_missing_key_is_told_with_the_command_that_makes_it() -> None:
    with pytest.raises(BusKeyError, match=r"make one with: usassist keys make stream$"):
        Keyring().secret_key("stream")


def test_a_link_is_not_taken_for_a_key(folder: Path, tmp_path: Path) -> None:
    Keyring().make("stream")
    (folder / "stream.key").rename(tmp_path / "elsewhere")
    (folder / "stream.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BusKeyError, match="must be a file of your own"):
        Keyring().secret_key("stream")


@pytest.mark.parametrize(
    "text", ["", "rubbish", "stream-" + "0" * 64, "secret-viewer-" + "0" * 64, "secret-stream-" + "0" * 63, "ÿ" * 90]
)
def test_a_file_that_holds_no_secret_key_of_its_kind_is_refused(folder: Path, text: str) -> None:
    Keyring().make("stream")
    (folder / "stream.key").write_text(text)
    with pytest.raises(BusKeyError, match="holds no stream key"):
        Keyring().secret_key("stream")


def test_a_key_that_is_allowed_is_known_until_it_is_forgotten() -> None:
    assert Keyring().allow(OTHER_VIEWER, "ward3") == "viewer"
    assert Keyring().allow(OTHER_STREAM, "room1") == "stream"
    assert Keyring().viewer_keys() == {bytes.fromhex("a1" * 32)}
    assert Keyring().stream_keys() == {"room1": bytes.fromhex("b2" * 32)}
    Keyring().forget("ward3")
    assert Keyring().viewer_keys() == set()
    assert list(Keyring().stream_keys()) == ["room1"]


def test_own_keys_need_not_be_allowed() -> None:
    viewer, stream = Keyring().make("viewer"), Keyring().make("stream")
    assert Keyring().viewer_keys() == {bytes.fromhex(viewer.removeprefix("viewer-"))}
    assert Keyring().stream_keys() == {"own": bytes.fromhex(stream.removeprefix("stream-"))}


@pytest.mark.parametrize(
    "key", ["", "viewer-12", "viewer-" + "A1" * 32, "secret-viewer-" + "0" * 64, OTHER_VIEWER + "\n"]
)
def test_a_text_that_is_no_public_key_is_not_allowed(key: str) -> None:
    with pytest.raises(BusKeyError, match="no public key"):
        Keyring().allow(key, "ward3")


@pytest.mark.parametrize("name", ["", "own", "../x", "a/b", "Ward", "a" * 41, "x\n"])
def test_a_name_that_could_be_a_path_or_means_something_else_is_not_allowed(name: str) -> None:
    with pytest.raises(BusKeyError, match="is no name"):
        Keyring().allow(OTHER_VIEWER, name)


def test_a_name_stands_for_one_key() -> None:
    Keyring().allow(OTHER_VIEWER, "ward3")
    with pytest.raises(BusKeyError, match="usassist keys forget ward3"):
        Keyring().allow(OTHER_STREAM, "ward3")


@pytest.mark.parametrize("name", ["nobody", "../../etc/passwd", ""])
def test_what_is_not_there_cannot_be_forgotten(name: str) -> None:
    with pytest.raises(BusKeyError, match="there is no key named"):
        Keyring().forget(name)


def test_an_allowed_key_that_others_may_change_is_refused(folder: Path) -> None:
    Keyring().allow(OTHER_VIEWER, "ward3")
    (folder / "allowed" / "ward3.pub").chmod(0o620)
    with pytest.raises(BusKeyError, match="open to others"):
        Keyring().viewer_keys()


def test_the_commands_make_show_allow_list_and_forget() -> None:
    runner = CliRunner()
    made = runner.invoke(app, ["keys", "make", "stream"]).stdout.strip()
    assert role_of(made) == "stream"
    assert runner.invoke(app, ["keys", "show", "stream"]).stdout.strip() == made
    assert "may watch" in runner.invoke(app, ["keys", "allow", OTHER_VIEWER, "--name", "ward3"]).stdout
    listed = runner.invoke(app, ["keys", "list"]).stdout
    assert made in listed
    assert OTHER_VIEWER in listed
    assert Keyring().secret_key("stream").hex() not in listed
    assert "no longer" in runner.invoke(app, ["keys", "forget", "ward3"]).stdout
    assert OTHER_VIEWER not in runner.invoke(app, ["keys", "list", "--json"]).stdout


def test_nothing_to_list_says_how_to_begin() -> None:
    assert "usassist keys make" in CliRunner().invoke(app, ["keys", "list"]).stdout
