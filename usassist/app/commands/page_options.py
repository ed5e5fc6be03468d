"""The options of every command that serves a page in the browser."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from usassist.config import PanelConfig

__all__ = ["NO_OPTIONS", "PageOptions", "takes_page_options"]

_OPTIONS: dict[str, Any] = {
    "host": Annotated[str | None, typer.Option(help="Address that the page listens on.")],
    "port": Annotated[int | None, typer.Option(min=1, max=65535, help="Port that the page listens on.")],
    "token": Annotated[
        bool | None,
        typer.Option("--token/--no-token", help="Whether the page asks for a secret on this machine too."),
    ],
    "token_file": Annotated[
        str | None, typer.Option(help="File with the token of the page's address; made where there is none.")
    ],
    "password_file": Annotated[str | None, typer.Option(help="File that usassist panel-password has made.")],
    "tls_cert": Annotated[str | None, typer.Option(help="Certificate chain of the page, PEM.")],
    "tls_key": Annotated[str | None, typer.Option(help="Its private key, PEM.")],
    "public_url": Annotated[
        str | None, typer.Option(help="Address of the page behind a reverse proxy; see docs/access.md.")
    ],
}


@dataclasses.dataclass(frozen=True, slots=True)
class PageOptions:
    """What the command line says of the page.

    Attributes
    ----------
    given : setting of the table ``panel`` → value, where it was given
    """

    given: dict[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """The same by the names of the options."""
        return {name.replace("_", "-"): value for name, value in self.given.items()}

    def override(self, settings: PanelConfig) -> PanelConfig:
        """The table ``panel``, with what was given instead."""
        return dataclasses.replace(settings, **self.given)


NO_OPTIONS = PageOptions({})
"""Nothing was given."""


def takes_page_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the page, in the place of its parameter ``page_options``.

    The command is called with :class:`PageOptions`.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "page_options":
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters += [
                inspect.Parameter(name, kind, default=None, annotation=annotation)
                for name, annotation in _OPTIONS.items()
            ]
        else:
            parameters.append(parameter)

    @functools.wraps(command)
    def taking(**values: Any) -> None:
        given = {name: values.pop(name) for name in _OPTIONS}
        command(**values, page_options=PageOptions({name: v for name, v in given.items() if v is not None}))

    taking.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    taking.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return taking
