"""The activities of `pocket101` seen from far: outdoors, many small figures, as in `pocket`.

An act is a function `(out, cast, dice, moments)` that draws on the frames `out`, which already show
the place. The generator `cast` decides how the figures look and is shared by a group; `dice`
decides where they are. `moments` counts, for each frame, the rounds since the start. Every motion
is periodic with a uniform phase, so no frame reveals its direction or speed.
"""

import numpy as np

from s1m_lab.pocket.sprites import (
    BRIGHT,
    FINE,
    INK,
    SHIRTS,
    STEPS,
    WHITE,
    Pen,
    Sprite,
    animate,
    climber,
    dark,
    look,
    nearing,
    pick,
    runner,
)

PULL = 64  # px that a climber, a kayak or a parachute comes in a round
STRIDE = 48  # px that a runner comes in a double step


def climbing(out, cast, dice, moments) -> None:
    """Climbers on ropes; backwards they are let down."""
    _rising(out, dice, moments, [climber(cast) for _ in range(8)], 5)


def gliding(out, cast, dice, moments) -> None:
    """Parachutes that a boat pulls up; backwards they come down."""
    _rising(out, dice, moments, [[canopy(cast)] for _ in range(6)], 4)


def paddling(out, cast, dice, moments) -> None:
    """Kayaks up a river, seen from above; backwards they paddle back."""
    _rising(out, dice, moments, [kayak(cast) for _ in range(8)], 5)


def _rising(out, dice, moments, things, columns) -> None:
    """Things that go up in columns, two in each, through all their poses in a round."""
    height, width = out.shape[1:3]
    loop, middle = height + 48, dice.uniform(-8, 8)
    for column in range(columns):
        x = (column + 0.5) * width / columns + middle + dice.uniform(-5, 5)
        start, poses = dice.uniform(0, loop), things[dice.integers(len(things))]
        for half in (0, loop / 2):
            way = start + half + PULL * moments
            animate(out, poses, way / PULL * len(poses), x, -way % loop - 24)


def karting(out, cast, dice, moments) -> None:
    """One kart after the other, coming at us; backwards they back off."""
    karts, x = kart(cast), out.shape[2] / 2 + dice.uniform(-7, 7)
    size = (dice.uniform(0, STEPS) + STEPS * moments) % STEPS
    animate(out, karts, size, x, 74 + 1.25 * size)


def running(out, cast, dice, moments) -> None:
    """Runners along three lines, two on each; the same step for the same ground."""
    width = out.shape[2]
    facing, loop = int(dice.choice([-1, 1])), width + 44
    for line in range(3):
        start = dice.uniform(0, loop)
        for half in (0, loop / 2):
            poses = runner(look(cast, BRIGHT + SHIRTS[:3]), facing, 1.15)
            way, phase = start + half + STRIDE * moments, dice.uniform(0, STRIDE)
            x = width / 2 + facing * (way % loop - loop / 2)
            animate(out, poses, (way + phase) * 8 / STRIDE, x, 62 + 34 * line)


# ------------------------------------------------------------------------------------ figures


def canopy(rng) -> Sprite:
    """A parachute, and who hangs on it."""
    pen, colour = Pen(44, 52), pick(rng, SHIRTS[:3] + BRIGHT[1:])
    pen.draw.pieslice([2 * FINE, 2 * FINE, 42 * FINE, 38 * FINE], 180, 360, fill=dark(colour, 0.85))
    for k in (-1, 1):
        box = [(22 + k * 10 - 5) * FINE, 3 * FINE, (22 + k * 10 + 5) * FINE, 37 * FINE]
        pen.draw.pieslice(box, 180, 360, fill=WHITE)
    for x in (3, 15, 29, 41):
        pen.line([(x, 20), (22, 38)], (90, 94, 104), 0.8)
    person = look(rng, SHIRTS)
    pen.box(18.5, 38, 25.5, 46, person["shirt"], 2)
    for side in (-1, 1):
        pen.line([(22 + side * 2, 45), (22 + side * 4, 51)], INK, 2.6)
        pen.line([(22 + side * 3, 39), (22 + side * 6, 33)], person["skin"], 2.2)
    pen.disc(22, 35.5, 3.6, person["skin"])
    pen.disc(22, 34.2, 3.4, person["hair"], ry=2.4)
    return Sprite(pen.image)


def kayak(rng) -> list[Sprite]:
    """From above, a blade in the water at either side by turns."""
    hull, helmet, vest = pick(rng, BRIGHT[1:]), pick(rng, BRIGHT), pick(rng, SHIRTS)
    skin, poses = look(rng, SHIRTS)["skin"], []
    for k in range(8):
        pen, lean = Pen(44, 48), np.sin(2 * np.pi * k / 8)
        pen.disc(22, 24, 9, (236, 246, 248), ry=23)
        pen.disc(22, 24, 7, dark(hull, 0.8), ry=22.5)
        pen.disc(22, 24, 5.6, hull, ry=21)
        pen.disc(22, 24, 4.6, INK, ry=7)
        ends = [(22 - 18, 24 + 7 * lean), (22 + 18, 24 - 7 * lean)]
        pen.disc(22, 24, 6.4, vest, ry=4.4)
        for side in (-1, 1):
            hand = (22 + side * 10, 24 - side * 4 * lean)
            pen.line([(22 + side * 5, 24), hand], skin, 2.6)
        pen.line(ends, (60, 44, 36), 1.4)
        for end in ends:
            pen.disc(*end, 3.2, (250, 240, 200), ry=2)
        pen.disc(22, 24, 4, dark(helmet, 0.8))
        pen.disc(22, 24, 3.2, helmet)
        poses.append(Sprite(pen.image))
    return poses


def kart(rng) -> list[Sprite]:
    """A go-kart from the front."""
    pen, body, helmet = Pen(96, 96), pick(rng, BRIGHT + SHIRTS[:3]), pick(rng, BRIGHT)
    pen.disc(48, 90, 46, (0, 0, 0, 80), ry=5)
    for x in (6, 74):
        pen.box(x, 52, x + 16, 90, INK, 6)
        pen.box(x + 3, 58, x + 13, 84, (70, 74, 84), 3)
    pen.box(20, 62, 76, 68, (120, 124, 134))
    pen.disc(48, 48, 19, pick(rng, SHIRTS))
    pen.polygon([(26, 84), (34, 50), (62, 50), (70, 84)], dark(body, 0.85))
    pen.polygon([(30, 84), (37, 54), (59, 54), (66, 84)], body)
    pen.disc(48, 69, 9, WHITE)
    pen.box(46, 63, 50, 75, INK)
    pen.box(12, 80, 84, 88, dark(body, 0.7), 4)
    pen.disc(48, 26, 17, dark(helmet, 0.8))
    pen.disc(48, 25, 16, helmet)
    pen.box(35, 22, 61, 32, INK, 4)
    pen.box(38, 24, 48, 28, (150, 190, 220), 1)
    return nearing(pen.image, 10, 102)
