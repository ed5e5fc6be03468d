"""Training of the project's own engines. Needs the extra ``train``; only some modules import torch."""

from usassist.training.recipe import Recipe, load_recipe

__all__ = ["Recipe", "load_recipe"]
