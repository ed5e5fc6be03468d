from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
import tomllib
from pathlib import Path

import pytest

from usassist import errors
from usassist.common.clock import FakeClock, MonotonicClock, clock_pair
from usassist.config import Config, PacsConfig, load_config, resource_dir, runtime_dir
from usassist.errors import ConfigError


def test_monotonic_clock_waits_until_the_time_it_is_given() -> None:
    clock = MonotonicClock()
    due_ns = clock.now_ns() + 2_000_000
    clock.sleep_until(due_ns)
    assert clock.now_ns() >= due_ns
    clock.sleep_until(0)


def test_fake_clock_jumps_forward_and_never_back() -> None:
    clock = FakeClock(5)
    clock.sleep_until(3)
    assert clock.now_ns() == 5
    clock.sleep_until(9)
    clock.advance_ms(1)
    assert clock.now_ns() == 1_000_009


def test_clock_pair_reads_both_clocks() -> None:
    first, second = clock_pair(), clock_pair()
    assert second.t_monotonic_ns >= first.t_monotonic_ns
    assert second.utc >= first.utc
    assert second.utc.endswith("+00:00")


def test_settings_default_when_no_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("USASSIST_CONFIG", raising=False)
    assert (load_config().stream.backend, load_config().stream.point) == ("auto", "auto")


def test_settings_come_from_the_file_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[stream]\nbackend = "onnxruntime"\npoint = "quiet"\nmax_age_ms = 99\n[panel]\nport = 8000\n')
    monkeypatch.setenv("USASSIST_CONFIG", str(path))
    config = load_config()
    assert (config.stream.backend, config.stream.max_age_ms, config.panel.port) == ("onnxruntime", 99.0, 8000)
    assert config.stream.point == "quiet"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[stream]\nbackand = 'x'", ["settings.toml", "stream", "backand"]),
        ("[stream]\nthreads = '2'", ["settings.toml", "stream", "threads", "int"]),
        ("[panel]\nport = true", ["settings.toml", "panel", "port"]),
        ("[streem]", ["settings.toml", "streem"]),
        ("[record]\ncodec = 'zip'", ["record", "codec", "zip", "fast or small"]),
        ("stream = 3", ["settings.toml", "stream"]),
        ("[stream", ["settings.toml"]),
    ],
)
def test_a_wrong_setting_is_named_with_file_table_and_key(tmp_path: Path, text: str, named: list[str]) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert all(word in str(caught.value) for word in named)
    assert "\n" not in str(caught.value)


def test_the_document_shows_every_key_with_its_default(tmp_path: Path) -> None:
    document = Path(__file__).parents[2] / "docs" / "settings.md"
    shown, archives = re.findall(r"```toml\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    tables = tomllib.loads(shown) | {"pacs": {}}
    assert tables == json.loads(json.dumps(dataclasses.asdict(Config())))  # tuples are lists in both
    path = tmp_path / "settings.toml"
    path.write_text(shown)
    assert load_config(path) == Config()
    path.write_text(archives)
    clinic, web = load_config(path).pacs.values()
    assert clinic == PacsConfig(host="pacs.example", ae_title="ARCHIVE")
    assert web == PacsConfig(url="https://pacs.example/dicom-web")
    of_web = {"url", "user", "password_file", "token_file", "ca", "timeout_s"}
    every = {item.name for item in dataclasses.fields(PacsConfig)}
    assert [set(table) for table in tomllib.loads(archives)["pacs"].values()] == [
        (every - of_web) | {"timeout_s"},
        of_web,
    ]


def test_data_folders_are_found() -> None:
    assert all(resource_dir(name).is_dir() for name in ("engines", "calibration", "demo"))


def test_socket_folder_is_private(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = runtime_dir()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="0700"):
        runtime_dir()


def test_socket_folder_that_is_a_link_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    os.symlink(tmp_path / "elsewhere", tmp_path / "usassist")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(ConfigError, match="remove it"):
        runtime_dir()


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn = errors.__doc__ or ""
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        assert issubclass(kind, errors.UsAssistError)
        assert name in errors.__all__
        line = next(line for line in drawn.splitlines() if f"{name} " in f"{line} ")
        builtin = [base.__name__ for base in kind.__bases__ if base.__module__ == "builtins"]
        assert all(base in line for base in builtin if kind is not errors.UsAssistError)


def test_an_error_that_is_also_an_os_error_prints_its_line_alone() -> None:
    assert str(errors.SourceError("there is no file x; check the path")) == "there is no file x; check the path"
