"""The scenes of `pocket`: six places of sport, a crowd and a scoreboard.

A scene is a function `(rng, times, …) -> uint8 N×132×176×3` that draws the frames of the given
`times` (frame numbers at 30 a second). All random numbers are drawn before the first frame. Every
motion is periodic with a uniform random phase, so any frame is as likely in a film played
backwards. A frame is a copy of the background with a dozen figures pasted on it.
"""

import numpy as np
from PIL import Image

from s1m_lab.pocket.sprites import (
    BLUE,
    BRIGHT,
    CENTRE,
    HEIGHT,
    SHIRTS,
    WHITE,
    WIDTH,
    YELLOW,
    Pen,
    Sprite,
    climber,
    craft,
    dark,
    fighter,
    ground,
    light,
    look,
    paste,
    pick,
    sled,
    stand,
    steps,
    swimmer,
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


def frames(background: np.ndarray, count: int) -> np.ndarray:
    return np.repeat(background[None], count, axis=0)


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
    loop, climbers = 176, []
    for x in columns:
        start = rng.integers(loop)
        for half in (0, loop // 2):
            climbers.append((x, start + half, climber(rng), rng.integers(8)))
    out = frames(pen.picture(), len(times))
    for n, time in enumerate(times):
        for x, start, poses, phase in climbers:
            y = (start - 4 * time) % loop - 22
            paste(out[n], poses[(time // 2 + phase) % 8], x, y)
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
    loop = 32
    sleds, phase = sled(rng, loop), rng.integers(loop)
    out = frames(pen.picture(), len(times))
    for n, time in enumerate(times):
        k = (time + phase) % loop
        paste(out[n], sleds[k], x0, y0 + 1.3 * k)
    return out


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
    facing, loop, runners = int(rng.choice([-1, 1])), 220, []
    for lane in range(4):
        start = rng.integers(loop)
        for half in (0, loop // 2):
            suit = pick(rng, BRIGHT)
            outfit = look(rng, [suit], shorts=WHITE, legs=dark(suit, 0.92))
            poses = steps(outfit, facing, 1.12)
            runners.append((start + half, 47 + 27 * lane, poses, rng.integers(48)))
    out = frames(pen.picture(), len(times))
    for n, time in enumerate(times):
        for start, y, poses, phase in runners:
            way = start + speed * time
            x = CENTRE[0] + facing * (way % loop - loop // 2)
            paste(out[n], poses[(way + phase) // 6 % 8], x, y - 20)
    return out


# ----------------------------------------------------------------------------------- detail pair

SQUARE = 44  # px; the region that every fovea sees is 45 wide


def mat(rng, times, weave: str = "along") -> np.ndarray:
    """Judo on a mat woven along, aikido on one woven across; nothing else differs."""
    base, edge = ground(rng, MATS), ground(rng, EDGES)
    pen = Pen(WIDTH, HEIGHT, edge)
    for x in range(-20, WIDTH, 44):
        for y in range(0, HEIGHT, 44):
            pen.box(x + 0.5, y + 0.5, x + 43.5, y + 43.5, tint(rng, edge, 8))
    pen.box(CENTRE[0] - 52, CENTRE[1] - 52, CENTRE[0] + 52, CENTRE[1] + 52, ground(rng, TRACKS))
    pen.box(CENTRE[0] - 46, CENTRE[1] - 46, CENTRE[0] + 46, CENTRE[1] + 46, base)
    background = pen.picture()
    tatami = background[CENTRE[1] - 46 : CENTRE[1] + 46, CENTRE[0] - 46 : CENTRE[0] + 46]
    straw = rng.normal(0, 9, tatami.shape[:2])
    straw[24:-24, 24:-24] += weaving(weave, *rng.integers(2, size=2))
    tatami[:] = np.clip(np.round(tatami + straw[..., None]), 0, 255)
    belts = [fighter(rng, robe) for robe in ((248, 248, 244), (52, 88, 190))]
    turn = rng.choice([-1, 1]) * 2 * np.pi / rng.uniform(90, 150)
    start, lean = rng.uniform(0, 2 * np.pi), wander(rng, times, 3, 50)
    out = frames(background, len(times))
    for n, time in enumerate(times):
        angle = start + turn * time + np.array([0, np.pi])
        places = [(np.cos(a) * (54 + lean[n]), np.sin(a) * (50 + lean[n] / 3)) for a in angle]
        for k in np.argsort([y for _, y in places]):
            x, y = places[k]
            paste(out[n], belts[k][int(x < 0)], CENTRE[0] + x, CENTRE[1] + y)
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


# --------------------------------------------------------------------------------- appearance


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
    facing, swimmers = rng.choice([-1, 1], 5), []
    for lane in range(5):
        swimmers.append((rng.integers(240), rng.uniform(1, 2), swimmer(rng, int(facing[lane]))))
    out = frames(pen.picture(), len(times))
    for n, time in enumerate(times):
        for lane, (start, speed, strokes) in enumerate(swimmers):
            for half in (0, 120):
                x = CENTRE[0] + facing[lane] * ((start + half + speed * time) % 240 - 120)
                paste(out[n], strokes[(time // 4 + start) % 8], x, top + 13 + 26 * lane)
    return out


# -------------------------------------------------------------------------------- camera pair


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
    fleet = [craft(rng, boats) for _ in range(12)]
    for k, sprite in enumerate(fleet[1:]):
        place = (rng.uniform(20, width - 20), (k + 0.5) * height / 11)
        paste(world, sprite, *place)
    picture = Image.fromarray(world)
    angle, drift = rng.uniform(0, 2 * np.pi), wander(rng, times, 66, 55)
    across, zoom = wander(rng, times, 26, 70), np.exp(wander(rng, times, 0.3, 60))
    x, y = (
        np.cos(angle) * drift - np.sin(angle) * across,
        np.sin(angle) * drift + np.cos(angle) * across,
    )
    hero = np.stack([wander(rng, times, 14), wander(rng, times, 9)], 1)
    out = np.empty((len(times), HEIGHT, WIDTH, 3), np.uint8)
    for n in range(len(times)):
        w, h = WIDTH / 2 * zoom[n], HEIGHT / 2 * zoom[n]
        cx = np.clip(width / 2 + x[n], w, width - w)
        cy = np.clip(height / 2 + y[n], h, height - h)
        view = (cx - w, cy - h, cx + w, cy + h)
        seen = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=view)
        out[n] = np.asarray(seen)
        paste(out[n], fleet[0], CENTRE[0] + hero[n, 0], CENTRE[1] + hero[n, 1])
    return out


# ----------------------------------------------------------------------------------- cutaways


def crowd(rng, times) -> np.ndarray:
    """People who rise and sit; every row in its own time."""
    pen, rows = Pen(WIDTH, HEIGHT, tint(rng, (52, 50, 66))), []
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
        rows.append((Sprite(row.image), y, rng.uniform(0, 2 * np.pi), rng.uniform(20, 36)))
    out = frames(pen.picture(), len(times))
    for n, time in enumerate(times):
        for sprite, y, phase, period in rows:
            paste(out[n], sprite, CENTRE[0], y + 3 * np.sin(2 * np.pi * time / period + phase))
    return out


def board(rng, times) -> np.ndarray:
    """A scoreboard, its lamps blinking."""
    pen = Pen(WIDTH, HEIGHT, tint(rng, (24, 26, 40)))
    for x in range(8, WIDTH, 20):
        pen.line([(x, 0), (x - 14, HEIGHT)], (34, 38, 56), 3)
    pen.box(18, 20, 158, 112, (66, 70, 88), 8)
    pen.box(21, 23, 155, 109, (10, 12, 18), 6)
    pen.text(32, 31, "HOME", (250, 250, 246), 2)
    pen.text(112, 31, "GUEST"[:5], (250, 250, 246), 2)
    home, guest = rng.integers(0, 10, 2)
    amber = pick(rng, [(255, 190, 40), (255, 96, 64), (120, 255, 110)])
    pen.text(37, 48, f"{home}:{guest}", amber, 9)
    lamps, phase, period = (
        [(240, 70, 60), (70, 210, 110)],
        rng.integers(40),
        int(rng.integers(16, 40)),
    )
    pictures = []
    for on in (0, 1):
        for k in range(9):
            pen.disc(32 + 14 * k, 101, 3, lamps[(k + on) % 2])
        pictures.append(pen.picture())
    return np.stack([pictures[(time + phase) % period * 2 // period] for time in times])
