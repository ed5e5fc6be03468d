"""A small 3-D modality as another distribution would bring it: bright regions of a CT, outlined and measured in mL.

It exists to prove that the room for volumes is complete, and to be copied.
"""

from usassist.modalities import Kind, Modality

MODALITY = Modality(
    code="CT",
    title="Bright regions of a CT",
    kind=Kind.STUDY,
    room="tests.unit.modalities.example3d",
    engine_tasks=("segment",),
    make_task="tests.unit.modalities.example3d.task:make_task",
)
