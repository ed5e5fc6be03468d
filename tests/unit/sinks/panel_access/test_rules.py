from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.sinks.panel_access.gated import HTML, SECRETS, make_app, rules, visit
from usassist.app.commands.main import app
from usassist.config import PanelConfig
from usassist.errors import UsageError
from usassist.sinks.panel import page_options
from usassist.sinks.panel.access import Gate, check_access, make_secrets, split_address
from usassist.sinks.panel.access.password import hash_password, read_password, write_password

HERE = Path(__file__).parent
PASSWORD = "a long password, told to nobody"


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, str]:
    """Certificate and key for this machine."""
    key = tmp_path / "key.pem"
    key.write_bytes((HERE / "key.pem").read_bytes())
    key.chmod(0o600)
    return {"tls_cert": str(HERE / "cert.pem"), "tls_key": str(key)}


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    path = tmp_path / "password"
    write_password(path, PASSWORD)
    return str(path)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"host": "0.0.0.0"}, "needs a secret; give --password-file or --token-file"),
        ({"host": "::"}, "needs a secret"),
        ({"host": "192.0.2.7"}, "needs a secret"),
        ({"public_url": "https://us.example/"}, "needs a secret"),
        ({"host": "0.0.0.0", "token_file": "t"}, "unencrypted; give --tls-cert and --tls-key, or --public-url"),
        ({"host": "0.0.0.0", "token": False}, "--no-token is for a page that only this machine reaches"),
        ({"token": False, "token_file": "t"}, "--no-token"),
        ({"token": False, "public_url": "https://us.example"}, "--no-token"),
        ({"public_url": "http://us.example", "token_file": "t"}, "write https://HOST"),
        ({"public_url": "us.example", "token_file": "t"}, "write https://HOST"),
        ({"public_url": "https://a:b@us.example", "token_file": "t"}, "write https://HOST"),
        ({"public_url": "https://us.example:x", "token_file": "t"}, "write https://HOST"),
        ({"tls_cert": "cert.pem"}, "give --tls-cert and --tls-key"),
        ({"tls_cert": "none.pem", "tls_key": "none.pem"}, "none.pem cannot be read"),
        ({"password_file": "none"}, "there is no password file none; make one with: usassist panel-password FILE"),
    ],
)
def test_what_others_could_see_is_refused_with_what_to_do(
    settings: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=told.replace("?", r"\?")) as refused:
        check_access(PanelConfig(**settings))
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_this_machine_needs_nothing_and_others_a_secret_and_encryption(
    pair: dict[str, str], password_file: str, tmp_path: Path
) -> None:
    check_access(PanelConfig())
    check_access(PanelConfig(token=False))
    check_access(PanelConfig(host="::1"))
    check_access(PanelConfig(host="0.0.0.0", password_file=password_file, **pair))
    check_access(PanelConfig(host="0.0.0.0", token_file=str(tmp_path / "token"), **pair))
    check_access(PanelConfig(host="0.0.0.0", password_file=password_file, public_url="https://us.example/live"))
    check_access(PanelConfig(password_file=password_file, public_url="https://us.example:8443"))


def test_a_key_that_others_read_or_that_does_not_fit_is_refused(pair: dict[str, str], tmp_path: Path) -> None:
    Path(pair["tls_key"]).chmod(0o604)
    with pytest.raises(UsageError, match=r"can be read by everybody; chmod 600 "):
        check_access(PanelConfig(**pair))
    other = tmp_path / "other.pem"
    other.write_bytes((HERE / "other-key.pem").read_bytes())
    other.chmod(0o600)
    with pytest.raises(UsageError, match="cannot be used: key values mismatch; give a PEM pair"):
        check_access(PanelConfig(**pair | {"tls_key": str(other)}))
    other.write_text("no key")
    with pytest.raises(UsageError, match=r"cannot be used: .*; give a PEM pair"):
        check_access(PanelConfig(**pair | {"tls_key": str(other)}))


def test_a_token_file_is_made_once_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "token"
    config = PanelConfig(token_file=str(path))
    first, second = make_secrets(config), make_secrets(config)
    assert first == second, "cookies stay valid over runs"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() == first.token
    assert first.token not in repr(first)
    assert first.key_hex != first.token
    assert make_secrets(PanelConfig()) != make_secrets(PanelConfig())


@pytest.mark.parametrize(
    ("content", "mode", "told"),
    [
        ("a-token-of-twenty-letters", 0o644, "can be read by others; chmod 600"),
        ("a-token-of-twenty-letters", 0o660, "can be read by others; chmod 600"),
        ("short", 0o600, "is too short"),
        ("a token of twenty letters", 0o600, "has other characters than letters, digits"),
        ("", 0o600, "must hold one line"),
        ("a-token-of-twenty-letters\nanother-line-of-letters", 0o600, "must hold one line"),
    ],
)
def test_a_token_file_that_is_no_secret_is_refused(tmp_path: Path, content: str, mode: int, told: str) -> None:
    path = tmp_path / "token"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(UsageError, match=told):
        make_secrets(PanelConfig(token_file=str(path)))
    with pytest.raises(UsageError, match=told):
        check_access(PanelConfig(token_file=str(path)))


def test_token_files_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or directory; name another file"):
        make_secrets(PanelConfig(token_file=str(tmp_path / "no" / "token")))
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "else")
    with pytest.raises(UsageError, match="cannot be read: "):
        make_secrets(PanelConfig(token_file=str(link)))
    with pytest.raises(UsageError, match="is no plain file"):
        make_secrets(PanelConfig(token_file=str(tmp_path)))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(UsageError, match="is no plain file"):
        make_secrets(PanelConfig(token_file=str(pipe)))


def test_a_password_is_known_by_its_hash_alone(password_file: str) -> None:
    kept = Path(password_file)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert PASSWORD not in kept.read_text()
    found = read_password(kept)
    assert found.matches(PASSWORD)
    assert not found.matches(PASSWORD + " ")
    assert not found.matches("x" * 100_000)
    assert hash_password(PASSWORD).salt != found.salt
    for line in ("scrypt$32768$8$3$AAAA", "scrypt$1$8$3$AAAA$AAAA", "md5$32768$8$3$AAAA$AAAA", "hello"):
        kept.write_text(line)
        with pytest.raises(UsageError, match="holds no hash of a password; make one with"):
            read_password(kept)


@pytest.mark.parametrize("word", ["short", "x" * 300])
def test_a_password_too_short_or_too_long_is_not_taken(word: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a password has 10 to 256 characters"):
        write_password(tmp_path / "password", word)
    assert not (tmp_path / "password").exists()


def test_the_command_reads_the_password_from_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "password"
    result = CliRunner().invoke(app, ["panel-password", str(path)], input=f"{PASSWORD}\n")
    assert result.exit_code == 0, result.output
    assert PASSWORD not in result.output
    assert read_password(path).matches(PASSWORD)
    assert isinstance(CliRunner().invoke(app, ["panel-password", str(path)], input="short\n").exception, UsageError)
    assert read_password(path).matches(PASSWORD), "what was there stays"


def test_the_address_has_the_token_and_the_name_that_visitors_use(pair: dict[str, str], password_file: str) -> None:
    assert rules().address("127.0.0.1", 7860) == f"http://127.0.0.1:7860/?token={SECRETS.token}"
    assert split_address(rules().address("::1", 7860)) == ("http://[::1]:7860/", SECRETS.token)
    assert rules(token=False).address("0.0.0.0", 1) == "http://127.0.0.1:1/"
    with_password = PanelConfig(host="0.0.0.0", password_file=password_file, **pair)
    secrets = make_secrets(with_password)
    assert secrets.token == ""
    made = rules(secrets=secrets, host="0.0.0.0", password_file=password_file, **pair)
    assert made.address("0.0.0.0", 7860) == "https://127.0.0.1:7860/"
    behind = rules(secrets=secrets, password_file=password_file, public_url="https://us.example/live/")
    assert behind.address("127.0.0.1", 7860) == "https://us.example/live/"


def test_the_password_opens_the_page_and_five_wrong_ones_lock_it(password_file: str) -> None:
    config = PanelConfig(password_file=password_file)
    gate = Gate(make_app(), rules(secrets=make_secrets(config), password_file=password_file))
    origin = {"origin": "http://127.0.0.1:7860"} | HTML
    asked = visit(gate).get("/", headers=HTML)
    assert (asked.status_code, "Password" in asked.text) == (401, True)
    browser = visit(gate)
    assert browser.post("/login", data={"secret": PASSWORD}, headers=origin).status_code == 303
    assert browser.get("/config").status_code == 200
    guessing = visit(gate, peer="127.0.0.9")
    for number in range(5):
        wrong = guessing.post("/login", data={"secret": f"wrong {number}"}, headers=origin)
        assert (wrong.status_code, "not right" in wrong.text) == (401, True)
    locked = guessing.post("/login", data={"secret": PASSWORD}, headers=origin)
    assert locked.status_code == 429
    assert f"Try again in {locked.headers['retry-after']} s" in locked.text
    assert guessing.get("/?token=", headers=HTML).status_code == 401, "an empty token opens nothing"
    assert guessing.get("/config", headers={"authorization": "Bearer "}).status_code == 401
    assert visit(gate).post("/login", data={"secret": ""}, headers=origin).status_code == 401
    assert visit(gate).post("/login", content=b"secret=" + b"x" * 5000, headers=origin).status_code == 401
    assert browser.get("/config").status_code == 200, "who is logged in stays so"


def test_all_page_processes_of_a_run_get_the_same_secrets(tmp_path: Path) -> None:
    options = page_options("ipc", PanelConfig())
    assert options["panel"]["port"] == 7860
    assert len(options["secrets"]["token"]) > 40
    assert options["secrets"] != page_options("ipc", PanelConfig())["secrets"]
