"""The ball games of `pocket`: two teams in a hall, on a rink, a court or a pitch.

The rules are those of `sports_scenes`.
"""

import numpy as np

from s1m_lab.pocket.sports_scenes import frames, wander
from s1m_lab.pocket.sprites import (
    BLUE,
    CENTRE,
    HEIGHT,
    INK,
    RED,
    WHITE,
    WIDTH,
    YELLOW,
    Pen,
    Sprite,
    ball,
    dark,
    fans,
    ground,
    look,
    paste,
    pick,
    stand,
    steps,
    tint,
)

# What such places are painted with, or made of: a class must not be known by one colour
FLOORS = [(104, 84, 158), (72, 116, 142), (156, 112, 80), (92, 132, 96), (122, 120, 130)]
ICE = [(226, 236, 244), (238, 226, 234), (210, 232, 224), (240, 236, 218), (200, 216, 238)]
COURTS = [(216, 160, 98), (172, 116, 76), (134, 150, 172), (196, 184, 152), (106, 142, 122)]
PITCHES = [(74, 148, 62), (112, 152, 58), (52, 116, 78), (146, 132, 72), (150, 98, 66)]
FOVEA = (27, 105)  # rows between these may be seen by a fovea (29 to 103 in truth)


def play(rng, times, background, teams, box, ball, size=1.0, players=6, **more) -> np.ndarray:
    """Two teams and a ball at play inside `box` (x0, y0, x1, y1: where the feet go)."""
    x0, y0, x1, y1 = box
    out = frames(background, len(times))
    paths, sprites, phases = [], [], []
    for k in range(players):
        spot = x0 + (k + 0.5) * (x1 - x0) / players, rng.uniform(y0, y1)
        x = np.clip(spot[0] + wander(rng, times, 26), x0, x1)
        y = np.clip(spot[1] + wander(rng, times, 18), y0, y1)
        outfit = look(rng, [teams[k % 2]], **more)
        paths.append((x, y))
        sprites.append(steps(outfit, int(rng.choice([-1, 1])), size))
        phases.append(rng.uniform(0, 8))
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    bx = np.clip(middle[0] + wander(rng, times, (x1 - x0) * 0.45, 60), x0, x1)
    by = np.clip(middle[1] + wander(rng, times, (y1 - y0) * 0.5, 60), y0, y1)
    hop = 9 * np.abs(np.sin(np.asarray(times) * np.pi / 18 + rng.uniform(0, np.pi)))
    for n, time in enumerate(times):
        for k in np.argsort([y[n] for _, y in paths]):
            x, y = paths[k]
            paste(out[n], sprites[k][int(time / 3 + phases[k]) % 8], x[n], y[n] - 16 * size)
        paste(out[n], ball, bx[n], by[n] - hop[n])
    return out


def hall(rng, times, stands: int = 0) -> np.ndarray:
    """Futsal before orange stands, handball before pink ones (as bright as each other)."""
    supporters = [(240, 150, 40), (238, 118, 214)][stands]
    base = ground(rng, FLOORS)
    pen = Pen(WIDTH, HEIGHT, base)
    top, bottom = FOVEA
    for x in range(int(rng.integers(-36, 0)), WIDTH, 36):
        pen.box(x, top, x + 18, bottom, tint(rng, dark(base, 0.94), 4))
    pen.line([(CENTRE[0], top), (CENTRE[0], bottom)], (226, 220, 240), 1.4)
    pen.ring(*CENTRE, 21, (226, 220, 240), 1.4)
    for y0, y1, row in ((0, top, 15), (bottom, HEIGHT, bottom + 1)):
        pen.box(0, y0, WIDTH, y1, (40, 40, 62))
        seats = [supporters, supporters, dark(supporters, 0.85), WHITE]
        fans(pen, rng, y0 - 2 if row == 15 else row + 15, 9 if row == 15 else HEIGHT, seats)
        for x in range(int(rng.integers(-24, 0)), WIDTH, 24):
            pen.box(x, row, x + 22, row + 11, supporters, 1)
            pen.box(x + 4, row + 4, x + 18, row + 6, WHITE)
    teams = [pick(rng, [WHITE, YELLOW]), pick(rng, [(32, 36, 48), (20, 140, 110)])]
    box = (34, 66, 142, bottom - 4)
    return play(rng, times, pen.picture(), teams, box, ball(4, WHITE, INK), 0.9)


def rink(rng, times) -> np.ndarray:
    """Ice hockey."""
    base = ground(rng, ICE)
    pen, x = Pen(WIDTH, HEIGHT, base), CENTRE[0] + rng.integers(-30, 31)
    for _ in range(26):
        a, b = rng.uniform(0, WIDTH), rng.uniform(22, HEIGHT)
        pen.ring(
            a, b, rng.uniform(10, 30), (210, 222, 234), 0.7, start=rng.uniform(0, 300), end=330
        )
    for shift, colour, width in (
        (0, (214, 54, 60), 3),
        (-62, (44, 88, 200), 4),
        (62, (44, 88, 200), 4),
    ):
        pen.line([(x + shift, 17), (x + shift * 1.15, HEIGHT)], colour, width)
    pen.ring(x, 74, 24, (44, 88, 200), 1.8, ry=19)
    pen.disc(x, 74, 2.4, (44, 88, 200))
    stand(pen, rng)
    pen.box(0, 17, WIDTH, 19, YELLOW)
    teams = [pick(rng, [(206, 40, 48), (240, 120, 30)]), pick(rng, [(24, 62, 140), (24, 110, 80)])]
    puck = Pen(8, 6)
    puck.disc(4, 3, 3, INK, ry=2)
    more = {"legs": (60, 60, 74), "hair": (20, 20, 26), "stick": (120, 84, 50)}
    box = (16, 50, 160, 126)
    return play(rng, times, pen.picture(), teams, box, Sprite(puck.image), 0.95, 7, **more)


def court(rng, times) -> np.ndarray:
    """Basketball."""
    base = ground(rng, COURTS)
    pen, side = Pen(WIDTH, HEIGHT, base), int(rng.choice([-1, 1]))
    for y in range(17, HEIGHT, 6):
        for x in range(int(rng.integers(-40, 0)), WIDTH, 40):
            pen.box(x, y, x + 39.6, y + 5.7, tint(rng, base, 14))
    line, key = WHITE, tint(rng, (176, 76, 52))
    x, far = CENTRE[0] + side * rng.integers(30, 44), side * 90
    pen.polygon([(x, 52), (x + far, 52), (x + far, 100), (x, 100)], key)
    pen.line([(x + far, 52), (x, 52), (x, 100), (x + far, 100)], line, 1.6)
    pen.ring(x, 76, 17, line, 1.6, ry=24)
    pen.ring(x + side * 60, 76, 92, line, 1.6, ry=46)
    stand(pen, rng)
    teams = [pick(rng, [WHITE, YELLOW]), pick(rng, [(90, 40, 140), (24, 62, 140), INK])]
    return play(
        rng, times, pen.picture(), teams, (16, 50, 160, 126), ball(4.5, (236, 112, 36), INK)
    )


def pitch(rng, times) -> np.ndarray:
    """Football."""
    base = ground(rng, PITCHES)
    pen, x, start = (
        Pen(WIDTH, HEIGHT, base),
        CENTRE[0] + rng.integers(-40, 41),
        int(rng.integers(44)),
    )
    for k, left in enumerate(range(-66 + start, WIDTH + 30, 22)):
        stripe = dark(base, 0.9) if k % 2 else base
        pen.polygon([(left, 17), (left + 22, 17), (left + 16, HEIGHT), (left - 6, HEIGHT)], stripe)
    pen.line([(x, 17), (x, HEIGHT)], WHITE, 1.6)
    pen.ring(x, 76, 32, WHITE, 1.6, ry=24)
    pen.disc(x, 76, 1.8, WHITE)
    stand(pen, rng)
    teams = [pick(rng, [RED, WHITE]), pick(rng, [BLUE, YELLOW])]
    return play(rng, times, pen.picture(), teams, (12, 48, 164, 128), ball(4, WHITE, INK), 0.9, 7)
