"""A study through an engine, from its files to a folder with the result. For commands, the worklist and the demo."""

__all__: list[str] = []
