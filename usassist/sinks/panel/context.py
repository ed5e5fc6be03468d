"""What a tab of the page is built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components.base import Component

from usassist.config import PanelConfig
from usassist.sinks.panel.card import ReadCard
from usassist.sinks.panel.control import ControlIntake
from usassist.sinks.panel.feed import PanelFeed
from usassist.sinks.panel.marks import MarkIntake
from usassist.sinks.panel.metrics import Metrics
from usassist.sinks.panel.said import Said
from usassist.sinks.panel.scale import ScaleIntake
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.viewers import Viewers
from usassist.words import Words, load_words

__all__ = ["FIRST_LANGUAGE", "Labels", "PageContext"]

FIRST_LANGUAGE = "en"


class Labels:
    """The texts of Gradio's components: which component shows which word, so that a page can change its language."""

    def __init__(self) -> None:
        self._entries: list[tuple[Any, str, Callable[[Words], dict[str, Any]]]] = []

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
        return self._add(component, part, lambda words: {name: words(key) for name, key in keys.items()})

    def add_choices(self, component: Any, part: str, keys: Mapping[str, str]) -> Any:
        """The same for the choices of a component: value → key of its text."""

        def texts(words: Words) -> dict[str, Any]:
            return {"choices": [(words(key), value) for value, key in keys.items()]}

        return self._add(component, part, texts)

    def _add(self, component: Any, part: str, texts: Callable[[Words], dict[str, Any]]) -> Any:
        for attribute, text in texts(load_words(FIRST_LANGUAGE, part)).items():
            setattr(component, attribute, text)
        self._entries.append((component, part, texts))
        return component

    @property
    def components(self) -> list[Component]:
        """All of them, each once, as outputs of an event."""
        return list({id(component): component for component, _, _ in self._entries}.values())

    def updates(self, language: str) -> list[Mapping[str, object]]:
        """One update per component, in the order of :attr:`components`.

        Raises
        ------
        UsageError
            If there are no words for that language.
        """
        parts = {part: load_words(language, part) for _, part, _ in self._entries}
        by_component: dict[int, dict[str, Any]] = {}
        for component, part, texts in self._entries:
            by_component.setdefault(id(component), {}).update(texts(parts[part]))
        return [gr.update(**texts) for texts in by_component.values()]


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
    read_card : reads the card of an engine; None = there are none here
    controls : asks for changes of the running session, and knows what may be chosen
    labels : texts of components, for a change of language
    """

    feed: PanelFeed
    viewers: Viewers
    shown: ShownFrames
    said: Said
    marks: MarkIntake
    scales: ScaleIntake
    controls: ControlIntake
    metrics: Metrics
    config: PanelConfig = field(default_factory=PanelConfig)
    modality: str = ""
    read_card: ReadCard | None = None
    labels: Labels = field(default_factory=Labels)

    def words(self, language: str = FIRST_LANGUAGE, part: str = "page") -> Words:
        """The words of a part in a language."""
        return load_words(language, part)
