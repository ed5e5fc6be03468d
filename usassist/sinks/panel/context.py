"""What a tab of the page is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components.base import Component

from usassist.config import PanelConfig
from usassist.sinks.panel.card import ReadCard
from usassist.sinks.panel.feed import PanelFeed
from usassist.sinks.panel.marks import MarkIntake
from usassist.sinks.panel.metrics import Metrics
from usassist.sinks.panel.said import Said
from usassist.sinks.panel.scale import ScaleIntake
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.viewers import Viewers
from usassist.words import Words, load_words

__all__ = ["Labels", "PageContext"]

FIRST_LANGUAGE = "en"


class Labels:
    """The texts of Gradio's components: which component shows which word, so that a page can change its language."""

    def __init__(self) -> None:
        self._entries: list[tuple[Any, str, dict[str, str]]] = []

    def add(self, component: Any, part: str, **keys: str) -> Any:
        """Give a component its texts in the first language, and remember them.

        Parameters
        ----------
        component : of Gradio, also a tab or a button
        part : of the tables of words
        keys : attribute of the component, such as ``label`` or ``value`` → key of the text

        Returns
        -------
        component : the same
        """
        words = load_words(FIRST_LANGUAGE, part)
        for attribute, key in keys.items():
            setattr(component, attribute, words(key))
        self._entries.append((component, part, dict(keys)))
        return component

    @property
    def components(self) -> list[Component]:
        """All of them, as outputs of an event."""
        return [component for component, _, _ in self._entries]

    def updates(self, language: str) -> list[Mapping[str, object]]:
        """One update per component, in the order of :attr:`components`.

        Raises
        ------
        UsageError
            If there are no words for that language.
        """
        parts = {part: load_words(language, part) for _, part, _ in self._entries}
        updates: list[Mapping[str, object]] = []
        for _, part, keys in self._entries:
            texts: dict[str, Any] = {attribute: parts[part](key) for attribute, key in keys.items()}
            updates.append(gr.update(**texts))
        return updates


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """What a tab may read and call.

    Attributes
    ----------
    feed : reads the stream; its ``latest`` is the head of the newest packet
    viewers : the connected pages
    shown : records what the pages have drawn
    said : what people have said about frames and nodules
    marks, scales : take what people mark, and the scales that they set
    metrics : content of ``/metrics``
    config : table ``panel`` of the settings
    modality : title of what the page shows; empty = not named
    choices : engines, precisions and sources that may be chosen; None = none may be
    read_card : reads the card of an engine; None = there are none here
    labels : texts of components, for a change of language
    """

    feed: PanelFeed
    viewers: Viewers
    shown: ShownFrames
    said: Said
    marks: MarkIntake
    scales: ScaleIntake
    metrics: Metrics
    config: PanelConfig = field(default_factory=PanelConfig)
    modality: str = ""
    choices: Any = None
    read_card: ReadCard | None = None
    labels: Labels = field(default_factory=Labels)

    def words(self, language: str = FIRST_LANGUAGE, part: str = "page") -> Words:
        """The words of a part in a language."""
        return load_words(language, part)
