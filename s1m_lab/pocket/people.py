"""The actors of `pocket101`: figures with joints and clothes.

    who = people.dress(rng)
    people.body(pen, who, hip=(96, 80), neck=(98, 48), hands=[…], feet=[…])

A pose is where the hips, neck, hands and feet are, in pixels of the frame; elbows and knees follow
from the lengths of the limbs. Everyone faces right and is mirrored afterwards; of two hands or feet
the first is the far one. At `size` 1 a person is about 92 pixels tall.
"""

import numpy as np

from s1m_lab.pocket.sprites import HAIRS, INK, SKINS, WHITE, Colour, Pen, dark, pick

ARM, FOREARM, THIGH, SHIN = 16, 16, 21, 21  # pixels at size 1
CLOTHES = [(214, 62, 58), (44, 100, 200), (246, 200, 66), (240, 240, 234), (40, 48, 66),
           (36, 150, 120), (232, 128, 60), (130, 84, 170), (228, 130, 160), (96, 160, 210),
           (120, 140, 70), (150, 154, 162)]  # fmt: skip
TROUSERS = [(44, 52, 76), (70, 74, 84), (110, 92, 72), (34, 34, 42), (84, 106, 140),
            (150, 140, 120)]  # fmt: skip
Point = tuple[float, float]
TURN = 2 * np.pi
STEEL, WOODEN = (176, 182, 190), (150, 104, 66)
SIDES = (1, -1)  # knees or elbows that point outwards, seen from the front


def dress(rng) -> dict:
    """The colours of a person, and whether the hair is `long` and the shirt has `sleeves`."""
    who: dict = {"skin": pick(rng, SKINS), "hair": pick(rng, HAIRS), "shirt": pick(rng, CLOTHES)}
    who |= {"trousers": pick(rng, TROUSERS), "shoes": pick(rng, [INK, WHITE, *CLOTHES[:2]])}
    return who | {"long": bool(rng.integers(2)), "sleeves": bool(rng.integers(2))}


def at(x: float, y: float, length: float, angle: float) -> Point:
    """The point `length` away; an `angle` of 0 is to the right, of a quarter turn down."""
    return (x + length * np.cos(angle), y + length * np.sin(angle))


def between(start: Point, end: Point, part: float) -> Point:
    """The point at `part` (0 to 1) of the way."""
    return (start[0] + (end[0] - start[0]) * part, start[1] + (end[1] - start[1]) * part)


def ease(u: float, *marks: tuple[float, float]) -> float:
    """The value at `u` of a smooth way through `marks` (when, value), the first of them at 0; at 1
    it is where it began."""
    when, value = zip(*marks, (1, marks[0][1]), strict=True)
    k = int(np.searchsorted(when, u, side="right")) - 1
    part = (u - when[k]) / (when[k + 1] - when[k])
    return value[k] + (value[k + 1] - value[k]) * (3 - 2 * part) * part * part


def bone(pen: Pen, points: list[Point], colour: Colour, width: float) -> None:
    """A line with round ends and joints."""
    pen.line(points, colour, width)
    for x, y in points:
        pen.disc(x, y, width / 2, colour)


def limb(start: Point, end: Point, upper: float, lower: float, bend: float) -> list[Point]:
    """Start, joint and end of a limb of two bones; the end is as near to `end` as they reach.

    `bend` 1 puts the joint to the right of the way from start to end on the screen, as one walks
    it, -1 to the left: of an arm that hangs (down the screen) 1 is an elbow at the left.
    """
    first = np.array(start, float)
    way = np.array(end, float) - first
    length = max(np.hypot(*way), 1e-6)
    way /= length
    length = float(np.clip(length, abs(upper - lower) + 0.5, upper + lower - 0.2))
    along = (upper**2 - lower**2 + length**2) / (2 * length)
    aside = bend * np.sqrt(max(upper**2 - along**2, 0))
    joint = first + way * along + aside * np.array([-way[1], way[0]])
    return [tuple(first), tuple(joint), tuple(first + way * length)]


def body(
    pen: Pen,
    who: dict,
    hip: Point,
    neck: Point,
    hands: list[Point],
    feet: list[Point],
    size: float = 1.0,
    front: float = 0.0,
    elbows: tuple[float, float] = (1, 1),
    knees: tuple[float, float] = (-1, -1),
    face: int | None = 1,
    behind: bool = False,
) -> None:
    """A person from the side (`front` 0), from the front (1) or in between.

    `face`: 1 looks to the right, 0 at us, None away from us. `behind`: both arms are drawn before
    the trunk, not the far one alone. Without `feet` or `hands` there are no legs, or arms.
    """
    s, shirt, skin, frontal = size, who["shirt"], who["skin"], front > 0.5
    shoulders = [(neck[0] - d * 9.5 * front * s, neck[1] + 4 * s) for d in (1, -1)]
    hips = [(hip[0] - d * 4 * front * s, hip[1]) for d in (1, -1)]

    def arm(k: int) -> None:
        tone = 1 if k or frontal else 0.86
        points = limb(shoulders[k], hands[k], ARM * s, FOREARM * s, elbows[k])
        bone(pen, points[1:], dark(shirt if who["sleeves"] else skin, tone), 5 * s)
        bone(pen, points[:2], dark(shirt, tone * 0.94), 6.4 * s)
        pen.disc(*points[2], 3.3 * s, dark(skin, tone))

    def leg(k: int) -> None:
        tone = 1 if k or frontal else 0.82
        points = limb(hips[k], feet[k], THIGH * s, SHIN * s, knees[k])
        bone(pen, points, dark(who["trousers"], tone), 7.4 * s)
        x, y = points[2]
        x += 0 if frontal else 2 * s
        pen.disc(x, y + s, 5 * s, dark(who["shoes"], tone), ry=3 * s)

    arms = range(len(hands))
    over = [] if behind else arms if frontal else [1]  # arms that are drawn over the trunk
    for k in arms:
        if k not in over:
            arm(k)
    for k in range(len(feet)):
        leg(k)
    if frontal:
        pen.polygon([*shoulders, hips[1], hips[0]], shirt)
        bone(pen, shoulders, shirt, 9 * s)
        bone(pen, [between(hip, neck, 0.12), between(hip, neck, 0.8)], shirt, 16 * s)
        bone(pen, hips, who["trousers"], 9.4 * s)
    else:
        bone(pen, [between(hip, neck, 0.06), between(hip, neck, 0.82)], shirt, 15 * s)
        waist = [between(hip, neck, -0.02), between(hip, neck, 0.1)]
        bone(pen, waist, who["trousers"], 13 * s)
    up = np.subtract(neck, hip) / max(np.hypot(*np.subtract(neck, hip)), 1e-6)
    bone(pen, [between(hip, neck, 0.92), tuple(neck + up * 5 * s)], dark(skin, 0.9), 5.6 * s)
    head(pen, who, tuple(neck + up * 11 * s), up, s, face)
    for k in over:
        arm(k)


def head(pen: Pen, who: dict, at: Point, up: np.ndarray, s: float, face: int | None) -> None:
    """A head, its crown towards `up` (a unit vector)."""
    up = np.asarray(up, float)
    right = np.array([-up[1], up[0]])

    def place(across: float, along: float) -> Point:
        return tuple(np.array(at) + (right * across + up * along) * s)

    if who["long"]:
        locks = [(-6.6, 5), (6.6, 5)] if face == 0 else [(-4 * (face or 0), 12)]
        for across, width in locks:
            bone(pen, [place(across, 2), place(across * 1.2, -9)], who["hair"], width * s)
    pen.disc(*place(-0.9 * (face or 0), 1.4), 8.8 * s, who["hair"])
    if face is not None:
        pen.disc(*place(1.9 * face, -1.6), 7.2 * s, who["skin"])
        for x in [4.6] if face else [-2.8, 2.8]:
            pen.disc(*place(x, -0.6), 1.15 * s, INK)
        mouth = [place(3.4, -5), place(6.2, -4.6)] if face else [place(-2, -5), place(2, -5)]
        pen.line(mouth, dark(who["skin"], 0.6), 1.1 * s)
