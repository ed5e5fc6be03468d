"""The teacher of outlines, which is shown a nodule's box; its outlines train the engine. It is in no engine."""
