"""The places of `pocket101`: rooms and halls, parks and streets, a cliff and a river.

A place is a function `(rng, width) -> Pen` that draws everything behind the actors, `HEIGHT` pixels
high. Its ground is `GROUND` pixels below the top. Each group of clips has its own place and
colours.
"""

import numpy as np

from s1m_lab.pocket.sprites import WHITE, Pen, dark, ground, light, paint, pick, tint

HEIGHT = 152  # px; the frame, and 8 that the camera swings
GROUND = 128  # px; where feet stand
FLOOR = 106  # px; where a wall ends
WALLS = [(214, 200, 176), (176, 198, 206), (206, 180, 172), (186, 202, 174), (198, 190, 208),
         (150, 168, 184), (222, 212, 168), (168, 152, 144)]  # fmt: skip
STRIPES = [(70, 110, 160), (180, 80, 60), (90, 140, 90), (110, 100, 120)]
WOOD = [(172, 124, 82), (198, 156, 106), (132, 92, 66), (156, 142, 128), (110, 96, 92)]
BOARDS = [(150, 130, 104), (128, 134, 136), (166, 146, 120), (118, 108, 100)]
CURTAINS = [(132, 32, 44), (40, 50, 96), (54, 88, 70), (88, 48, 104), (60, 60, 70)]
LAMPS = [(255, 240, 190), (255, 150, 130), (150, 190, 255)]
BOTTLES = [(210, 80, 90), (80, 150, 170), (230, 200, 90), WHITE]
LEAVES = [(70, 120, 66), (96, 140, 60), (150, 130, 60)]
GRASS = [(96, 150, 70), (122, 160, 74), (74, 134, 78), (142, 150, 82)]
SKIES = [(166, 206, 234), (200, 218, 230), (238, 206, 176), (140, 186, 226), (214, 214, 220)]
ROCKS = [(116, 110, 106), (148, 110, 76), (128, 84, 66), (92, 100, 108), (108, 112, 84)]
RIVERS = [(58, 120, 150), (70, 136, 120), (96, 112, 96), (66, 100, 160), (120, 116, 96)]
TARMACS = [(100, 100, 106), (128, 122, 116), (150, 120, 92), (84, 88, 100)]
SANDS = [(226, 204, 158), (206, 180, 140), (188, 176, 160), (214, 190, 120), (160, 140, 120)]


def _graded(width, top, bottom, until=FLOOR) -> Pen:
    """A canvas whose colour changes from `top` to `bottom` down to the row `until`."""
    pen = Pen(width, HEIGHT, bottom)
    for y in range(0, until, 2):
        mixed = np.add(top, np.subtract(bottom, top) * (y / until))
        pen.box(0, y, width, y + 2, tuple(int(v) for v in mixed))
    return pen


def _boards(pen: Pen, rng, width, colours=WOOD) -> None:
    """A floor of boards that run away from us."""
    base, middle = paint(rng, colours, 16), width / 2 + rng.uniform(-20, 20)
    pen.box(0, FLOOR, width, HEIGHT, base)
    for k in range(-14, 15):
        left, near = middle + k * 16, middle + k * 30
        board = [(left, FLOOR), (left + 16, FLOOR), (middle + (k + 1) * 30, HEIGHT), (near, HEIGHT)]
        pen.polygon(board, tint(rng, base, 16))
        pen.line([(left, FLOOR), (near, HEIGHT)], dark(base, 0.88), 0.6)
    pen.box(0, FLOOR, width, FLOOR + 2, dark(base, 0.7))


def room(rng, width) -> Pen:
    """A room: a window or a picture, a plant or a shelf."""
    wall = paint(rng, WALLS, 20)
    pen = _graded(width, wall, dark(wall, 0.88))
    if rng.integers(2):
        for x in range(int(rng.integers(0, 16)), width, 16):
            pen.box(x, 0, x + 6, FLOOR, dark(wall, 0.93))
    _boards(pen, rng, width)
    pen.box(0, FLOOR - 6, width, FLOOR, dark(wall, 1.05 if max(wall) < 240 else 0.97))
    x = rng.uniform(0.05, 0.2) * width if rng.integers(2) else rng.uniform(0.62, 0.75) * width
    if rng.integers(2):
        pen.box(x - 2, 14, x + 48, 74, WHITE)
        pen.box(x + 1, 17, x + 45, 71, paint(rng, SKIES, 20))
        pen.disc(x + 32, 80, 18, (120, 160, 110), ry=22)
        pen.box(x - 2, 71, x + 48, FLOOR - 32, WHITE)
        pen.line([(x + 23, 17), (x + 23, 71)], WHITE, 2)
        pen.line([(x + 1, 42), (x + 45, 42)], WHITE, 2)
    else:
        pen.box(x, 22, x + 44, 54, dark(wall, 0.5))
        pen.box(x + 3, 25, x + 41, 51, paint(rng, WALLS, 30))
        pen.disc(x + rng.uniform(12, 30), 36, 7, paint(rng, SKIES[2:4], 30))
        hills = [(3, 51), (16, 36), (26, 46), (41, 40), (41, 51)]
        pen.polygon([(x + right, y) for right, y in hills], (90, 120, 100))
    x = width * (0.1 if x > width / 2 else 0.88) + rng.uniform(-6, 6)
    for k in range(7):
        pen.line([(x, 92), (x + (k - 3) * 6, 62 + abs(k - 3) * 4)], tint(rng, (70, 130, 80), 30), 4)
    pot = [(x - 9, 90), (x + 9, 90), (x + 6, 110), (x - 6, 110)]
    pen.polygon(pot, tint(rng, (190, 100, 70), 40))
    return pen


def gym(rng, width) -> Pen:
    """A sports hall: wall bars, a stripe, a wooden floor with lines."""
    wall = paint(rng, WALLS, 20)
    pen = _graded(width, wall, dark(wall, 0.9))
    pen.box(0, rng.integers(60, 74), width, 92, paint(rng, STRIPES, 30))
    for x in (rng.uniform(-6, 20), width - rng.uniform(30, 56)):
        wood = tint(rng, (190, 150, 100), 20)
        for y in range(12, FLOOR - 4, 9):
            pen.box(x, y, x + 36, y + 3, wood)
        for side in (0, 34):
            pen.box(x + side, 6, x + side + 4, FLOOR, dark(wood, 0.8))
    _boards(pen, rng, width, colours=WOOD[:2])
    pen.line([(0, 120), (width, 116)], paint(rng, [WHITE, (60, 90, 170), (190, 60, 50)]), 2)
    return pen


def park(rng, width) -> Pen:
    """A meadow before trees."""
    sky, green = paint(rng, SKIES, 24), paint(rng, GRASS, 20)
    pen = _graded(width, dark(sky, 0.92), sky, 70)
    for _ in range(3):
        x, y = rng.uniform(0, width), rng.uniform(8, 34)
        for k in range(4):
            down, r = rng.uniform(-3, 2), rng.uniform(6, 9)
            pen.disc(x + 9 * k, y + down, r, tint(rng, (244, 246, 248), 6), ry=5)
    hill = tint(rng, dark(green, 0.86), 16)
    for x in np.arange(-20, width + 60, 70):
        pen.disc(x + rng.uniform(-16, 16), 96, 66, hill, ry=rng.uniform(26, 44))
    for x in np.arange(rng.uniform(0, 18), width, 34) + rng.uniform(-9, 9):
        leaf, y = paint(rng, LEAVES, 26), rng.uniform(44, 56)
        pen.box(x - 2, y, x + 2, 98, (98, 76, 58))
        for dx, dy in ((-7, 5), (7, 4), (0, -6), (0, 6)):
            pen.disc(x + dx, y + dy, 10, dark(leaf, rng.uniform(0.9, 1.08)))
    pen.box(0, 94, width, HEIGHT, green)
    for _ in range(width // 2):
        x, y = rng.uniform(0, width), rng.uniform(96, HEIGHT)
        pen.line([(x, y), (x + rng.uniform(-2, 2), y - 4)], tint(rng, dark(green, 0.9), 20), 1)
    return pen


def street(rng, width) -> Pen:
    """Houses along a pavement."""
    pen, x = Pen(width, HEIGHT, paint(rng, SKIES, 20)), -10.0
    while x < width:
        w, top = rng.uniform(40, 64), rng.uniform(6, 36)
        front = paint(rng, WALLS, 30)
        pen.box(x, top, x + w, 108, front)
        roof = [(x - 2, top), (x + w / 2, top - 14), (x + w + 2, top)]
        pen.polygon(roof, tint(rng, (150, 84, 70), 30))
        pen.box(x + w, top, x + w + 1, 108, dark(front, 0.7))
        for row in np.arange(top + 8, 74, 22):
            for k in range(int(w // 18)):
                glass = pick(rng, [(96, 120, 140), (70, 86, 104), (244, 222, 150)])
                pen.box(x + 6 + 18 * k, row, x + 16 + 18 * k, row + 13, WHITE)
                pen.box(x + 7 + 18 * k, row + 1, x + 15 + 18 * k, row + 12, glass)
        door = x + rng.uniform(6, w - 20)
        pen.box(door, 82, door + 13, 108, paint(rng, WOOD, 30))
        x += w + 1
    pen.box(0, 108, width, HEIGHT, tint(rng, (172, 168, 164), 16))
    for x in range(0, width, 22):
        pen.line([(x, 110), (x - 8, 136)], (150, 146, 142), 0.8)
    pen.box(0, 107, width, 110, (128, 124, 122))
    pen.box(0, 136, width, HEIGHT, tint(rng, (92, 92, 98), 10))
    return pen


def road(rng, width) -> Pen:
    """A road through the country."""
    pen = park(rng, width)
    pen.box(0, 112, width, HEIGHT, tint(rng, (104, 104, 110), 16))
    pen.box(0, 112, width, 114, WHITE)
    for x in range(8, width, 48):
        pen.box(x, 139, x + 24, 142, WHITE)
    for x in range(4, width, 64):
        pen.box(x, 94, x + 4, 112, WHITE)
        pen.box(x, 98, x + 4, 103, (200, 50, 40))
    return pen


def stage(rng, width) -> Pen:
    """A stage: a curtain in folds, light from above."""
    cloth = paint(rng, CURTAINS, 24)
    pen = Pen(width, HEIGHT, cloth)
    for x in np.arange(-6, width, 13):
        pen.box(x, 0, x + 5, FLOOR, dark(cloth, 0.82))
        pen.box(x + 8, 0, x + 10, FLOOR, dark(cloth, 1.14))
    middle = width / 2 + rng.uniform(-8, 8)
    _boards(pen, rng, width)
    pen.disc(middle, 126, 76, (232, 206, 160), ry=15)
    for x in range(14, width, 32):
        pen.disc(x, 3, 5, (30, 30, 36))
        pen.disc(x, 5, 3, paint(rng, LAMPS, 10))
    return pen


def salon(rng, width) -> Pen:
    """A mirror with lamps, and a shelf of bottles."""
    wall = paint(rng, WALLS, 24)
    pen = _graded(width, wall, dark(wall, 0.9))
    for k, x in enumerate(range(0, width, 18)):  # tiles
        for n, y in enumerate(range(FLOOR, HEIGHT, 12)):
            pen.box(x, y, x + 18, y + 12, (224, 222, 216) if (k + n) % 2 else (96, 100, 108))
    x = width / 2 + rng.uniform(-10, 10)
    pen.box(x - 58, 6, x + 58, 84, paint(rng, WOOD, 20), 4)
    pen.box(x - 54, 10, x + 54, 80, tint(rng, (186, 206, 214), 12), 2)
    for k in range(3):
        pen.line([(x - 50 + 22 * k, 74), (x - 10 + 22 * k, 16)], (208, 222, 228), 4)
    for k in range(7):
        pen.disc(x - 51 + 17 * k, 8, 3, (255, 244, 204))
    pen.box(0, 88, width, 92, paint(rng, WOOD, 16))
    for x in np.arange(rng.uniform(2, 8), width, 11):
        pen.box(x, rng.uniform(74, 80), x + 5, 88, paint(rng, BOTTLES, 30), 1)
    return pen


def workshop(rng, width) -> Pen:
    """A wall of tools."""
    wall, steel = paint(rng, BOARDS, 20), (176, 180, 186)
    pen = _graded(width, wall, dark(wall, 0.86))
    for x in range(4, width, 8):
        for y in range(5, 70, 8):
            pen.disc(x, y, 0.8, dark(wall, 0.7))
    for x in np.arange(8, width, 19) + rng.uniform(-3, 3):
        y = rng.uniform(10, 22)
        grip = paint(rng, [(200, 60, 50), (60, 100, 160), (220, 170, 60)], 20)
        kind = rng.integers(3)
        pen.box(x - 1.6, y, x + 1.6, y + 20, steel)
        pen.box(x - 2.4, y + 18, x + 2.4, y + 34, grip, 1)
        if kind == 0:
            pen.box(x - 7, y - 3, x + 7, y + 4, (110, 114, 120), 1)
        elif kind == 1:
            pen.ring(x, y, 5, steel, 2.4)
    _boards(pen, rng, width, colours=[(120, 116, 112), (140, 128, 112)])
    return pen


def cliff(rng, width) -> Pen:
    """A face of rock."""
    rock = ground(rng, ROCKS)
    pen = Pen(width, HEIGHT, rock)
    for _ in range(46):
        x, y, w = rng.uniform(-20, width), rng.uniform(-20, HEIGHT), rng.uniform(14, 44)
        h, lean = rng.uniform(12, 34), rng.uniform(-10, 10)
        corners = [(x, y), (x + w, y + lean), (x + w - 6, y + h), (x + 5, y + h - lean)]
        pen.polygon(corners, dark(rock, rng.uniform(0.86, 1.08)))
        pen.line([corners[3], corners[2]], dark(rock, 0.7), 1.4)
    for _ in range(24):
        x, y = rng.uniform(0, width), rng.uniform(0, HEIGHT)
        pen.disc(x, y, rng.uniform(2, 5), tint(rng, (96, 122, 70), 30), ry=rng.uniform(1, 3))
    return pen


def sky(rng, width) -> Pen:
    """Clouds, and no ground."""
    blue = ground(rng, [*SKIES, (96, 150, 206), (120, 130, 160), (66, 92, 140)])
    pen = _graded(width, dark(blue, 0.86), blue, HEIGHT)
    for _ in range(6):
        x, y = rng.uniform(-20, width), rng.uniform(6, HEIGHT - 6)
        for k in range(5):
            cloud = tint(rng, light(blue, 0.4), 10)
            pen.disc(x + 11 * k, y + rng.uniform(-4, 4), rng.uniform(7, 13), cloud, ry=6)
    return pen


def river(rng, width) -> Pen:
    """A river from above, a bank at either side."""
    water, green = ground(rng, RIVERS), paint(rng, GRASS, 24)
    pen = Pen(width, HEIGHT, water)
    for _ in range(110):
        x, y, r = rng.uniform(0, width), rng.uniform(0, HEIGHT), rng.uniform(3, 9)
        pen.ring(x, y, r, dark(water, rng.choice([0.86, 1.16])), 1, ry=r * 0.5, start=200, end=340)
    for side in (0, width):
        for y in range(-8, HEIGHT + 8, 11):
            pen.disc(side, y, rng.uniform(9, 15), tint(rng, green, 22), ry=10)
    return pen


def lane(rng, width) -> Pen:
    """A road that runs away from us to the horizon, through meadows."""
    pen, middle, far = park(rng, width), width / 2, 76
    edges = [(middle - 5, far), (middle + 5, far), (width + 40, HEIGHT), (-40, HEIGHT)]
    pen.polygon(edges, ground(rng, TARMACS))
    for k in range(1, 8):
        y, half = far + 80 * (k / 7) ** 2, 4 + 120 * (k / 7) ** 2
        for x in (middle - half, middle + half):
            pen.box(x - 1 - k / 2, y - 3 - k, x + 1 + k / 2, y, [WHITE, (214, 60, 54)][k % 2])
    return pen


def beach(rng, width) -> Pen:
    """Sand before the sea."""
    above, sand = paint(rng, SKIES, 24), ground(rng, SANDS)
    pen = _graded(width, dark(above, 0.92), above, 30)
    pen.box(0, 28, width, 48, tint(rng, (70, 140, 166), 30))
    pen.box(0, 46, width, 50, WHITE)
    pen.box(0, 49, width, HEIGHT, sand)
    for _ in range(150):
        x, y = rng.uniform(0, width), rng.uniform(52, HEIGHT)
        pen.disc(x, y, rng.uniform(0.6, 2.4), dark(sand, rng.choice([0.9, 1.08])), ry=0.8)
    for _ in range(4):
        x = rng.uniform(0, width)
        pen.line([(x, 30), (x, 46)], (240, 240, 236), 1)
        pen.polygon([(x - 9, 34), (x, 22), (x + 9, 34)], paint(rng, WALLS, 60))
    return pen
