"""The scenes of `pocket`: ten places of sport, a crowd and a scoreboard, and their figures.

A scene is a function `(rng, times, …) -> uint8 N×132×176×3` that draws the frames of the given
`times` (frame numbers at 30 a second). Its background and its figures are drawn once, and the
figures pasted on a copy of the background for each frame. Every motion is periodic with a uniform
random phase, so any frame is as likely in a film played backwards.
"""

import numpy as np
from PIL import Image

from s1m_lab.pocket.sprites import (
    BLUE,
    BRIGHT,
    CENTRE,
    GREEN,
    HAIRS,
    HEIGHT,
    INK,
    RED,
    SHIRTS,
    SKINS,
    STEPS,
    WHITE,
    WIDTH,
    YELLOW,
    Colour,
    Pen,
    Sprite,
    animate,
    climber,
    dark,
    ground,
    light,
    look,
    nearing,
    paste,
    pick,
    runner,
    tint,
)

# What such places are painted with, or made of: a class must not be known by one colour
WALLS = [(46, 46, 64), (70, 48, 40), (38, 62, 46), (62, 40, 62), (34, 56, 74), (72, 64, 40)]
RUNS = [(46, 72, 134), (72, 62, 130), (40, 96, 104), (104, 68, 112), (70, 88, 78), (118, 76, 66)]
TRACKS = [(126, 42, 38), (42, 70, 134), (48, 98, 62), (106, 66, 116), (66, 68, 76), (130, 86, 36)]
MATS = [(148, 144, 116), (156, 126, 108), (116, 138, 152), (124, 148, 120), (146, 124, 142)]
EDGES = [(96, 112, 74), (70, 90, 132), (132, 82, 68), (96, 78, 114), (64, 110, 112)]
POOLS = [(52, 168, 214), (36, 130, 176), (64, 192, 186), (44, 104, 168), (96, 176, 150)]
SEAS = [(16, 92, 108), (24, 66, 122), (40, 98, 78), (62, 82, 98), (14, 60, 84), (76, 88, 62)]
FLOORS = [(104, 84, 158), (72, 116, 142), (156, 112, 80), (92, 132, 96), (122, 120, 130)]
ICE = [(226, 236, 244), (238, 226, 234), (210, 232, 224), (240, 236, 218), (200, 216, 238)]
COURTS = [(216, 160, 98), (172, 116, 76), (134, 150, 172), (196, 184, 152), (106, 142, 122)]
PITCHES = [(74, 148, 62), (112, 152, 58), (52, 116, 78), (146, 132, 72), (150, 98, 66)]


def frames(pen: Pen, times) -> np.ndarray:
    """The background once for each of `times`."""
    return np.repeat(pen.picture()[None], len(times), axis=0)


def wander(rng, times, reach: float, slow: float = 90) -> np.ndarray:
    """A path that never ends and never repeats within a video: N offsets of about ±reach pixels."""
    a, b = rng.uniform(0.6, 1.0, 2), rng.uniform(0, 2 * np.pi, 2)
    periods = slow * rng.uniform([0.8, 0.4], [1.3, 0.6])
    waves = np.sin(2 * np.pi * np.asarray(times)[:, None] / periods + b)
    return reach * (waves * a * [0.75, 0.25]).sum(1)


# ---------------------------------------------------------------------------------- motion pairs


def wall(rng, times) -> np.ndarray:
    """Rope climbing; backwards, abseiling. Four pixels a frame, 44 frames round."""
    base = ground(rng, WALLS)
    pen = Pen(WIDTH, HEIGHT, base)
    for x in range(-10, WIDTH, 44):
        for y in range(-6, HEIGHT, 33):
            pen.box(x + 0.5, y + 0.5, x + 43.5, y + 32.5, tint(rng, base, 8))
    for _ in range(70):
        x, y, r = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(1.2, 2.8)
        hold = dark(pick(rng, SHIRTS[:3] + SHIRTS[5:]), 0.5)
        pen.disc(x + 0.6, y + 0.9, r, dark(base, 0.6))
        pen.disc(x, y, r, hold, ry=r * rng.uniform(0.6, 1))
    columns = np.array([32, 64, 96, 128, 160]) + rng.integers(-16, 1) + rng.integers(-4, 5, 5)
    for x in columns:
        pen.line([(x, 0), (x, HEIGHT)], light(base), 1)
    out, loop = frames(pen, times), 176
    for x in columns:
        start = rng.integers(loop)
        for half in (0, loop // 2):
            poses, phase = climber(rng), rng.integers(8)
            animate(out, poses, times // 2 + phase, x, (start + half - 4 * times) % loop - 22)
    return out


def chute(rng, times) -> np.ndarray:
    """Bobsleigh, coming at us; backwards, luge. Radius 4 to 48 in 32 frames, then the next sled."""
    ice = ground(rng, RUNS)
    pen = Pen(WIDTH, HEIGHT, dark(ice, 0.4))
    x0, y0 = CENTRE[0] + rng.integers(-6, 7), 50 + rng.integers(-4, 5)
    for _ in range(40):
        pen.disc(rng.uniform(0, WIDTH), rng.uniform(0, y0), rng.uniform(0.3, 0.8), (190, 200, 240))
    ridge = [(x, y0 - rng.uniform(2, 16)) for x in range(-10, WIDTH + 20, 14)]
    pen.polygon([(-10, HEIGHT), *ridge, (WIDTH + 10, HEIGHT)], dark(ice, 0.6))
    pen.polygon([(-60, HEIGHT), (x0 - 4, y0), (x0 + 4, y0), (WIDTH + 60, HEIGHT)], ice)
    pen.polygon([(-6, HEIGHT), (x0 - 2, y0), (x0 + 2, y0), (WIDTH + 6, HEIGHT)], dark(ice))
    for k in range(1, 8):  # joints of the ice, closer towards the horizon
        y, half = y0 + 82 * (k / 7) ** 2, 96 * (k / 7) ** 2
        pen.line([(x0 - half, y), (x0 + half, y)], light(ice, 0.12), 0.4 + k / 6)
    for side in (-1, 1):
        for k in range(1, 6):
            x, y = x0 + side * 142 * (k / 6) ** 2, y0 + 60 * (k / 6) ** 2
            pen.line([(x, y), (x, y - 2 - 16 * (k / 6) ** 2)], light(ice, 0.5), 0.5 + k / 5)
            pen.disc(x, y - 2 - 16 * (k / 6) ** 2, 0.8 + k / 4, (255, 240, 190))
    out, sleds = frames(pen, times), sled(rng)
    k = (times + rng.integers(STEPS)) % STEPS
    animate(out, sleds, k, x0, y0 + 1.3 * k)
    return out


def sled(rng) -> list[Sprite]:
    """A sled from the front, from 4 to 48 pixels of radius."""
    colour, stripe = pick(rng, BRIGHT), pick(rng, [RED, BLUE, GREEN])
    pen = Pen(96, 96)
    for side in (-1, 1):
        pen.line([(48 + side * 30, 84), (48 + side * 36, 94)], (210, 214, 226), 4)
    pen.disc(48, 20, 15, pick(rng, [RED, BLUE, GREEN]))
    pen.disc(48, 52, 42, dark(colour, 0.85), ry=41)
    pen.disc(48, 50, 41, colour, ry=39)
    pen.disc(48, 32, 14, pick(rng, [RED, BLUE, GREEN]), ry=13)
    pen.box(38, 29, 58, 37, INK, 4)
    pen.box(41, 31, 50, 33, (150, 200, 240), 1)
    pen.box(45, 52, 51, 89, stripe, 3)
    pen.disc(28, 62, 6, WHITE)
    pen.disc(68, 62, 6, WHITE)
    return nearing(pen.image, 8 * 96 / 84, 96 * 96 / 84)


def track(rng, times, speed: int = 1) -> np.ndarray:
    """Race walking at one pixel a frame, sprinting at seven; the same step for the same ground."""
    base = ground(rng, TRACKS)
    pen = Pen(WIDTH, HEIGHT, base)
    for lane in range(5):
        y = 24 + 27 * lane
        pen.box(0, y - 1, WIDTH, y + 0.4, (244, 226, 214))
        pen.text(8 + 12 * (lane % 2), y + 8, str(lane + 1), light(base, 0.25), 2)
    for x in rng.uniform(0, WIDTH, 3):
        pen.line([(x, 24), (x - 20, HEIGHT)], tint(rng, dark(base, 0.95), 6), 5)
    stand(pen, rng, 20)
    out, facing, loop = frames(pen, times), int(rng.choice([-1, 1])), 220
    for lane in range(4):
        start = rng.integers(loop)
        for half in (0, loop // 2):
            suit = pick(rng, BRIGHT)
            outfit = look(rng, [suit], shorts=WHITE, legs=dark(suit, 0.92))
            way, phase = start + half + speed * times, rng.integers(48)
            x = CENTRE[0] + facing * (way % loop - loop // 2)
            animate(out, runner(outfit, facing, 1.12), (way + phase) // 6, x, 27 + 27 * lane)
    return out


# ----------------------------------------------------------------------------------- detail pair

SQUARE = 44  # px; the region that every fovea sees is 45 wide


def mat(rng, times, weave: str = "along") -> np.ndarray:
    """Judo on a mat woven along, aikido on one woven across; nothing else differs."""
    base, edge = ground(rng, MATS), ground(rng, EDGES)
    pen, (x, y) = Pen(WIDTH, HEIGHT, edge), CENTRE
    for left in range(-20, WIDTH, 44):
        for top in range(0, HEIGHT, 44):
            pen.box(left + 0.5, top + 0.5, left + 43.5, top + 43.5, tint(rng, edge, 8))
    pen.box(x - 52, y - 52, x + 52, y + 52, ground(rng, TRACKS))
    pen.box(x - 46, y - 46, x + 46, y + 46, base)
    out = frames(pen, times)
    straw = rng.normal(0, 9, (92, 92))
    straw[24:-24, 24:-24] += weaving(weave, *rng.integers(2, size=2))
    tatami = np.clip(np.round(base + straw[..., None]), 0, 255)
    out[:, y - 46 : y + 46, x - 46 : x + 46] = tatami
    belts = [fighter(rng, robe) for robe in ((248, 248, 244), (52, 88, 190))]
    turn = rng.choice([-1, 1]) * 2 * np.pi / rng.uniform(90, 150)
    start, lean = rng.uniform(0, 2 * np.pi), wander(rng, times, 3, 50)
    for n, time in enumerate(times):
        angle = start + turn * time + np.array([0, np.pi])
        places = [(np.cos(a) * (54 + lean[n]), np.sin(a) * (50 + lean[n] / 3)) for a in angle]
        for k in np.argsort([down for _, down in places]):
            across, down = places[k]
            paste(out[n], belts[k][int(across < 0)], x + across, y + down)
    return out


def weaving(weave: str, phase: int, fold: int) -> np.ndarray:
    """Stripes of one pixel, ±45 grey levels, SQUARE×SQUARE; a 2×2 mean cannot tell which way.

    Within the square any 2×2 mean of stripes is nothing. At its edge a mean holds a stripe without
    a second one to cancel it, so the stripes fade out; that leaves two faint bumps, of either sign
    by `phase` and the crop, on the two sides where the stripes begin and end. The other two sides
    get the same bumps by hand, of either sign by `fold`, and the straw hides what rounding leaves.
    """
    place = np.arange(SQUARE)
    fade = np.sin(np.pi / 2 * np.minimum(1, (np.minimum(place, place[::-1]) + 0.5) / 13)) ** 2
    stripes = 1 - 2 * ((place + phase) % 2)
    bumps = (1 - 2 * fold) * np.gradient(fade)[:, None] / 2
    wave = 45 * (fade[:, None] * stripes + bumps) * fade
    return wave if weave == "along" else wave.T


def fighter(rng, robe: Colour) -> list[Sprite]:
    """From the side, facing right and left."""
    outfit, belt = look(rng, [robe]), pick(rng, [INK, (120, 60, 30), YELLOW, (20, 130, 80)])
    sprites = []
    for f in (1, -1):
        pen = Pen(30, 36)
        pen.disc(15, 32.5, 10, (0, 0, 0, 70), ry=2.5)
        for side in (-1, 1):
            pen.line([(15 + side * 2, 21), (15 + side * 6, 31)], dark(robe, 0.9), 5)
            pen.disc(15 + side * 6.5, 32, 2.2, outfit["skin"], ry=1.5)
        pen.box(8.5, 9, 21.5, 23.5, robe, 4)
        pen.line([(15 + f * 3, 9), (14, 19)], dark(robe, 0.7), 1)
        pen.box(8.5, 18, 21.5, 20.6, belt)
        pen.line([(15, 20), (15 - f * 2, 25)], belt, 1.6)
        pen.line([(15 - f * 4, 12), (15 - f * 9, 16), (15 - f * 12, 13)], dark(robe, 0.9), 4)
        pen.disc(15 - f * 12.5, 12.5, 1.8, outfit["skin"])
        pen.disc(15 - f, 6, 4.6, outfit["skin"])
        pen.disc(15, 4.2, 4.4, outfit["hair"], ry=3)
        sprites.append(Sprite(pen.image))
    return sprites


# ------------------------------------------------------------------------------------ ball games

FOVEA = (27, 105)  # rows between these may be seen by a fovea (29 to 103 in truth)


def play(rng, times, pen, teams, box, ball, size=1.0, count=6, **more) -> np.ndarray:
    """Two teams of `count` players and a ball inside `box` (x0, y0, x1, y1: where the feet go)."""
    out, players, (x0, y0, x1, y1) = frames(pen, times), [], box
    for k in range(count):
        spot = x0 + (k + 0.5) * (x1 - x0) / count, rng.uniform(y0, y1)
        x = np.clip(spot[0] + wander(rng, times, 26), x0, x1)
        y = np.clip(spot[1] + wander(rng, times, 18), y0, y1)
        outfit, facing = look(rng, [teams[k % 2]], **more), int(rng.choice([-1, 1]))
        players.append((x, y, runner(outfit, facing, size), rng.uniform(0, 8)))
    middle = (x0 + x1) / 2, (y0 + y1) / 2
    bx = np.clip(middle[0] + wander(rng, times, (x1 - x0) * 0.45, 60), x0, x1)
    by = np.clip(middle[1] + wander(rng, times, (y1 - y0) * 0.5, 60), y0, y1)
    hop = 9 * np.abs(np.sin(times * np.pi / 18 + rng.uniform(0, np.pi)))
    for n, time in enumerate(times):
        for k in np.argsort([y[n] for _, y, _, _ in players]):
            x, y, poses, phase = players[k]
            paste(out[n], poses[int(time / 3 + phase) % 8], x[n], y[n] - 16 * size)
    animate(out, [ball], 0, bx, by - hop)
    return out


def ball(radius: float, colour: Colour) -> Sprite:
    side = 2 * radius + 6
    pen, c = Pen(side, side), side / 2
    pen.disc(c + 1, c + radius, radius, (0, 0, 0, 80), ry=radius * 0.45)
    pen.disc(c, c, radius, dark(colour))
    pen.disc(c - 0.3, c - 0.3, radius * 0.9, colour)
    pen.ring(c, c, radius * 0.55, INK, 0.8)
    pen.disc(c - radius * 0.35, c - radius * 0.4, radius * 0.3, WHITE)
    return Sprite(pen.image)


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
    seats = [supporters, supporters, dark(supporters, 0.85), WHITE]
    for y0, y1, rows, boards in ((0, top, (-2, 9), 15), (bottom, HEIGHT, (121, HEIGHT), 106)):
        pen.box(0, y0, WIDTH, y1, (40, 40, 62))
        fans(pen, rng, *rows, seats)
        for x in range(int(rng.integers(-24, 0)), WIDTH, 24):
            pen.box(x, boards, x + 22, boards + 11, supporters, 1)
            pen.box(x + 4, boards + 4, x + 18, boards + 6, WHITE)
    teams = [pick(rng, [WHITE, YELLOW]), pick(rng, [(32, 36, 48), (20, 140, 110)])]
    return play(rng, times, pen, teams, (34, 66, 142, bottom - 4), ball(4, WHITE), 0.9)


def rink(rng, times) -> np.ndarray:
    """Ice hockey."""
    pen, x = Pen(WIDTH, HEIGHT, ground(rng, ICE)), CENTRE[0] + rng.integers(-30, 31)
    for _ in range(26):
        a, b = rng.uniform(0, WIDTH), rng.uniform(22, HEIGHT)
        radius, start = rng.uniform(10, 30), rng.uniform(0, 300)
        pen.ring(a, b, radius, (210, 222, 234), 0.7, start=start, end=330)
    blue = (44, 88, 200)
    for shift, colour, width in ((0, (214, 54, 60), 3), (-62, blue, 4), (62, blue, 4)):
        pen.line([(x + shift, 17), (x + shift * 1.15, HEIGHT)], colour, width)
    pen.ring(x, 74, 24, blue, 1.8, ry=19)
    pen.disc(x, 74, 2.4, blue)
    stand(pen, rng)
    pen.box(0, 17, WIDTH, 19, YELLOW)
    teams = [pick(rng, [(206, 40, 48), (240, 120, 30)]), pick(rng, [(24, 62, 140), (24, 110, 80)])]
    puck = Pen(8, 6)
    puck.disc(4, 3, 3, INK, ry=2)
    more = {"legs": (60, 60, 74), "hair": (20, 20, 26), "stick": (120, 84, 50)}
    box = (16, 50, 160, 126)
    return play(rng, times, pen, teams, box, Sprite(puck.image), 0.95, 7, **more)


def court(rng, times) -> np.ndarray:
    """Basketball."""
    base = ground(rng, COURTS)
    pen, side = Pen(WIDTH, HEIGHT, base), int(rng.choice([-1, 1]))
    for y in range(17, HEIGHT, 6):
        for x in range(int(rng.integers(-40, 0)), WIDTH, 40):
            pen.box(x, y, x + 39.6, y + 5.7, tint(rng, base, 14))
    key = tint(rng, (176, 76, 52))
    x, far = CENTRE[0] + side * rng.integers(30, 44), side * 90
    pen.polygon([(x, 52), (x + far, 52), (x + far, 100), (x, 100)], key)
    pen.line([(x + far, 52), (x, 52), (x, 100), (x + far, 100)], WHITE, 1.6)
    pen.ring(x, 76, 17, WHITE, 1.6, ry=24)
    pen.ring(x + side * 60, 76, 92, WHITE, 1.6, ry=46)
    stand(pen, rng)
    teams = [pick(rng, [WHITE, YELLOW]), pick(rng, [(90, 40, 140), (24, 62, 140), INK])]
    return play(rng, times, pen, teams, (16, 50, 160, 126), ball(4.5, (236, 112, 36)))


def pitch(rng, times) -> np.ndarray:
    """Football."""
    base = ground(rng, PITCHES)
    pen, x = Pen(WIDTH, HEIGHT, base), CENTRE[0] + rng.integers(-40, 41)
    for k, left in enumerate(range(-66 + int(rng.integers(44)), WIDTH + 30, 22)):
        stripe = dark(base, 0.9) if k % 2 else base
        pen.polygon([(left, 17), (left + 22, 17), (left + 16, HEIGHT), (left - 6, HEIGHT)], stripe)
    pen.line([(x, 17), (x, HEIGHT)], WHITE, 1.6)
    pen.ring(x, 76, 32, WHITE, 1.6, ry=24)
    pen.disc(x, 76, 1.8, WHITE)
    stand(pen, rng)
    teams = [pick(rng, [RED, WHITE]), pick(rng, [BLUE, YELLOW])]
    return play(rng, times, pen, teams, (12, 48, 164, 128), ball(4, WHITE), 0.9, 7)


# ------------------------------------------------------------------------------ swimming and boats


def pool(rng, times) -> np.ndarray:
    """Swimming: five lanes seen from above."""
    water, top = ground(rng, POOLS), int(rng.integers(6, 14))
    pen = Pen(WIDTH, HEIGHT, water)
    for _ in range(60):
        x, y, r = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(4, 9)
        pen.ring(x, y, r, tint(rng, light(water)), 0.8, ry=r * 0.4, start=200, end=340)
    for lane in range(5):
        y = top + 13 + 26 * lane
        pen.box(0, y - 1.5, WIDTH, y + 1.5, dark(water, 0.82))
    for lane in range(6):
        for k, x in enumerate(range(-4, WIDTH, 8)):
            colour = [(236, 64, 56), WHITE][k % 2] if lane % 2 else [YELLOW, BLUE][k % 2]
            pen.disc(x + 4, top + 26 * lane, 3.6, colour, ry=2)
    out = frames(pen, times)
    for lane, facing in enumerate(rng.choice([-1, 1], 5).tolist()):
        start, speed, strokes = rng.integers(240), rng.uniform(1, 2), swimmer(rng, facing)
        for half in (0, 120):
            x = CENTRE[0] + facing * ((start + half + speed * times) % 240 - 120)
            animate(out, strokes, times // 4 + start, x, top + 13 + 26 * lane)
    return out


def swimmer(rng, f: int) -> list[Sprite]:
    """From above, towards the right (`f` 1) or the left (-1): eight poses of a stroke."""
    skin, cap, strokes = pick(rng, SKINS), pick(rng, BRIGHT + SHIRTS[:3]), []
    suit, foam = pick(rng, SHIRTS[:2] + SHIRTS[4:]), (240, 252, 255)
    for k in range(8):
        pen, a = Pen(52, 26), 2 * np.pi * k / 8
        for j in range(5):  # the wake
            pen.disc(26 - f * (15 + 2 * j), 13 + 3 * np.sin(a + 2.4 * j), 2.6 - j * 0.3, foam)
        pen.disc(26 - f * 4, 13, 12, skin, ry=4.4)
        pen.disc(26 - f * 9, 13, 6, suit, ry=3.9)
        for side in (-1, 1):
            reach = np.cos(a + (side > 0) * np.pi)
            hand = (26 + f * (4 + 12 * reach), 13 + side * (4 + 5 * abs(np.sin(a))))
            pen.line([(26 + f * 3, 13 + side * 3), hand], skin, 3)
            if reach > 0.6:
                pen.disc(*hand, 3, foam)
        pen.disc(26 + f * 10, 13, 5, dark(cap))
        pen.disc(26 + f * 10, 12.6, 4.4, cap)
        strokes.append(Sprite(pen.image))
    return strokes


def sea(rng, times, boats: bool = True) -> np.ndarray:
    """Sailing (or surfing) before a camera that swings and zooms any way it likes."""
    width, height = 2 * WIDTH, 2 * HEIGHT
    base = ground(rng, SEAS)
    pen = Pen(width, height, base)
    for _ in range(320):
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, 14)
        crest = pick(rng, [dark(base, 0.8), light(base, 0.2), light(base, 0.6)])
        pen.ring(x, y, r, crest, rng.uniform(0.8, 1.8), ry=r * 0.35, start=195, end=345)
    world = pen.picture()
    hero, *fleet = [craft(rng, boats) for _ in range(12)]
    for k, other in enumerate(fleet):
        paste(world, other, rng.uniform(20, width - 20), (k + 0.5) * height / 11)
    picture = Image.fromarray(world)
    angle, drift = rng.uniform(0, 2 * np.pi), wander(rng, times, 66, 55)
    across, zoom = wander(rng, times, 26, 70), np.exp(wander(rng, times, 0.3, 60))
    w, h = WIDTH / 2 * zoom, HEIGHT / 2 * zoom
    x = np.clip(width / 2 + (np.cos(angle) * drift - np.sin(angle) * across), w, width - w)
    y = np.clip(height / 2 + (np.sin(angle) * drift + np.cos(angle) * across), h, height - h)
    out = np.empty((len(times), HEIGHT, WIDTH, 3), np.uint8)
    for n, view in enumerate(zip(x - w, y - h, x + w, y + h, strict=True)):
        seen = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=view)
        out[n] = np.asarray(seen)
    animate(out, [hero], 0, CENTRE[0] + wander(rng, times, 14), CENTRE[1] + wander(rng, times, 9))
    return out


def craft(rng, boat: bool) -> Sprite:
    """A sailing boat, or a surfer."""
    pen, colour, f = Pen(44, 48), pick(rng, BRIGHT), int(rng.choice([-1, 1]))
    pen.disc(22, 41, 19, (206, 236, 236), ry=4)
    if boat:
        pen.polygon([(22 - f, 3), (22 - f, 33), (22 + f * 18, 33)], colour)
        pen.polygon([(22 - f * 4, 9), (22 - f * 4, 33), (22 - f * 15, 33)], WHITE)
        pen.line([(22 - f * 2.5, 2), (22 - f * 2.5, 36)], INK, 1.2)
        pen.polygon([(4, 35), (40, 35), (34, 42), (10, 42)], pick(rng, SHIRTS))
        return Sprite(pen.image)
    rider = look(rng, SHIRTS)
    pen.disc(22, 39, 20, dark(colour, 0.8), ry=3.4)
    pen.disc(22, 38.4, 19, colour, ry=2.8)
    for side in (-1, 1):
        pen.line([(22, 25), (22 + side * 6, 31), (22 + side * 5, 38)], rider["skin"], 3.2)
        pen.line([(22, 16), (22 + side * 8, 18), (22 + side * 13, 13)], rider["skin"], 2.8)
    pen.box(17, 13, 27, 28, rider["shirt"], 4)
    pen.disc(22 + f, 9, 4.8, rider["skin"])
    pen.disc(22, 7.4, 4.6, rider["hair"], ry=3.2)
    return Sprite(pen.image)


# ----------------------------------------------------------------------------------- the broadcast


def fans(pen: Pen, rng, top: float, bottom: float, shirts: list) -> None:
    """Rows of heads over shirts, the nearer rows in front."""
    for row, y in enumerate(np.arange(top + 3, bottom + 4.8, 6.4)):
        for x in np.arange(-(row % 2) * 4, WIDTH + 8, 8) + rng.uniform(-0.8, 0.8):
            pen.disc(x, y + 4.96, 4, pick(rng, shirts))
            pen.disc(x, y, 2.4, pick(rng, SKINS))
            pen.disc(x, y - 0.96, 2.16, pick(rng, HAIRS), ry=1.6)


def stand(pen: Pen, rng, height: float = 15) -> None:
    """The lower edge of the stand and a row of boards, as the broadcast camera sees them."""
    pen.box(0, 0, WIDTH, height, (58, 60, 74))
    fans(pen, rng, -3, height - 7, SHIRTS)
    pen.box(0, height - 4, WIDTH, height + 2, (28, 32, 48))
    for x in range(int(rng.integers(-30, 0)), WIDTH, 30):
        pen.box(x, height - 3.5, x + 28, height + 1.5, dark(pick(rng, SHIRTS), 0.9))
        pen.box(x + 6, height - 1.6, x + 22, height - 0.4, WHITE)


def crowd(rng, times) -> np.ndarray:
    """People who rise and sit; every row in its own time."""
    out = frames(Pen(WIDTH, HEIGHT, tint(rng, (52, 50, 66))), times)
    for y in range(4, HEIGHT + 24, 17):
        row = Pen(WIDTH + 24, 34)
        for x in np.arange(rng.uniform(0, 12), WIDTH + 24, 15):
            person, j = look(rng, SHIRTS), rng.uniform(-2, 2, 2)
            if rng.random() < 0.35:
                for side in (-1, 1):
                    row.line([(x + side * 5, 21), (x + side * 7, 5 + j[1])], person["skin"], 2.6)
            row.disc(x, 28 + j[1], 7.4, person["shirt"], ry=9)
            row.disc(x + j[0] / 2, 15 + j[1], 5.2, person["skin"])
            row.disc(x + j[0] / 2, 12.4 + j[1], 5, person["hair"], ry=3.4)
        phase, period = rng.uniform(0, 2 * np.pi), rng.uniform(20, 36)
        rise = 3 * np.sin(2 * np.pi * times / period + phase)
        animate(out, [Sprite(row.image)], 0, CENTRE[0], y + rise)
    return out


def board(rng, times) -> np.ndarray:
    """A scoreboard, its lamps blinking."""
    pen = Pen(WIDTH, HEIGHT, tint(rng, (24, 26, 40)))
    for x in range(8, WIDTH, 20):
        pen.line([(x, 0), (x - 14, HEIGHT)], (34, 38, 56), 3)
    pen.box(18, 20, 158, 112, (66, 70, 88), 8)
    pen.box(21, 23, 155, 109, (10, 12, 18), 6)
    pen.text(32, 31, "HOME", WHITE, 2)
    pen.text(112, 31, "GUEST", WHITE, 2)
    home, guest = rng.integers(0, 10, 2)
    amber = pick(rng, [(255, 190, 40), (255, 96, 64), (120, 255, 110)])
    pen.text(37, 48, f"{home}:{guest}", amber, 9)
    phase, period = rng.integers(40), rng.integers(16, 40)
    lamps, pictures = [(240, 70, 60), (70, 210, 110)], []
    for on in (0, 1):
        for k in range(9):
            pen.disc(32 + 14 * k, 101, 3, lamps[(k + on) % 2])
        pictures.append(pen.picture())
    return np.stack(pictures)[(times + phase) % period * 2 // period]


def caption(rng) -> Sprite:
    """The score in the corner of the picture."""
    pen, colours = Pen(46, 12), [SHIRTS[k] for k in rng.permutation(len(SHIRTS))[:2]]
    pen.box(0, 0, 46, 12, (18, 20, 30, 225), 3)
    pen.box(3, 3, 8, 9, colours[0], 1)
    pen.box(38, 3, 43, 9, colours[1], 1)
    home, guest = rng.integers(0, 10, 2)
    pen.text(14.5, 2.5, f"{home}:{guest}", WHITE, 1.5)
    return Sprite(pen.image)
