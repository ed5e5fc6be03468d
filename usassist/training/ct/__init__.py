"""Training of the engine ``ct_ich``: ``python -m usassist.training.ct RECIPE --out DIR`` (see ``docs/ct-ich.md``)."""
