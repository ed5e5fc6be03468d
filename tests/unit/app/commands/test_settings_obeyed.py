"""Every setting of a settings file, through every command that takes ``--config``, up to where it decides something."""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import usassist
from usassist.app.commands.main import app
from usassist.config import Config, in_force
from usassist.engine.cache import open_cache
from usassist.errors import UsAssistError

# Every key there is, with a value that is nowhere the default.
SETTINGS: dict[str, dict[str, Any]] = {
    "stream": {
        "engine": "other_engine",
        "backend": "onnxruntime",
        "precision": "fp32",
        "point": "quiet",
        "threads": 3,
        "max_age_ms": 77.0,
        "deadline_s": 2.5,
        "each_frame_alone": True,
        "scale": "profile",
        "sources": ("v4l2:/dev/video7",),
        "memory_limit_mb": 777,
    },
    "bus": {"address": "tcp://127.0.0.1:5777"},
    "panel": {
        "host": "127.0.0.2",
        "port": 7999,
        "jpeg_quality": 41,
        "cover_text": True,
        "token": False,
        "token_file": "token",
        "password_file": "password",
        "tls_cert": "cert.pem",
        "tls_key": "key.pem",
        "public_url": "https://host/path",
        "proxies": ("10.0.0.1",),
        "names": ("cart",),
    },
    "engine": {"cache_limit_mb": 17},
    "record": {"reserve_mb": 99, "codec": "small", "cover_text": False, "folder": "recordings"},
    "overlay": {
        "full_screen": True,
        "snapshots": "pictures",
        "language": "ko",
        "line_px": 3.5,
        "calipers": False,
    },
    "openigtlink": {"host": "127.0.0.3", "port": 17999},
}
OF_STREAM = [key for key in SETTINGS["stream"] if key not in ("memory_limit_mb", "sources")]  # the supervisor's
STREAM = {*(f"stream.{key}" for key in OF_STREAM), "bus.address", "engine.cache_limit_mb"}
RECORD = {f"record.{key}" for key in SETTINGS["record"]}
PANEL = {f"panel.{key}" for key in SETTINGS["panel"]}
OVERLAY = {f"overlay.{key}" for key in SETTINGS["overlay"]}
# What each command has to do with; the others mean nothing to it.
COMMANDS = {
    "demo": (STREAM - {"bus.address"}) | PANEL | RECORD,
    "live": STREAM | PANEL | RECORD | OVERLAY | {"stream.memory_limit_mb", "stream.sources", "openigtlink.host"},
    "replay": STREAM | RECORD | OVERLAY | {"openigtlink.host"},
    "replay SESSION": PANEL | OVERLAY | {"bus.address", "openigtlink.host"},
    "view": PANEL | OVERLAY | {"bus.address"},
    "rerun": RECORD | {"stream.threads", "engine.cache_limit_mb"},
    "ct worklist": PANEL,
    "panel": PANEL | {"bus.address"},
    "overlay": OVERLAY | {"bus.address"},
    "openigtlink": {"bus.address", "openigtlink.host", "openigtlink.port"},
    "engine build": {"engine.cache_limit_mb"},
}


class Stopped(Exception):
    """The command has come as far as the test wants."""


@pytest.fixture
def settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("USASSIST_CONFIG", raising=False)
    monkeypatch.setattr("usassist.config._in_force", Config())
    path = tmp_path / "settings.toml"
    lines: list[str] = []
    for table, keys in SETTINGS.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in keys.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*words: str, monkeypatch: pytest.MonkeyPatch, **caught: str) -> dict[str, Any]:
    """Run a command up to one of the functions in `caught`, and give what those were called with."""
    seen: dict[str, Any] = {}

    def stop(name: str) -> Any:
        def called(*arguments: Any, **options: Any) -> None:
            seen[name] = (arguments, options)
            raise Stopped

        return called

    for name, target in caught.items():
        monkeypatch.setattr(target, stop(name))
    result = CliRunner().invoke(app, list(words))
    assert isinstance(result.exception, Stopped), result.output
    return seen


def of_stream(options: Any) -> dict[str, Any]:
    """The settings that reach a stream."""
    found = {f"stream.{key}": getattr(options, key) for key in OF_STREAM}
    return found | {"bus.address": options.bus, "engine.cache_limit_mb": options.cache_limit_mb}


def of_record(record: Any) -> dict[str, Any]:
    return {f"record.{key}": getattr(record, key) for key in SETTINGS["record"]}


def of_panel(panel: Any) -> dict[str, Any]:
    return {f"panel.{key}": getattr(panel, key) for key in SETTINGS["panel"]}


def of_overlay(overlay: Any) -> dict[str, Any]:
    return {f"overlay.{key}": getattr(overlay, key) for key in SETTINGS["overlay"]}


def reached(command: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What of the settings reaches the function that does the work of a command."""
    config = ("--config", str(file))
    monkeypatch.setenv("DISPLAY", ":99")
    if command == "demo":
        ((options,), rest) = run(
            "demo", "null:", *config, monkeypatch=monkeypatch, at="usassist.app.demo.serve.run_demo"
        )["at"]
        found = of_stream(options.stream) | of_record(options.record) | of_panel(rest["panel"])
        assert found.pop("bus.address") == ""
        assert options.jpeg_quality == rest["panel"].jpeg_quality
        return found
    if command == "live":
        seen = run(
            "live",
            "--source",
            "null:",
            "--window",
            "--openigtlink=18111",
            *config,
            monkeypatch=monkeypatch,
            at="usassist.app.runtime.live_session.run_live",
        )
        options = seen["at"][0][0]
        found = of_stream(options.stream) | of_panel(options.panel) | of_record(options.record)
        found |= of_overlay(options.window)
        found |= {"record.folder": options.record_into.name, "stream.sources": options.sources}
        assert options.openigtlink.port == 18111
        found |= {"openigtlink.host": options.openigtlink.host}
        return found | {"stream.memory_limit_mb": options.memory_limit_mb}
    if command == "replay":
        at = "usassist.app.runtime.clips.replay"
        seen = run("replay", "null:", "--window", "--openigtlink=18111", *config, monkeypatch=monkeypatch, at=at)
        found = of_stream(seen["at"][0][0]) | of_record(seen["at"][1]["record"])
        found |= {"openigtlink.host": seen["at"][1]["openigtlink"].host}
        return found | of_overlay(seen["at"][1]["window"])
    if command == "replay SESSION":
        monkeypatch.setattr("usassist.app.commands.replay.is_session", lambda clip: True)
        at = "usassist.app.runtime.replay_session.replay_session"
        words = ("replay", str(tmp_path), "--page", "--window", "--openigtlink=18111")
        options = run(*words, *config, monkeypatch=monkeypatch, at=at)["at"][0][0]
        found = of_panel(options.page) | of_overlay(options.window) | {"bus.address": options.bus}
        return found | {"openigtlink.host": options.openigtlink.host}
    if command == "view":
        monkeypatch.setattr("usassist.app.commands.view.is_session", lambda session: True)
        at = "usassist.app.runtime.replay_session.replay_session"
        of_page = run("view", str(tmp_path), "--page", *config, monkeypatch=monkeypatch, at=at)["at"][0][0]
        of_window = run("view", str(tmp_path), "--window", *config, monkeypatch=monkeypatch, at=at)["at"][0][0]
        return of_panel(of_page.page) | of_overlay(of_window.window) | {"bus.address": of_page.bus}
    if command == "rerun":
        at = "usassist.app.rerun.run.rerun_session"
        (arguments, rest) = run("rerun", str(tmp_path), *config, monkeypatch=monkeypatch, at=at)["at"]
        return of_record(rest["record"]) | {
            "stream.threads": arguments[2].threads,
            "engine.cache_limit_mb": in_force().engine.cache_limit_mb,
        }
    if command == "ct worklist":
        at = "usassist.app.worklist.serve.serve_worklist"
        words = ("ct", "worklist", str(tmp_path), "--serve")
        return of_panel(run(*words, *config, monkeypatch=monkeypatch, at=at)["at"][0][3])
    if command == "panel":
        arguments = run("panel", *config, monkeypatch=monkeypatch, at="usassist.sinks.panel.run_panel")["at"][0]
        return of_panel(arguments[1]) | {"bus.address": arguments[0]}
    if command == "overlay":
        at = "usassist.sinks.overlay.window.run_window"
        arguments, rest = run("overlay", *config, monkeypatch=monkeypatch, at=at)["at"]
        return of_overlay(rest["settings"]) | {"bus.address": arguments[0]}
    if command == "openigtlink":
        at = "usassist.sinks.openigtlink.serve_openigtlink"
        (address, where, _), _ = run("openigtlink", *config, monkeypatch=monkeypatch, at=at)["at"]
        return {"bus.address": address, "openigtlink.host": where.host, "openigtlink.port": where.port}
    monkeypatch.setattr("usassist.engine.registry.why_not", lambda *_arguments, **_options: None)
    run("engine", "build", "thyroid_nodule", *config, monkeypatch=monkeypatch, at="usassist.engine.building.BuildJob")
    return {"engine.cache_limit_mb": in_force().engine.cache_limit_mb}


def test_this_test_covers_every_setting_with_a_value_other_than_its_default() -> None:
    defaults = dataclasses.asdict(Config())
    assert defaults.pop("pacs") == {}  # tables by name: tests/unit/dicom/network/test_nodes.py
    assert {table: set(keys) for table, keys in defaults.items()} == {t: set(keys) for t, keys in SETTINGS.items()}
    assert all(defaults[table][key] != value for table, keys in SETTINGS.items() for key, value in keys.items())
    every = {f"{table}.{key}" for table, keys in SETTINGS.items() for key in keys}
    assert set.union(*COMMANDS.values()) == every


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_setting_of_the_file_reaches_the_command(
    command: str, settings_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command == "engine build":
        pytest.importorskip("tensorrt_rtx_bindings", reason="building plans here needs the extra `tensorrt-rtx`")
    found = reached(command, settings_file, tmp_path, monkeypatch)
    wanted = {f"{table}.{key}": value for table, keys in SETTINGS.items() for key, value in keys.items()}
    assert found == {name: wanted[name] for name in COMMANDS[command]}


def test_this_test_covers_every_command_with_a_settings_file() -> None:
    def walk(group: Any, prefix: tuple[str, ...]) -> Iterator[str]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*prefix, name))
            elif any(parameter.name == "config" for parameter in command.params):
                yield " ".join((*prefix, name))

    import typer.main

    assert set(walk(typer.main.get_command(app), ())) == {name for name in COMMANDS if name != "replay SESSION"}


def test_commands_without_the_option_follow_the_file_that_the_environment_names(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USASSIST_CONFIG", str(settings_file))
    result = CliRunner().invoke(app, ["engine", "cache", "list", "--json"])
    assert result.exit_code == 0, result.output
    assert open_cache()._limit_bytes == 17 << 20


def test_the_limit_of_the_cache_reaches_streams_in_other_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the child of a stream gets it: in its options, whatever its own environment says."""
    from usassist.app.runtime.open_stream import StreamOptions, open_stream

    monkeypatch.setattr("usassist.config._in_force", Config())
    options = StreamOptions(source="nosuch.mkv", bus="ipc", engine="thyroid_nodule", cache_limit_mb=17)
    with contextlib.suppress(UsAssistError), open_stream(StreamOptions(**dataclasses.asdict(options))):
        pass
    assert open_cache()._limit_bytes == 17 << 20
    assert StreamOptions(source="nosuch.mkv", bus="ipc", engine="thyroid_nodule").cache_limit_mb == 17


def test_the_limit_of_the_cache_reaches_the_process_that_builds(tmp_path: Path) -> None:
    code = (
        "import sys; from usassist.engine import build_child, opening, cache, engine_toml;"
        "engine_toml.load_spec = lambda path: None; opening.prepare = lambda *_: True;"
        "opening.prepared_path = lambda *_: cache.open_cache()._limit_bytes;"
        "sys.exit(build_child.main('.', 'x', 'fp32', '0', '17'))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
    assert said == {"event": "done", "built": True, "path": str(17 << 20)}


def test_no_module_below_app_reads_settings_files() -> None:
    """They get their settings handed down; a second reading would not know of ``--config``."""
    root = Path(usassist.__file__).parent
    readers = []
    for path in sorted(root.rglob("*.py")):
        names = {
            node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else node.name
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Name | ast.Attribute | ast.alias)
        }
        if "load_config" in names:
            readers.append(path.relative_to(root).as_posix())
    assert readers == ["app/commands/options.py"]
