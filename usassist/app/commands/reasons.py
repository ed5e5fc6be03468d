"""Why back ends did not run, each reason said once."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["group_reasons"]


def group_reasons(items: Iterable[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Join what was left out for the same reason.

    Parameters
    ----------
    items : (back end, precision, reason) in the order in which they are to be shown

    Returns
    -------
    groups : (who, why); a back end without precisions was left out in all of them
    """
    items = [(backend, precision, _plain(backend, reason)) for backend, precision, reason in items]
    why = {backend: {reason for name, _, reason in items if name == backend} for backend, _, _ in items}
    groups: dict[str, dict[str, list[str]]] = {}
    for backend, precision, reason in items:
        groups.setdefault(reason, {}).setdefault(backend, []).append(precision)
    return [
        (
            ", ".join(
                backend if len(why[backend]) == 1 and len(names) > 1 else f"{backend} {' '.join(names)}"
                for backend, names in who.items()
            ),
            reason,
        )
        for reason, who in groups.items()
    ]


def _plain(backend: str, reason: str) -> str:
    """A reason without the name of the back end in front of it, where it holds for others too."""
    return reason.removeprefix(f"back end {backend} cannot run here: ")
