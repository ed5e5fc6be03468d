"""The rules of one page, made from its settings: what is wrong with them is said before anything is started."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from usassist.config import PanelConfig
from usassist.errors import UsageError
from usassist.sinks.panel.access.hosts import Hosts, PublicUrl, is_loopback, parse_public_url
from usassist.sinks.panel.access.password import PasswordHash, read_password
from usassist.sinks.panel.access.paths import LIVE_PATHS, Paths
from usassist.sinks.panel.access.proxy import ProxyRules
from usassist.sinks.panel.access.run_secrets import RunSecrets, read_token
from usassist.sinks.panel.access.tls import check_tls

__all__ = ["Rules", "check_access", "hosted_rules", "make_rules"]

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Who may see a page, and what of it.

    Attributes
    ----------
    secrets : tokens and cookies are checked with; None = everybody who reaches the page sees it
    password : that is accepted; None = none
    hosts : names and origins
    proxy : which proxies are believed
    paths : that are answered
    cookie : name of the cookie
    tls : this server speaks TLS
    frame_ancestors : pages that may show this one in a frame, as the content security policy has it
    """

    secrets: RunSecrets | None
    password: PasswordHash | None
    hosts: Hosts
    proxy: ProxyRules
    paths: Paths
    cookie: str
    tls: bool = False
    frame_ancestors: str = "'none'"

    @property
    def secure(self) -> bool:
        """True when browsers see the page over TLS."""
        public = self.proxy.public
        return self.tls or (public is not None and public.scheme == "https")

    def address(self, host: str, port: int) -> str:
        """The address of the page, with the token where there is one.

        Parameters
        ----------
        host, port : where it listens
        """
        shown = _ANYWHERE.get(host, f"[{host}]" if ":" in host else host)
        public = self.proxy.public
        url = f"http{'s' * self.tls}://{shown}:{port}/" if public is None else str(public)
        return url + (f"?token={self.secrets.token}" if self.secrets is not None and self.secrets.token else "")


def check_access(config: PanelConfig) -> None:
    """Check the settings.

    Raises
    ------
    UsageError
        If the page could be seen by others than those who have the secret, or a file cannot be used.
    """
    public = parse_public_url(config.public_url)
    tls = check_tls(config)
    secret = bool(config.token_file or config.password_file)
    outside = not is_loopback(config.host)
    if not config.token and (secret or outside or public is not None):
        raise UsageError("--no-token is for a page that only this machine reaches, without any secret; leave it out")
    if (outside or public is not None) and not secret:
        where = f"at {config.host}" if public is None else f"at {public}"
        raise UsageError(
            f"the page {where} is for other machines too and needs a secret; give --password-file or --token-file, "
            "see docs/access.md"
        )
    if outside and not tls and public is None:
        raise UsageError(
            f"the page at {config.host} would be sent unencrypted; give --tls-cert and --tls-key, or --public-url of "
            "the reverse proxy before it, see docs/access.md"
        )
    if config.password_file:
        read_password(Path(config.password_file))
    if config.token_file:
        with contextlib.suppress(FileNotFoundError):  # it is made later
            read_token(Path(config.token_file))


def make_rules(config: PanelConfig, secrets: RunSecrets, port: int, paths: Paths = LIVE_PATHS) -> Rules:
    """The rules of a page with these settings.

    Parameters
    ----------
    config : settings, which are checked
    secrets : of this run
    port : where the page listens
    paths : that are answered

    Raises
    ------
    UsageError
        As :func:`check_access`.
    """
    check_access(config)
    public, tls = parse_public_url(config.public_url), bool(config.tls_cert)
    names = {config.host, socket.gethostname(), *config.names} | _name_of(public)
    return Rules(
        secrets=secrets if config.token else None,
        password=read_password(Path(config.password_file)) if config.password_file else None,
        hosts=Hosts(names),
        proxy=ProxyRules(public=public, proxies=config.proxies, plain=not tls),
        paths=paths,
        cookie=f"usassist_{port}",
        tls=tls,
    )


def hosted_rules(paths: Paths, *, frame_ancestors: str = "*") -> Rules:
    """Rules for a page that anybody may see, behind a service that hosts it: for the demo, never for a live picture.

    Parameters
    ----------
    paths : that are answered
    frame_ancestors : pages that may show this one in a frame; such services show it in one of theirs
    """
    return Rules(
        secrets=None,
        password=None,
        hosts=Hosts(None),
        proxy=ProxyRules(public=None, trust_all=True),
        paths=paths,
        cookie="usassist",
        frame_ancestors=frame_ancestors,
    )


def _name_of(public: PublicUrl | None) -> set[str]:
    return set() if public is None else {urlsplit(f"//{public.netloc}").hostname or ""}
