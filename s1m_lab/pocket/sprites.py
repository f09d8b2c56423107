"""Drawing: a pen, sprites with soft edges, and the figures of `pocket`.

    pen = Pen(WIDTH, HEIGHT, colour)         # or Pen(30, 40): a sprite, transparent at first
    paste(frame, Sprite(pen.image), x, y)    # in about ten microseconds

A `Pen` draws four times too large. The drawing is averaged down to a background (`picture`) or to
a `Sprite`, which is drawn once and pasted often.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 176, 132
FINE = 4  # drawn this much larger, then averaged: antialiasing
CENTRE = (WIDTH // 2, HEIGHT // 2)

Colour = tuple[int, ...]
WHITE, INK = (250, 250, 246), (24, 26, 36)
BRIGHT = [WHITE, (255, 226, 64), (176, 255, 92), (110, 240, 255), (255, 170, 60), (255, 150, 210)]
RED, BLUE, YELLOW, GREEN = (228, 60, 52), (40, 92, 214), (250, 208, 52), (20, 160, 120)
SHIRTS = [RED, BLUE, YELLOW, WHITE, (32, 36, 48), GREEN]
SKINS = [(255, 219, 186), (241, 194, 150), (198, 134, 92), (141, 85, 54), (92, 58, 40)]
HAIRS = [(36, 26, 22), (92, 56, 30), (196, 148, 70), (150, 60, 30), (120, 120, 126)]

# ---------------------------------------------------------------------------- pen, sprite, paste


class Pen:
    """A drawing in frame pixels; `colour` None starts from nothing (a sprite)."""

    def __init__(self, width: float, height: float, colour: Colour | None = None):
        size = (round(width * FINE), round(height * FINE))
        self.image = Image.new("RGBA", size) if colour is None else Image.new("RGB", size, colour)
        self.draw = ImageDraw.Draw(self.image)

    def disc(self, x, y, r, colour, ry=None):
        ry = r if ry is None else ry
        box = [(x - r) * FINE, (y - ry) * FINE, (x + r) * FINE - 1, (y + ry) * FINE - 1]
        self.draw.ellipse(box, fill=colour)

    def ring(self, x, y, r, colour, width=1.0, ry=None, start=0, end=360):
        ry = r if ry is None else ry
        box = [(x - r) * FINE, (y - ry) * FINE, (x + r) * FINE, (y + ry) * FINE]
        self.draw.arc(box, start, end, fill=colour, width=round(width * FINE))

    def box(self, x0, y0, x1, y1, colour, radius=0.0):
        box = [x0 * FINE, y0 * FINE, x1 * FINE - 1, y1 * FINE - 1]
        if radius:
            self.draw.rounded_rectangle(box, radius * FINE, fill=colour)
        else:
            self.draw.rectangle(box, fill=colour)

    def line(self, points, colour, width=1.0):
        points = [(x * FINE, y * FINE) for x, y in points]
        self.draw.line(points, fill=colour, width=max(1, round(width * FINE)), joint="curve")

    def polygon(self, points, colour):
        self.draw.polygon([(x * FINE, y * FINE) for x, y in points], fill=colour)

    def text(self, x, y, words, colour, pixel=1.0):
        """Digits and a few letters, three pixels by five."""
        for k, letter in enumerate(words):
            for n, bit in enumerate(GLYPHS[letter]):
                if bit == "1":
                    left, top = x + (4 * k + n % 3) * pixel, y + n // 3 * pixel
                    self.box(left, top, left + pixel, top + pixel, colour)

    def picture(self) -> np.ndarray:
        return np.array(self.image.reduce(FINE))


GLYPHS = {
    "0": "111101101101111", "1": "010110010010111", "2": "111001111100111",
    "3": "111001111001111", "4": "101101111001001", "5": "111100111001111",
    "6": "111100111101111", "7": "111001010010010", "8": "111101111101111",
    "9": "111101111001111", ":": "000010000010000", "-": "000000111000000", " ": "0" * 15,
    "H": "101101111101101", "O": "111101101101111", "M": "101111111101101",
    "E": "111100110100111", "G": "111100101101111", "U": "101101101101111",
    "S": "111100111001111", "T": "111010010010010", "L": "100100100100111",
    "A": "111101111101101", "Y": "101101010010010", "!": "010010010000010",
}  # fmt: skip


class Sprite:
    """A figure with soft edges: colour times coverage, and what it leaves of the background.

    `corner` is where the drawn part begins, from the centre of the image: its empty margins are
    neither averaged nor pasted.
    """

    def __init__(self, image: Image.Image, fine: int = FINE):
        width, height = (-(-side // fine) for side in image.size)
        x0, y0, x1, y1 = image.getbbox() or (0, 0, 1, 1)
        x0, y0, x1, y1 = x0 // fine, y0 // fine, -(-x1 // fine), -(-y1 // fine)
        box = (x0 * fine, y0 * fine, min(x1 * fine, image.width), min(y1 * fine, image.height))
        pixels = np.asarray(image.crop(box).convert("RGBa").reduce(fine))
        self.corner = x0 - width // 2, y0 - height // 2
        self.colour = pixels[..., :3].astype(np.uint16)
        leaves = 256 - np.round(pixels[..., 3:] * (256 / 255)).astype(np.uint16)
        self.leaves = np.repeat(leaves, 3, axis=-1)  # broadcast, `paste` takes three times as long


def paste(frame: np.ndarray, sprite: Sprite, x: float, y: float) -> None:
    """Put the sprite's centre at (x, y), rounded to whole pixels, cut at the frame's edges."""
    height, width = sprite.colour.shape[:2]
    left, top = round(x) + sprite.corner[0], round(y) + sprite.corner[1]
    x0, x1 = max(left, 0), min(left + width, frame.shape[1])
    y0, y1 = max(top, 0), min(top + height, frame.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    target = frame[y0:y1, x0:x1]
    target[:] = (target * sprite.leaves[part] >> 8) + sprite.colour[part]


def pick(rng, colours: Sequence[Colour]) -> Colour:
    return colours[rng.integers(len(colours))]


def tint(rng, colour: Colour, amount: int = 9) -> Colour:
    """The colour, up to `amount` levels off: no two stadiums are the same."""
    half = amount // 2
    shift = rng.integers(-half, half + 1, 3) + rng.integers(-half, half + 1)
    return tuple(int(v) for v in np.clip(np.add(colour, shift), 0, 255))


def ground(rng, colours: Sequence[Colour]) -> Colour:
    """One of the colours that such a place has, or what lies between two of them."""
    first, second = np.array(colours)[rng.integers(len(colours), size=2)]
    return tint(rng, first + rng.random() * (second - first), 16)


def dark(colour: Colour, by: float = 0.75) -> Colour:
    return tuple(int(c * by) for c in colour)


def light(colour: Colour, by: float = 0.3) -> Colour:
    """That share of the way to white."""
    return tuple(int(c + by * (255 - c)) for c in colour)


# --------------------------------------------------------------------------------------- figures


def player(outfit: dict, gait: float, facing: int = 1, size: float = 1.0) -> Sprite:
    """A runner from the side; `gait` in [0, 1) is one double step."""
    pen, s = Pen(30 * size, 40 * size), size
    swing, f = np.sin(2 * np.pi * gait), facing
    x, hip = 15 * s, 24 * s
    pen.disc(x, 36.5 * s, 9 * s, (0, 0, 0, 70), ry=2.5 * s)
    for side, colour in ((-1, dark(outfit["legs"])), (1, outfit["legs"])):
        knee = (x + f * (side * swing * 4 + 1) * s, hip + 6 * s)
        foot = (x + f * side * swing * 8 * s, hip + (12 - max(0, -side * swing) * 3) * s)
        pen.line([(x, hip), knee, foot], colour, 3.2 * s)
        pen.disc(foot[0] + f * s, foot[1], 2 * s, INK, ry=1.4 * s)
    elbow = (x - f * swing * 7 * s, 19 * s)
    pen.line([(x, 13 * s), elbow, (elbow[0] + f * 4 * s, 17 * s)], dark(outfit["skin"]), 2.8 * s)
    pen.box(x - 5.5 * s, 20 * s, x + 5.5 * s, 27 * s, outfit["shorts"], 2 * s)
    pen.box(x - 6.5 * s, 10 * s, x + 6.5 * s, 23 * s, outfit["shirt"], 4 * s)
    elbow = (x + f * swing * 7 * s, 19 * s)
    pen.line([(x, 13 * s), elbow, (elbow[0] + f * 4 * s, 17 * s)], outfit["skin"], 2.8 * s)
    if outfit["stick"]:
        tip = (x + f * 12 * s, 36 * s)
        pen.line(
            [(elbow[0] + f * 3 * s, 16 * s), tip, (tip[0] + f * 2.5 * s, tip[1])],
            outfit["stick"],
            1.6 * s,
        )
    pen.disc(x + f * s, 6.5 * s, 4.8 * s, outfit["skin"])
    pen.draw.chord(
        [(x + (f - 5) * s) * FINE, 1.2 * s * FINE, (x + (f + 5) * s) * FINE, 11 * s * FINE],
        *((165, 350) if f > 0 else (190, 375)),
        fill=outfit["hair"],
    )
    return Sprite(pen.image)


def look(rng, shirts: Sequence[Colour], **more) -> dict:
    """What a player wears; `legs` and `stick` are a hockey player's."""
    outfit = {"shirt": pick(rng, shirts), "shorts": INK, "stick": None}
    outfit |= {"skin": pick(rng, SKINS), "hair": pick(rng, HAIRS)}
    return outfit | {"legs": outfit["skin"]} | more


def steps(outfit: dict, facing: int, size: float = 1.0) -> list[Sprite]:
    return _steps(tuple(outfit.items()), facing, size)


@lru_cache(8)  # as many as play in a scene: its twin has the same players
def _steps(outfit: tuple, facing: int, size: float) -> list[Sprite]:
    return [player(dict(outfit), k / 8, facing, size) for k in range(8)]


def ball(radius: float, colour: Colour, seam: Colour | None = None) -> Sprite:
    side = 2 * radius + 6
    pen, c = Pen(side, side), side / 2
    pen.disc(c + 1, c + radius, radius, (0, 0, 0, 80), ry=radius * 0.45)
    pen.disc(c, c, radius, dark(colour))
    pen.disc(c - 0.3, c - 0.3, radius * 0.9, colour)
    if seam:
        pen.ring(c, c, radius * 0.55, seam, 0.8)
    pen.disc(c - radius * 0.35, c - radius * 0.4, radius * 0.3, WHITE)
    return Sprite(pen.image)


def fans(
    pen: Pen, rng, top: float, bottom: float, shirts: Sequence[Colour], pitch: float = 8
) -> None:
    """Rows of heads over shirts, the nearer rows in front."""
    for row, y in enumerate(np.arange(top + 3, bottom + pitch * 0.6, pitch * 0.8)):
        for x in np.arange(-(row % 2) * pitch / 2, WIDTH + pitch, pitch) + rng.uniform(-0.8, 0.8):
            pen.disc(x, y + pitch * 0.62, pitch * 0.5, pick(rng, shirts))
            pen.disc(x, y, pitch * 0.3, pick(rng, SKINS))
            pen.disc(x, y - pitch * 0.12, pitch * 0.27, pick(rng, HAIRS), ry=pitch * 0.2)


def stand(pen: Pen, rng, height: float = 15) -> None:
    """The lower edge of the stand and a row of boards, as the broadcast camera sees them."""
    pen.box(0, 0, WIDTH, height, (58, 60, 74))
    fans(pen, rng, -3, height - 7, SHIRTS)
    pen.box(0, height - 4, WIDTH, height + 2, (28, 32, 48))
    for x in range(int(rng.integers(-30, 0)), WIDTH, 30):
        pen.box(x, height - 3.5, x + 28, height + 1.5, dark(pick(rng, SHIRTS), 0.9))
        pen.box(x + 6, height - 1.6, x + 22, height - 0.4, WHITE)


def climber(rng) -> list[Sprite]:
    """From behind, in a bright suit: eight poses of one pull."""
    outfit, helmet = look(rng, BRIGHT), pick(rng, BRIGHT)
    suit, poses = outfit["shirt"], []
    for k in range(8):
        pen, reach = Pen(28, 42), 4 * np.sin(2 * np.pi * k / 8)
        for side in (-1, 1):
            elbow, hand = (14 + side * 10, 12), (14 + side * 4, 5 + side * reach)
            pen.line([(14 + side * 7, 18), elbow, hand], dark(suit, 0.92), 4)
            pen.disc(*hand, 2, outfit["skin"])
            knee, foot = (14 + side * 9, 31 - side * reach / 2), (14 + side * 6, 37 - side * reach)
            pen.line([(14 + side * 3, 27), knee, foot], dark(suit, 0.85), 4.6)
            pen.disc(*foot, 2.4, INK, ry=1.6)
        pen.disc(14, 22, 9, suit)
        pen.line([(7.5, 26), (20.5, 26)], INK, 1.6)
        pen.disc(14, 12, 6.2, dark(helmet, 0.8))
        pen.disc(14, 11.5, 5.7, helmet)
        pen.line([(14, 7), (14, 15)], dark(helmet, 0.8), 1.2)
        poses.append(Sprite(pen.image))
    return poses


def sled(rng, count: int) -> list[Sprite]:
    """A sled from the front, from 4 to 48 pixels of radius in `count` equal steps."""
    colour, stripe = pick(rng, BRIGHT), pick(rng, [RED, BLUE, GREEN])
    big = Pen(96, 96)
    for side in (-1, 1):
        big.line([(48 + side * 30, 84), (48 + side * 36, 94)], (210, 214, 226), 4)
    big.disc(48, 20, 15, pick(rng, [RED, BLUE, GREEN]))
    big.disc(48, 52, 42, dark(colour, 0.85), ry=41)
    big.disc(48, 50, 41, colour, ry=39)
    big.disc(48, 32, 14, pick(rng, [RED, BLUE, GREEN]), ry=13)
    big.box(38, 29, 58, 37, INK, 4)
    big.box(41, 31, 50, 33, (150, 200, 240), 1)
    big.box(45, 52, 51, 89, stripe, 3)
    big.disc(28, 62, 6, WHITE)
    big.disc(68, 62, 6, WHITE)
    sides = [2 * round((4 + k * 44 / (count - 1)) * 96 / 84) for k in range(count)]
    return [Sprite(big.image.resize((FINE * s, FINE * s), Image.Resampling.BOX)) for s in sides]


def fighter(rng, robe: Colour) -> list[Sprite]:
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


def swimmer(rng, f: int) -> list[Sprite]:
    skin, cap, strokes = pick(rng, SKINS), pick(rng, BRIGHT + SHIRTS[:3]), []
    suit = pick(rng, SHIRTS[:2] + SHIRTS[4:])
    for k in range(8):
        pen, a = Pen(52, 26), 2 * np.pi * k / 8
        for j in range(5):  # the wake
            pen.disc(
                26 - f * (15 + 2 * j), 13 + 3 * np.sin(a + 2.4 * j), 2.6 - j * 0.3, (240, 252, 255)
            )
        pen.disc(26 - f * 4, 13, 12, skin, ry=4.4)
        pen.disc(26 - f * 9, 13, 6, suit, ry=3.9)
        for side in (-1, 1):
            reach = np.cos(a + (side > 0) * np.pi)
            hand = (26 + f * (4 + 12 * reach), 13 + side * (4 + 5 * abs(np.sin(a))))
            pen.line([(26 + f * 3, 13 + side * 3), hand], skin, 3)
            if reach > 0.6:
                pen.disc(*hand, 3, (240, 252, 255))
        pen.disc(26 + f * 10, 13, 5, dark(cap))
        pen.disc(26 + f * 10, 12.6, 4.4, cap)
        strokes.append(Sprite(pen.image))
    return strokes


def craft(rng, boat: bool) -> Sprite:
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


def caption(rng) -> Sprite:
    """The score in the corner of the picture."""
    pen, colours = Pen(46, 12), [SHIRTS[k] for k in rng.permutation(len(SHIRTS))[:2]]
    pen.box(0, 0, 46, 12, (18, 20, 30, 225), 3)
    pen.box(3, 3, 8, 9, colours[0], 1)
    pen.box(38, 3, 43, 9, colours[1], 1)
    home, guest = rng.integers(0, 10, 2)
    pen.text(14.5, 2.5, f"{home}:{guest}", WHITE, 1.5)
    return Sprite(pen.image)
