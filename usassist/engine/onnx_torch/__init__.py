"""An ONNX graph, run by PyTorch.

The file is read once (:mod:`~usassist.engine.onnx_torch.graph`). Each of its nodes is looked up in a table of operators
and becomes one prepared function of torch (:mod:`~usassist.engine.onnx_torch.program`); nothing of the file is read per
frame. An operator, or an attribute of one, that is not supported is refused by name when the file is opened, never
guessed. Why not a library: ADR 36.

This package imports torch and onnx; ``engine/backends/torch.py`` imports it late.
"""
