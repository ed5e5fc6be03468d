"""Whether the files of a study are at rest: nothing of them has changed over several looks and a quiet time."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Settling"]


@dataclass(slots=True)
class _Seen:
    signature: str
    since_s: float
    looks: int


class Settling:
    """Remembers what each study looked like.

    Times are monotonic: neither a changed clock nor a time of change that was copied with a file makes one look old.

    Parameters
    ----------
    quiet_s : for so long nothing must have changed
    looks : over at least so many looks
    """

    def __init__(self, quiet_s: float, looks: int = 3) -> None:
        self._quiet_s, self._looks = quiet_s, looks
        self._seen: dict[str, _Seen] = {}

    def see(self, study: str, signature: str, now_s: float) -> bool:
        """Take one look; True when the study is at rest."""
        seen = self._seen.get(study)
        if seen is None or seen.signature != signature:
            self._seen[study] = _Seen(signature, now_s, 1)
            return self._looks <= 1 and self._quiet_s <= 0
        seen.looks += 1
        return seen.looks >= self._looks and now_s - seen.since_s >= self._quiet_s

    def forget(self, study: str) -> None:
        """Forget a study: it has gone, or has to come to rest again."""
        self._seen.pop(study, None)
