"""Texts that people read, in English, Korean and German: one folder for each language, one file for each place."""

from usassist.words.table import Words, flatten, languages, load_words

__all__ = ["Words", "flatten", "languages", "load_words"]
