"""An ONNX graph, run by PyTorch.

The file is read once (:mod:`~usassist.engine.onnx_torch.graph`), each of its nodes is looked up in one table of
operators (:mod:`~usassist.engine.onnx_torch.operators`) and becomes one prepared function of torch
(:mod:`~usassist.engine.onnx_torch.program`), so that nothing of the file is looked at per frame. What the table does
not know is refused by name when the file is opened, never guessed.

This package imports torch and onnx; ``engine/backends/torch.py`` imports it late.
"""
