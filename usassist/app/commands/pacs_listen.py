"""The command ``usassist pacs listen``."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

import typer

from usassist.errors import UsageError

__all__ = ["listen"]

_TICK_S = 0.2


def listen(
    folder: Annotated[
        Path, typer.Option(metavar="DIR", help="Studies go there: a folder that only you may open, made if missing.")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 = one that is free.")] = 11112,
    ae: Annotated[str, typer.Option(metavar="AE", help="Our AE title; who calls another one is refused.")] = "USASSIST",
    allow: Annotated[
        str | None, typer.Option(metavar="AE,...", help="AE titles that may send; needed with --host.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 = all of this machine.")] = "127.0.0.1",
    quiet_s: Annotated[
        float, typer.Option("--quiet", min=0.0, help="A study is complete when nothing has come for so long, s.")
    ] = 10.0,
    max_mb: Annotated[int, typer.Option(min=1, help="Larger objects are refused, MB.")] = 2048,
    tls_cert: Annotated[Path | None, typer.Option(help="Our certificate with its chain, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="Senders have to show a certificate that one of these has signed, PEM.")
    ] = None,
    unencrypted: Annotated[
        bool, typer.Option("--unencrypted", help="With --host: take studies that others on the network can read.")
    ] = False,
) -> None:
    """Receive studies by C-STORE into a private folder, until Ctrl-C."""
    from usassist.common.signals import stop_on_signal
    from usassist.dicom.network.listen import ListenOptions, receiving
    from usassist.dicom.network.store import StudyStore

    titles = tuple(title.strip() for title in (allow or "").split(",") if title.strip())
    for title in (ae, *titles):
        _check_title(title)
    if (tls_cert is None) != (tls_key is None) or (tls_ca is not None and tls_cert is None):
        raise UsageError("--tls-cert and --tls-key go together, and --tls-ca goes with both; name them all")
    if not _is_this_machine(host):
        if not titles:
            raise UsageError("beyond this machine only named senders are heard; name their AE titles with --allow")
        if tls_cert is None and not unencrypted:
            raise UsageError(
                "beyond this machine studies are sent over TLS; give --tls-cert and --tls-key, or, where a scanner "
                "has no TLS, --unencrypted"
            )
    options = ListenOptions(
        ae_title=ae,
        host=host,
        port=port,
        allow=titles,
        quiet_s=quiet_s,
        max_bytes=max_mb * 1_000_000,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_ca=tls_ca,
    )
    store = StudyStore(folder)
    with stop_on_signal() as stop, store.alone():
        for done in store.recover():
            _print_study(done, None)
        for part in store.unfinished():
            typer.echo(f"usassist: {part.count} objects of a study that was cut off are in {part.folder}", err=True)
        with receiving(store, options, _print_line, _print_study) as receiver:
            where = f"{ae}@{receiver.address[0]}:{receiver.address[1]}"
            typer.echo(f"usassist: receiving as {where} into {folder} — Ctrl-C ends it")
            while not stop.wait(_TICK_S):
                receiver.tick()


def _print_line(line: str) -> None:
    typer.echo(f"usassist: {line}", err=True)


def _print_study(folder: Path, new: int | None) -> None:
    came = "" if new is None else f", {new} new objects"
    typer.echo(f"usassist: a study is complete{came}: usassist replay {folder}")


def _check_title(title: str) -> None:
    """PS3.5 table 6.2-1, AE."""
    if not title or len(title) > 16 or not title.isascii() or not title.isprintable() or "\\" in title:
        raise UsageError(f"an AE title has 1 to 16 ASCII characters, got {title!r}; correct it")


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
