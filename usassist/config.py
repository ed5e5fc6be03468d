"""Settings, and the only module that reads the environment or locates the files that ship with the package.

Settings come from three places; later ones take precedence: the defaults below, a TOML file (``--config FILE`` or the
environment variable ``USASSIST_CONFIG``), the command line. An unknown key or a value of another type is an error
that names the file, the table and the key.

A command reads them once, in ``app``, and hands them down as arguments and as options of child processes. Only what
applies to a whole process, the limit of the cache folder, is set for the process: :func:`put_in_force`.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from usassist.errors import ConfigError

__all__ = [
    "BusConfig",
    "Config",
    "EngineConfig",
    "OpenIgtLinkConfig",
    "PacsConfig",
    "PanelConfig",
    "RecordConfig",
    "StreamConfig",
    "cache_dir",
    "data_dir",
    "from_table",
    "has_display",
    "in_force",
    "keys_dir",
    "load_config",
    "put_in_force",
    "resource_dir",
    "runtime_dir",
    "state_dir",
]

_PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Table ``[stream]``: the loop from source to bus.

    Attributes
    ----------
    engine : name, or name@version, of the engine
    backend : name of a back end, or ``auto``
    precision : ``fp32`` or ``int8``, or ``auto`` for INT8 where the engine has it and the back end runs it
    point : operating point of the engine, or ``auto`` for ``balanced`` where its scores are calibrated
    scale : where millimetres come from: ``auto`` takes the DICOM header, the calibration and the ruler on the screen,
        ``profile`` the calibration alone, ``none`` leaves them out
    sources : addresses that may be changed to while ``live`` runs, beside ``--source`` and the frame grabbers of this
        machine
    each_frame_alone : leave out the association of findings over frames that the operating point may have
    threads : CPU threads for the engine; 0 = as many as the process may use
    max_age_ms : an answer older than this at publication is ``stale``
    deadline_s : the shortest deadline of an engine call; a call that exceeds it, or ten times the average of
        that engine's calls where that is longer, counts as hung
    memory_limit_mb : a process of a live session with more resident memory than this is ended and restarted, MiB;
        0 = half of the machine's memory
    """

    engine: str = "thyroid_nodule"
    backend: str = "auto"
    precision: str = "auto"
    point: str = "auto"
    scale: str = "auto"
    sources: tuple[str, ...] = ()
    each_frame_alone: bool = False
    threads: int = 0
    max_age_ms: float = 150.0
    deadline_s: float = 1.0
    memory_limit_mb: int = 0

    def __post_init__(self) -> None:
        """Check the names."""
        if self.scale not in ("auto", "profile", "none"):
            raise ConfigError(f"scale in [stream] must be auto, profile or none, got {self.scale!r}; correct it")


@dataclass(frozen=True, slots=True, kw_only=True)
class BusConfig:
    """Table ``[bus]``: where a stream publishes for other processes, and where these subscribe.

    Attributes
    ----------
    address : ``ipc`` for a private folder of this user, ``tcp://127.0.0.1:PORT`` (five ports from there on), or, with
        keys, ``tcp://HOST:PORT``; see ``docs/bus.md``. Empty: overlay and panel subscribe at ``ipc``, and a stream
        publishes to its own processes only
    """

    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelConfig:
    """Table ``[panel]``: the page in the browser.

    Attributes
    ----------
    host, port : where the page listens
    jpeg_quality : of the live image, 1 to 100; frames on the bus and in recordings are lossless
    cover_text : also cover, on the page, text that the scanner burnt into the image
    token : ask for a secret on this machine too; False = every user of this machine sees the page
    token_file : holds the token of the address, and is made where it does not exist; empty = a new token for each run
    password_file : of ``usassist panel-password``; empty = no password is accepted
    tls_cert, tls_key : certificate chain and private key (PEM); empty = no TLS
    public_url : address under which a reverse proxy offers the page, ``https://HOST`` or ``https://HOST/PATH``
    proxies : addresses of that proxy; what it says of a visitor's address is believed
    names : further host names under which the page may be asked for
    """

    host: str = "127.0.0.1"
    port: int = 7860
    jpeg_quality: int = 85
    cover_text: bool = False
    token: bool = True
    token_file: str = ""
    password_file: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    public_url: str = ""
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayConfig:
    """Table ``[overlay]``: the window.

    Attributes
    ----------
    full_screen : begin over the whole screen
    snapshots : folder for snapshots; empty = where the command was started
    language : of its texts: ``en``, ``ko`` or ``de``; reasons that the stream gives are in English
    line_px : thickness of outlines, 1 to 6 px of a window of 1080 lines
    calipers : begin with calipers
    """

    full_screen: bool = False
    snapshots: str = ""
    language: str = "en"
    line_px: float = 2.0
    calipers: bool = True

    def __post_init__(self) -> None:
        """Check the thickness; whether there are words of the language is seen by who reads them."""
        if not 1.0 <= self.line_px <= 6.0:
            raise ConfigError(f"line_px in [overlay] must be 1 to 6, got {self.line_px:g}; correct it")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordConfig:
    """Table ``[record]``: how a stream is recorded.

    Attributes
    ----------
    reserve_mb : free space that a recording leaves on its disk, MiB; it stops cleanly when it reaches this reserve
    codec : of the frames, both lossless: ``fast`` (MagicYUV), or ``small`` (FFV1), which takes less space and more time
    cover_text : find text that the scanner burnt into the image, and cover it before anything is written
    folder : gets a folder for every recording of ``live``, where ``--out`` is not given; relative to where the command
        was started
    """

    reserve_mb: int = 256
    codec: str = "fast"
    cover_text: bool = True
    folder: str = "out"

    def __post_init__(self) -> None:
        """Check the names."""
        if self.codec not in ("fast", "small"):
            raise ConfigError(f"codec in [record] must be fast or small, got {self.codec!r}; correct it")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """Table ``[engine]``: what is built from an engine for this machine.

    Attributes
    ----------
    cache_limit_mb : size of the folder :func:`cache_dir`, MiB; beyond it, the least recently used files are removed
    """

    cache_limit_mb: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PacsConfig:
    """A table ``[pacs.NAME]``: an archive, over DIMSE (``host``) or over DICOMweb (``url``).

    Attributes
    ----------
    host, port : where the archive listens
    ae_title : the archive's AE title
    own_ae_title : ours, as the archive knows it
    tls_ca : file of certificates (PEM) that the archive's must be signed by; ``system`` = those that this machine
        trusts; empty = no TLS
    tls_cert, tls_key : our certificate and its key (PEM), where the archive asks for one
    tls_name : name in the archive's certificate, where that is not ``host``
    timeout_s : for the connection, for each answer, and for silence in the middle
    move_port : port where we receive what the archive sends for a C-MOVE; 0 = fetch with C-GET
    url : root of the DICOMweb service
    user : for HTTP basic authentication
    password_file : holds the password of ``user``, in a file that only you can read
    token_file : holds a bearer token, in a file that only you can read
    ca : file of certificates (PEM) that the web server's must be signed by; empty = those that this machine trusts
    """

    host: str = ""
    port: int = 104
    ae_title: str = ""
    own_ae_title: str = "USASSIST"
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    tls_name: str = ""
    timeout_s: float = 30.0
    move_port: int = 0
    url: str = ""
    user: str = ""
    password_file: str = ""
    token_file: str = ""
    ca: str = ""

    def __post_init__(self) -> None:
        """Check that it is one of the two, and whole."""
        if bool(self.host) == bool(self.url):
            raise ConfigError("an archive needs either host or url, and not both; correct it")
        if self.url and not self.url.startswith(("https://", "http://")):
            raise ConfigError(f"url must begin with https:// or http://, got {self.url!r}; correct it")
        if self.host and not (self.ae_title.strip() and self.own_ae_title.strip()):
            raise ConfigError(
                "ae_title is missing, or own_ae_title empty; write the AE titles of the archive and of us"
            )
        for title in (self.ae_title, self.own_ae_title):
            if len(title) > 16 or not title.isascii() or not title.isprintable() or "\\" in title:
                raise ConfigError(f"an AE title has at most 16 ASCII characters, got {title!r}")
        for port in (self.port, self.move_port or 1):
            if not 0 < port < 65536:
                raise ConfigError(f"a port must be 1 to 65535, got {port}; correct it")
        if not 0 < self.timeout_s <= 3600:
            raise ConfigError(f"timeout_s must be more than 0 and at most 3600, got {self.timeout_s:g}")
        if bool(self.tls_cert) != bool(self.tls_key) or (self.tls_cert and not self.tls_ca):
            raise ConfigError("tls_cert and tls_key go together, and with tls_ca; correct it")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenIgtLinkConfig:
    """Table ``[openigtlink]``: images and outlines for 3D Slicer.

    Attributes
    ----------
    host, port : where clients connect. OpenIGTLink has neither encryption nor a password: everyone who reaches another
        host than this machine's 127.0.0.1 sees the images
    """

    host: str = "127.0.0.1"
    port: int = 18944


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set in a file; ``pacs`` by the name of the archive."""

    stream: StreamConfig = field(default_factory=StreamConfig)
    bus: BusConfig = field(default_factory=BusConfig)
    panel: PanelConfig = field(default_factory=PanelConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    record: RecordConfig = field(default_factory=RecordConfig)
    overlay: OverlayConfig = field(default_factory=OverlayConfig)
    openigtlink: OpenIgtLinkConfig = field(default_factory=OpenIgtLinkConfig)
    pacs: dict[str, PacsConfig] = field(default_factory=dict)


def load_config(path: Path | None = None) -> Config:
    """Read the settings file, if there is one.

    Parameters
    ----------
    path : the file; None = the one that ``USASSIST_CONFIG`` names, or the defaults

    Raises
    ------
    ConfigError
        If the file cannot be read, has an unknown table or key, or a value of the wrong type.
    """
    if path is None:
        named = os.environ.get("USASSIST_CONFIG")
        if not named:
            return Config()
        path = Path(named)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"settings file {path} cannot be read: {error}; correct it or leave out --config") from error
    tables = {
        "stream": StreamConfig,
        "bus": BusConfig,
        "panel": PanelConfig,
        "engine": EngineConfig,
        "record": RecordConfig,
        "overlay": OverlayConfig,
        "openigtlink": OpenIgtLinkConfig,
    }
    unknown = sorted(document.keys() - tables.keys() - {"pacs"})
    if unknown:
        raise ConfigError(f"settings file {path}: unknown table {unknown[0]}; known: {', '.join(tables)}, pacs.NAME")
    known = {
        name: from_table(kind, document.get(name, {}), where=f"settings file {path}, table {name}")
        for name, kind in tables.items()
    }
    return Config(**known, pacs=_archives(document.get("pacs", {}), path))


def _archives(tables: Any, path: Path) -> dict[str, PacsConfig]:
    """The tables ``[pacs.NAME]``, by name."""
    if not isinstance(tables, dict):
        raise ConfigError(f"settings file {path}: pacs must be tables [pacs.NAME], got {tables!r}")
    for name in tables:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            raise ConfigError(f"settings file {path}: an archive's name has letters, digits, - and _, got {name!r}")
    archives = {}
    for name, table in tables.items():
        where = f"settings file {path}, table pacs.{name}"
        try:
            archives[name] = from_table(PacsConfig, table, where=where)
        except ConfigError as error:
            message = str(error)
            raise ConfigError(message if message.startswith(where) else f"{where}: {message}") from error
    return archives


_in_force = Config()


def put_in_force(config: Config) -> None:
    """Make these the settings of this process. Called once, at the start of a command or child process."""
    global _in_force
    _in_force = config


def in_force() -> Config:
    """The settings that this process was started with; the defaults where none were set."""
    return _in_force


def from_table(kind: type[Any], table: dict[str, Any], *, where: str) -> Any:
    """Make a dataclass from a TOML table, strictly: no unknown key, no value of another type than the default.

    A list of strings becomes a tuple where the default is one.

    Raises
    ------
    ConfigError
        With ``where`` and the key.
    """
    if not isinstance(table, dict):
        raise ConfigError(f"{where} must be a table, got {table!r}")
    fields = {item.name: item for item in dataclasses.fields(kind)}
    for key, value in table.items():
        if key not in fields:
            raise ConfigError(f"{where}: unknown key {key}; known: {', '.join(sorted(fields))}")
        default = fields[key].default
        wanted = type(default)
        widened = wanted is float and isinstance(value, int) and not isinstance(value, bool)
        widened |= wanted is tuple and isinstance(value, list) and all(isinstance(item, str) for item in value)
        if type(value) is not wanted and not widened:
            named = "a list of strings" if wanted is tuple else wanted.__name__
            raise ConfigError(f"{where}: {key} must be {named}, got {value!r}")
    return kind(**{key: _as(fields[key].default, value) for key, value in table.items()})


def _as(default: Any, value: Any) -> Any:
    """The value in the type of the default, where TOML writes it in another."""
    if isinstance(default, float):
        return float(value)
    return tuple(value) if isinstance(default, tuple) else value


def resource_dir(name: str) -> Path:
    """The folder ``engines``, ``calibration``, ``demo`` or ``bench``: of the wheel, or else of the checkout.

    Raises
    ------
    ConfigError
        If the installation is incomplete.
    """
    for folder in (_PACKAGE / "_bundled" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f"the folder {name} is missing from this installation; install usassist again")


def data_dir() -> Path:
    """The folder of public training and test data, named by the environment variable ``USASSIST_DATA``.

    Raises
    ------
    ConfigError
        If the variable is not set or names no folder.
    """
    named = os.environ.get("USASSIST_DATA")
    if not named:
        raise ConfigError("the environment variable USASSIST_DATA is not set; name the folder that holds the data sets")
    folder = Path(named)
    if not folder.is_dir():
        raise ConfigError(f"USASSIST_DATA names {named}, which is not a folder; correct it")
    return folder


def has_display() -> bool:
    """True when a window can be shown. Not asked of OpenCV, which ends the process where it cannot."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def runtime_dir() -> Path:
    """A folder for sockets that only this user can enter (mode 0700).

    Raises
    ------
    ConfigError
        If it cannot be made, or belongs to another user.
    """
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "usassist" if base else Path(tempfile.gettempdir()) / f"usassist-{os.getuid()}"
    return _private_dir(folder, "folder for sockets", "remove it")


def cache_dir() -> Path:
    """The folder of what was built on this machine, which only this user can enter (mode 0700).

    The environment variable ``USASSIST_CACHE`` names it; else it is ``usassist`` in ``XDG_CACHE_HOME`` or
    ``~/.cache``.

    Raises
    ------
    ConfigError
        If it cannot be made, belongs to another user, is a symbolic link, or others may enter it.
    """
    named = os.environ.get("USASSIST_CACHE")
    if named:
        folder = Path(named).absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        folder = (Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~")) / ".cache") / "usassist"
    remedy = f"chmod 700 {folder}, or name another folder with USASSIST_CACHE"
    return _private_dir(folder, "cache folder", remedy)


def keys_dir() -> Path:
    """The folder of this user's keys for streams on other machines, which only this user can enter (mode 0700).

    The environment variable ``USASSIST_KEYS`` names it; else it is ``usassist/keys`` in ``XDG_CONFIG_HOME`` or
    ``~/.config``.

    Raises
    ------
    ConfigError
        If it cannot be made, belongs to another user, is a symbolic link, or others may enter it.
    """
    named = os.environ.get("USASSIST_KEYS")
    if named:
        folder = Path(named).absolute()
    else:
        base = os.environ.get("XDG_CONFIG_HOME", "")
        config = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~")) / ".config"
        folder = config / "usassist" / "keys"
    return _private_dir(folder, "folder of keys", f"chmod 700 {folder}, or name another folder with USASSIST_KEYS")


def state_dir() -> Path:
    """The folder of work that must not be lost, such as objects that wait to be sent; only this user can enter it.

    The environment variable ``USASSIST_STATE`` names it; else it is ``usassist`` in ``XDG_STATE_HOME`` or
    ``~/.local/state``.

    Raises
    ------
    ConfigError
        If it cannot be made, belongs to another user, is a symbolic link, or others may enter it.
    """
    named = os.environ.get("USASSIST_STATE")
    if named:
        folder = Path(named).absolute()
    else:
        base = os.environ.get("XDG_STATE_HOME", "")
        state = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~")) / ".local" / "state"
        folder = state / "usassist"
    return _private_dir(folder, "folder of state", f"chmod 700 {folder}, or name another folder with USASSIST_STATE")


def _private_dir(folder: Path, what: str, remedy: str) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise ConfigError(
            f"the {what} {folder} cannot be made: {error.strerror}; correct the path or its permissions"
        ) from error
    if not folder.is_dir() or folder.is_symlink() or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigError(f"the {what} {folder} must belong to you alone (mode 0700); {remedy}")
    return folder
