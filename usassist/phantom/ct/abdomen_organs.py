"""The organs of a simulated abdomen: where they lie, how large they are, and what their content shows in CT."""

from __future__ import annotations

import numpy as np

from usassist.phantom.ct.abdomen_shapes import AbdomenPlan, Blob

__all__ = ["CONTENTS", "draw_blobs"]

CONTENTS = ("gas", "gas_fluid", "fluid", "stool", "contrast", "collapsed")
"""What a loop of bowel holds."""

_LOOPS = 260  # in the whole abdomen, at most


def _waves(rng: np.random.Generator, size: float) -> tuple[tuple[float, float], ...]:
    return tuple((rng.normal(0, size / order), rng.uniform(0, 2 * np.pi)) for order in range(2, 6))


def draw_blobs(plan: AbdomenPlan, rng: np.random.Generator, fill: float) -> tuple[Blob, ...]:
    """Organs and loops of bowel, in the order in which they are painted.

    Parameters
    ----------
    plan : sizes of the body
    rng : of the plan
    fill : about which share of the cavity they take, 0 to 1
    """
    u = rng.uniform
    inner, front = plan.half_width - plan.wall_mm, plan.anterior
    step, scale = plan.spacing_vertebra, plan.scale
    phase = u(0, 1)  # 0 = without contrast medium, 1 = portal venous
    enhanced = phase if u(0, 1) < 0.55 else 0.0
    blobs: list[Blob] = []

    def add(kind: str, x: float, y: float, z: float, a: float, b: float, c: float, hu: float, **more: float) -> None:
        waves, turn = _waves(rng, more.pop("wave", 0.05)), more.pop("turn", u(-0.5, 0.5))
        blobs.append(Blob((x, y, z), (a, b, c), turn, waves, kind, hu, **more))

    # Loops of bowel everywhere in front of the spine, small ones first, then the frame of the colon.
    low, high = -3.0 * step, 4.6 * step
    count = int(_LOOPS * fill * u(0.5, 1.0))
    size = u(9, 17)
    soft = u(15, 60)
    wall_hu = soft + 55 * enhanced * u(0, 1)
    for _ in range(count):
        angle, radius = u(0, 2 * np.pi), np.sqrt(u(0, 1))
        x, y = inner * 0.93 * radius * np.cos(angle), -0.48 * front + 0.6 * front * radius * np.sin(angle)
        kind = str(rng.choice(["fluid", "collapsed", "collapsed", "gas", "gas_fluid", "contrast"]))
        long = size * u(1.0, 2.6)
        add(kind, x, y, u(low, high), long, size * u(0.6, 1.1), size * u(0.8, 1.8), u(-5, 45) if kind != "contrast"
            else u(120, 500), turn=u(0, np.pi), wave=0.08, shell_hu=wall_hu, shell_mm=u(1.5, 4.0))  # fmt: skip
    colon = u(14, 34)
    for side in (-1.0, 1.0):
        kind = str(rng.choice(["stool", "gas", "gas_fluid", "collapsed", "stool"]))
        for part in range(7):
            add(kind, side * (inner - colon * u(0.9, 1.5)), u(-0.35, 0.05) * front, low + part * 1.1 * step,
                colon * u(0.6, 1.1), colon * u(0.7, 1.2), step * u(0.7, 1.0), u(0, 60),
                turn=u(0, np.pi), wave=0.06, shell_hu=wall_hu, shell_mm=u(1.5, 4.0))  # fmt: skip
    kind = str(rng.choice(["gas", "stool", "gas_fluid", "gas"]))
    for part in range(int(u(0, 6))):
        add(kind, (part - 2.5) / 2.5 * 0.7 * inner, -front + colon * u(0.7, 1.4), u(-1.2, 1.8) * step,
            inner * u(0.2, 0.4), colon * u(0.6, 1.0), colon, u(0, 60), wave=0.06, turn=u(-0.2, 0.2),
            shell_hu=wall_hu, shell_mm=u(1.5, 4.0))  # fmt: skip
    for _ in range(int(u(20, 90))):  # vessels of the mesentery
        add("solid", u(-0.7, 0.7) * inner, u(-0.9, 0.0) * front, u(low, high), u(1.5, 5), u(1.5, 3.5), u(5, 30),
            u(25, 60) + 120 * enhanced * u(0, 1), turn=u(0, np.pi))  # fmt: skip
    # The large organs. They may reach the wall: whatever lies outside the cavity is not painted.
    kidney_hu = u(22, 45) + enhanced * u(60, 160)
    for side in (-1.0, 1.0):
        if u(0, 1) < 0.03:
            continue
        x, y = side * u(48, 72) * scale, u(-22, 12) * scale
        z = step * u(0.6, 1.7) - (side < 0) * u(0, 15)
        a, b = u(24, 34) * scale, u(20, 30) * scale
        if u(0, 1) < 0.8:  # the fat around it
            rim = u(3, 16)
            add("solid", x + side * u(0, 5), y, z, a + rim, b + rim, 75, plan.visceral_hu, turn=side * 0.7, wave=0.04)
        add("solid", x, y, z, a, b, u(48, 62) * scale, kidney_hu, turn=side * u(0.3, 1.2), wave=0.04)
        sinus = u(-100, 30) if u(0, 1) < 0.7 else u(0, 300)
        sinus_at = x - side * 8, y - 4, z
        add("solid", *sinus_at, 0.4 * a, 0.35 * b, 30, sinus, turn=side * 0.6, wave=0.15)
    add("solid", u(-12, 20), u(-75, -45) * scale, u(0.8, 2.2) * step, u(45, 75), u(8, 16), u(12, 25),
        u(25, 50) + 60 * enhanced, turn=u(-0.5, 0.3), wave=0.15)  # fmt: skip
    if u(0, 1) < 0.93:  # stomach
        kind = str(rng.choice(["gas_fluid", "fluid", "contrast", "collapsed", "gas_fluid"]))
        add(kind, u(0.1, 0.45) * inner, -u(0.4, 0.8) * front, u(1.5, 4.5) * step, u(0.2, 0.5) * inner,
            u(0.15, 0.4) * front, u(30, 70), u(5, 60) if kind != "contrast" else u(120, 450), wave=0.1,
            turn=u(-0.6, 0.6), shell_hu=wall_hu, shell_mm=u(2.5, 7))  # fmt: skip
    if u(0, 1) < 0.95:  # the spleen, often a crescent along the wall
        thick = u(10, 24) if u(0, 1) < 0.6 else u(22, 42)
        x, y, z = inner - thick * u(0.4, 1.3), u(-0.35, 0.2) * front, u(1.4, 4.2) * step
        turn = u(-0.1, 0.6)
        add("solid", x, y, z, thick, u(35, 70), u(45, 95), u(36, 58) + 65 * enhanced, turn=turn, wave=0.07)
    if u(0, 1) < 0.97:
        liver_hu = u(35, 70) + 50 * enhanced - (u(0, 60) if u(0, 1) < 0.25 else 0)
        x, y, z = -u(0.5, 0.75) * inner, u(-0.6, -0.2) * front, u(2.2, 4.6) * step
        add("solid", x, y, z, u(0.45, 0.75) * inner, u(0.5, 0.85) * front, u(75, 125), liver_hu, wave=0.06)
        add("solid", x + 0.5 * inner, y - 0.25 * front, z + 20, u(0.3, 0.6) * inner, u(0.3, 0.5) * front, u(35, 70),
            liver_hu, wave=0.08)  # fmt: skip
        if u(0, 1) < 0.6:
            add("solid", -u(0.3, 0.5) * inner, -u(0.4, 0.8) * front, z - u(30, 70), u(10, 22), u(12, 30), u(20, 40),
                u(0, 20), wave=0.05)  # fmt: skip
    blood = u(30, 48) + enhanced * u(60, 160)
    aorta = u(7, 13) * scale * (2.0 if u(0, 1) < 0.04 else 1.0)
    add("solid", u(4, 16), -u(26, 36) * scale, 40, aorta, aorta, 900, blood + u(0, 40) * enhanced, wave=0.02,
        shell_hu=u(30, 500), shell_mm=u(0, 2))  # fmt: skip
    add("solid", -u(12, 24), -u(24, 34) * scale, 40, u(7, 15), u(5, 11), 900, blood, wave=0.08)
    if u(0, 1) < 0.05:  # a mass with the HU of muscle
        add("solid", u(-0.7, 0.7) * inner, u(-0.8, -0.1) * front, u(-1, 3) * step, u(20, 60), u(20, 60), u(20, 60),
            plan.muscle_hu, wave=0.1)  # fmt: skip
    return tuple(blobs)
