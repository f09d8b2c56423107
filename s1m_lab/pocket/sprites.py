"""Drawing: a pen, sprites with soft edges, colours, and figures that both datasets have.

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
STEPS = 32  # sizes of what comes nearer

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
    "9": "111101111001111", ":": "000010000010000", "H": "101101111101101",
    "O": "111101101101111", "M": "101111111101101", "E": "111100110100111",
    "G": "111100101101111", "U": "101101101101111", "S": "111100111001111",
    "T": "111010010010010",
}  # fmt: skip


class Sprite:
    """A figure with soft edges: colour times coverage, and what it leaves of the background.

    `corner` is where the drawn part begins, from the centre of the image: its empty margins are
    neither averaged nor pasted.
    """

    def __init__(self, image: Image.Image):
        width, height = (-(-side // FINE) for side in image.size)
        x0, y0, x1, y1 = image.getbbox() or (0, 0, 1, 1)
        x0, y0, x1, y1 = x0 // FINE, y0 // FINE, -(-x1 // FINE), -(-y1 // FINE)
        box = (x0 * FINE, y0 * FINE, min(x1 * FINE, image.width), min(y1 * FINE, image.height))
        pixels = np.asarray(image.crop(box).convert("RGBa").reduce(FINE))
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


def paint(rng, colours: Sequence[Colour], amount: int = 9) -> Colour:
    """One of the colours, up to `amount` levels off."""
    return tint(rng, pick(rng, colours), amount)


def dark(colour: Colour, by: float = 0.75) -> Colour:
    return tuple(int(c * by) for c in colour)


def light(colour: Colour, by: float = 0.3) -> Colour:
    """That share of the way to white."""
    return tuple(int(c + by * (255 - c)) for c in colour)


# --------------------------------------------------------------------------------------- figures


def animate(out: np.ndarray, poses: Sequence[Sprite], pose, x, y) -> None:
    """Paste a figure on each frame of `out`: pose number `pose`, its centre at (x, y).

    Each of the three is one number, or one for every frame. After the last pose the first follows.
    """
    places = np.broadcast_arrays(np.arange(len(out)), pose, x, y)
    for n, k, left, top in zip(*(place.tolist() for place in places), strict=True):
        paste(out[n], poses[int(k) % len(poses)], left, top)


def nearing(image: Image.Image, first: float, last: float) -> list[Sprite]:
    """A square drawing that comes nearer: `STEPS` sprites, from `first` to `last` pixels wide."""
    sides = [2 * round(side / 2) for side in np.linspace(first, last, STEPS)]
    return [Sprite(image.resize((FINE * s, FINE * s), Image.Resampling.BOX)) for s in sides]


def look(rng, shirts: Sequence[Colour], **more) -> dict:
    """What a player wears; `legs` and `stick` are a hockey player's."""
    outfit = {"shirt": pick(rng, shirts), "shorts": INK, "stick": None}
    outfit |= {"skin": pick(rng, SKINS), "hair": pick(rng, HAIRS)}
    return outfit | {"legs": outfit["skin"]} | more


def runner(outfit: dict, facing: int, size: float = 1.0) -> list[Sprite]:
    """A runner from the side, in the outfit of `look`: eight poses of a double step."""
    return [_stride(tuple(outfit.items()), k / 8, facing, size) for k in range(8)]


@lru_cache(64)  # poses of eight, as many as play in a scene: its twin has the same players
def _stride(items: tuple, gait: float, f: int, s: float) -> Sprite:
    pen, swing, outfit = Pen(30 * s, 40 * s), np.sin(2 * np.pi * gait), dict(items)
    x, hip = 15 * s, 24 * s

    def arm(side: int, colour: Colour) -> None:
        elbow = (x + side * f * swing * 7 * s, 19 * s)
        pen.line([(x, 13 * s), elbow, (elbow[0] + f * 4 * s, 17 * s)], colour, 2.8 * s)

    pen.disc(x, 36.5 * s, 9 * s, (0, 0, 0, 70), ry=2.5 * s)
    for side, colour in ((-1, dark(outfit["legs"])), (1, outfit["legs"])):
        knee = (x + f * (side * swing * 4 + 1) * s, hip + 6 * s)
        foot = (x + f * side * swing * 8 * s, hip + (12 - max(0, -side * swing) * 3) * s)
        pen.line([(x, hip), knee, foot], colour, 3.2 * s)
        pen.disc(foot[0] + f * s, foot[1], 2 * s, INK, ry=1.4 * s)
    arm(-1, dark(outfit["skin"]))
    pen.box(x - 5.5 * s, 20 * s, x + 5.5 * s, 27 * s, outfit["shorts"], 2 * s)
    pen.box(x - 6.5 * s, 10 * s, x + 6.5 * s, 23 * s, outfit["shirt"], 4 * s)
    arm(1, outfit["skin"])
    if outfit["stick"]:
        grip, tip = x + f * swing * 7 * s + f * 3 * s, x + f * 12 * s
        way = [(grip, 16 * s), (tip, 36 * s), (tip + f * 2.5 * s, 36 * s)]
        pen.line(way, outfit["stick"], 1.6 * s)
    pen.disc(x + f * s, 6.5 * s, 4.8 * s, outfit["skin"])
    box = [(x + (f - 5) * s) * FINE, 1.2 * s * FINE, (x + (f + 5) * s) * FINE, 11 * s * FINE]
    start = 165 if f > 0 else 190
    pen.draw.chord(box, start, start + 185, fill=outfit["hair"])
    return Sprite(pen.image)


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
