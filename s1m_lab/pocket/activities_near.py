"""The activities of `pocket101` seen from near: at home, in the gym, with instruments, sports.

An act is a function `(pen, people, tones, u)`. `people` and `tones` are the two persons and two
colours of a group; `u` in [0, 1) is the moment within one round of a periodic motion. All persons
face right.
"""

import numpy as np

from s1m_lab.pocket.backgrounds import GROUND
from s1m_lab.pocket.people import SIDES, STEEL, TURN, WOODEN, at, between, body, bone, ease, head
from s1m_lab.pocket.sprites import INK, WHITE, dark

# --------------------------------------------------------------------------- with an object


def hammering(pen, people, tones, u):
    lift = ease(u, (0, 0), (0.5, 1), (0.8, 0.9), (0.92, 0))
    grip = (104 - 4 * lift, 78 - 26 * lift)
    angle = -0.1 - 1.5 * lift
    body(pen, people[0], (64, 84), (75, 52), [(118, 84), grip], [(54, GROUND), (76, GROUND)], 1.06)
    tip = at(*grip, 21, angle)
    pen.line([at(*grip, -6, angle), tip], WOODEN, 3.4)
    across = angle + np.pi / 2
    pen.line([at(*tip, -7, across), at(*tip, 9, across)], (70, 74, 82), 8)
    pen.box(98, 92, 180, 99, tones[0], 1)
    pen.box(112, 86, 160, 92, WOODEN, 1)
    pen.line([(130, 80 + 2 * (lift < 0.2)), (130, 88)], STEEL, 2)
    for x in (106, 166):
        pen.box(x, 99, x + 7, GROUND + 2, dark(tones[0], 0.8))


def rope_jumping(pen, people, tones, u):
    turn, hop = TURN * u, 11 * max(0.0, np.cos(TURN * u))
    y, high = 84 - hop / 2, 52 * np.cos(turn)

    def rope():
        start, height = (0, high) if high > 0 else (180, -1.35 * high)
        pen.ring(96, y, 35, tones[0], 2.4, ry=max(height, 2), start=start, end=start + 180)

    behind = np.sin(turn) < 0
    if behind:
        rope()
    hands = [(66, y + 3 * np.sin(turn)), (126, y + 3 * np.sin(turn))]
    feet = [(89, GROUND - 2 - hop), (103, GROUND - 2 - hop)]
    body(pen, people[0], (96, 86 - hop), (96, 54 - hop), hands, feet, 1.04, 1, SIDES, SIDES, 0)
    if not behind:
        rope()
    for x, _ in hands:
        pen.disc(x, y, 3, dark(tones[0], 0.7))


def mopping(pen, people, tones, u):
    push = np.cos(TURN * u)
    foot, top = (140 + 26 * push, GROUND + 4), (82 + 10 * push, 42)
    near, far = between(top, foot, 0.42), between(top, foot, 0.12)
    pen.line([top, foot], WOODEN, 3)
    cloth = [(foot[0] + x, foot[1] + y) for x, y in ((-17, 4), (-5, -9), (5, -9), (17, 4))]
    pen.polygon(cloth, (232, 230, 220))
    for k in range(-3, 4):
        end = (foot[0] + 5 * k - 3 * np.sin(TURN * u), foot[1] + 4)
        pen.line([foot, end], (190, 190, 184), 1.4)
    hip, neck = (62 + 6 * push, 86), (78 + 9 * push, 57)
    body(pen, people[0], hip, neck, [far, near], [(50, GROUND), (76, GROUND)], 1.06)
    pen.polygon([(20, 104), (46, 104), (42, 132), (24, 132)], tones[0])
    pen.disc(33, 104, 13, dark(tones[0], 0.6), ry=3.4)


# ------------------------------------------------------------------------------ the body alone


def push_ups(pen, people, tones, u):
    low = 0.5 - 0.5 * np.cos(TURN * u)
    pen.polygon([(14, 136), (26, 124), (176, 124), (182, 136)], tones[0])
    neck = (138, 92 + 20 * low)
    x, y = between(neck, (34, 122), 0.4)
    hands, feet = [(136, 124), (132, 128)], [(34, 122), (31, 126)]
    body(pen, people[0], (x - 2, y + 1), neck, hands, feet, 1.2, knees=(1, 1))


def handstand_push_ups(pen, people, tones, u):
    low = 0.5 - 0.5 * np.cos(TURN * u)
    y, hands = 94 + 14 * low, [(122, 127), (70, 127)]
    hip, feet = (96, y - 33), [(90, y - 78), (102, y - 78)]
    pen.box(60, 126, 132, 132, tones[0], 2)
    body(pen, people[0], hip, (96, y), hands, feet, 1.06, 1, (-1, 1), (-1, 1), None)


def strolling(pen, people, tones, u):
    a = TURN * u
    limbs, bob = (a, a + np.pi), 2 * abs(np.sin(a))
    feet = [(96 + 20 * np.cos(b), GROUND - 2 - 9 * max(0.0, -np.sin(b))) for b in limbs]
    hands = [(99 - 17 * np.cos(b), 84 - 4 * abs(np.cos(b))) for b in limbs]
    body(pen, people[0], (96, 86 - bob), (99, 54 - bob), hands, feet, 1.04)


# --------------------------------------------------------------------------- with each other


def hair_cutting(pen, people, tones, u):
    snip, way = abs(np.sin(2 * TURN * u)), np.cos(TURN * u)
    barber, client = people[0], people[1] | {"long": False}
    near = (110 + 5 * way, 47 - 4 * np.sin(TURN * u))
    pen.box(76, 116, 118, 122, STEEL)
    pen.box(92, 120, 102, 138, STEEL)
    hands, feet = [(82, 52 + 2 * way), near], [(118, 132), (136, 132)]
    body(pen, barber, (126, 82), (124, 44), hands, feet, 1.1, 1, (1, 1), SIDES, 0, behind=True)
    pen.box(74, 76, 120, 112, dark(tones[1], 0.7), 6)
    pen.polygon([(91, 74), (103, 74), (126, 118), (68, 118)], tones[0])
    for k in (-1, 0, 1):
        pen.line([(97 + 3 * k, 80), (97 + 14 * k, 117)], dark(tones[0], 0.86), 1.4)
    bone(pen, [(97, 70), (97, 75)], dark(client["skin"], 0.9), 7)
    head(pen, client, (97, 60), np.array([0, -1]), 1.22, 0)
    for d in (-1, 1):
        blade = at(*near, 12, np.pi + 0.1 + d * 0.34 * snip)
        pen.line([near, blade], STEEL, 1.6)
    pen.disc(*near, 4, barber["skin"])
    pen.line([(80, 56 + 2 * way), (90, 50 + 2 * way)], INK, 3)
    for k in range(6):
        fall = (u * 2 + k / 6) % 1
        pen.line([(76 + 8 * k, 66 + 56 * fall), (78 + 8 * k, 69 + 56 * fall)], client["hair"], 1.8)


def salsa(pen, people, tones, u):
    a = TURN * u
    step, joined = 4 * np.sin(2 * a), (98, 22 + 2 * np.sin(2 * a))
    hands, feet = [(44, 70 + step), joined], [(56, GROUND), (78 + step, GROUND)]
    body(pen, people[0] | {"long": False}, (66 + step, 84), (67, 50), hands, feet, 1.1)
    her = people[1] | {"long": True, "shirt": tones[0], "sleeves": False}
    her["trousers"] = her["skin"]
    wide, face = abs(np.cos(a)), (0 if np.cos(a) > 0.4 else None if np.cos(a) < -0.4 else 1)
    free = (124 + 26 * np.cos(a), 72 + 5 * np.sin(a))
    hands = [joined, free] if np.cos(a) > 0 else [free, joined]
    hands = [joined, (max(free[0], 128), free[1])] if wide > 0.5 else hands
    feet, turned = [(118 - step / 2, GROUND), (131 + step / 2, GROUND)], max(wide, 0.51)
    body(pen, her, (124, 86), (124, 55), hands, feet, 1.0, turned, (-1, 1), SIDES, face)
    flare, lag = 20 + 5 * abs(np.sin(a)), 5 * np.sin(a)
    skirt = [(117, 76), (131, 76), (124 + flare + lag, 110), (124 - flare + lag, 110)]
    pen.polygon(skirt, tones[0])
    for k in (-1, 0, 1):
        fold = [(124 + 3 * k, 80), (124 + lag + (12 * k + 9 * np.sin(a)), 109)]
        pen.line(fold, dark(tones[0], 0.8), 1.6)


# ------------------------------------------------------------------------------ instruments


def drumming(pen, people, tones, u):
    left, right = (abs(np.sin(TURN * u + k)) for k in (0, np.pi / 2))
    hits = [(74, 84 - 26 * left), (118, 84 - 26 * right)]
    body(pen, people[0], (96, 96), (96, 52), hits, [], 1.1, 1, (1, -1), face=0)
    for x, y, lean in ((42, 58, right), (150, 58, left)):
        pen.line([(x, y), (x, 132)], STEEL, 2)
        pen.disc(x, y + 2 * lean, 21, (214, 176, 72), ry=4.4)
        pen.disc(x, y - 1 + 2 * lean, 4, (160, 126, 50), ry=2)
    pen.disc(96, 110, 27, dark(tones[0], 0.75))
    pen.disc(96, 110, 24, (238, 234, 226))
    pen.disc(96, 110, 9, tones[1])
    for x in (66, 126):
        pen.box(x - 18, 84, x + 18, 103, tones[0], 3)
        pen.box(x - 18, 92, x + 18, 95, dark(tones[0], 0.8))
        pen.disc(x, 84, 18, (240, 238, 232), ry=5)
        pen.ring(x, 84, 18, STEEL, 1.4, ry=5)
    for (x, y), d, lift in ((hits[0], -1, left), (hits[1], 1, right)):
        tip = at(x, y, 24, np.pi / 2 - d * (0.9 + 0.9 * lift) - d * 0.3)
        pen.line([(x, y), (tip[0], min(tip[1], 84 - 30 * lift))], (226, 190, 140), 2.6)


def guitar_playing(pen, people, tones, u):
    who, strum, nod = people[0], np.cos(TURN * u), 2 * np.sin(TURN * u)
    fret, feet = (138 + 2 * np.sin(TURN * u * 2), 66), [(84, GROUND), (108, GROUND)]
    body(pen, who, (96, 84), (98, 54 + nod / 2), [], feet, 1.06, 1, (1, -1), SIDES, 0)
    pen.line([(92, 86), (152, 58)], (92, 60, 40), 5)
    pen.polygon([(148, 56), (160, 48), (164, 55), (153, 63)], (60, 40, 30))
    for x, y, r in ((80, 92, 15), (95, 85, 11.5)):
        pen.disc(x, y, r, dark(tones[0], 0.6))
        pen.disc(x, y, r - 1.6, tones[0])
    pen.disc(90, 87, 5, (40, 28, 24))
    pen.line([(74, 95), (152, 59)], (236, 232, 220), 1)
    right, left = [(87, 60), (73, 79), (85, 88 + 9 * strum)], [(109, 60), (132, 82), fret]
    for shoulder, elbow, hand in (right, left):
        bone(pen, [elbow, hand], who["shirt"] if who["sleeves"] else who["skin"], 5.4)
        bone(pen, [shoulder, elbow], dark(who["shirt"], 0.94), 6.8)
        pen.disc(*hand, 3.8, who["skin"])


def violin_playing(pen, people, tones, u):
    """With long strokes of the bow."""
    draw, sway = np.cos(TURN * u), 2 * np.sin(TURN * u)
    neck, who, varnish = (92 + sway, 52), people[0], (172, 88, 44)
    scroll, chin = (132 + sway, 62), (102 + sway, 54)
    grip = (92 + sway - 12 - 11 * draw, 68 + 12 * draw)
    hands, feet = [grip, (132 + sway, 67)], [(84, GROUND), (106, GROUND)]
    body(pen, who, (94, 84), neck, hands, feet, 1.06, 1, (1, -1), SIDES, 0)
    pen.line([between(chin, scroll, 0.4), scroll], (70, 44, 30), 3.4)
    for part, r in ((0.08, 8), (0.36, 6.4)):
        x, y = between(chin, scroll, part)
        pen.disc(x, y, r, dark(varnish, 0.6), ry=r * 0.8)
        pen.disc(x, y, r - 1.2, varnish, ry=r * 0.8 - 1.2)
    pen.line([chin, scroll], (30, 24, 22), 1)
    tip = at(*grip, 54, -0.62)
    pen.line([grip, tip], (90, 50, 30), 1.8)
    pen.line([at(*grip, 3, -0.2), tip], (244, 240, 230), 0.9)
    pen.disc(*grip, 3.6, who["skin"])


# ----------------------------------------------------------------------------------- sports


def archery(pen, people, tones, u):
    pull = ease(u, (0, 0), (0.12, 0), (0.5, 1), (0.66, 1), (0.68, 0))
    hand = (90 - 18 * pull, 60)
    for k, colour in enumerate([WHITE, INK, (70, 150, 210), (214, 60, 54), (246, 214, 70)]):
        pen.disc(154, 66, 12 - 2.4 * k, colour, ry=24 - 4.8 * k)
    pen.line([(154, 90), (147, GROUND)], WOODEN, 3)
    feet = [(46, GROUND), (76, GROUND)]
    body(pen, people[0], (62, 86), (64, 54), [(97, 60), hand], feet, 1.08)
    pen.ring(78, 60, 20, tones[0], 3, ry=38, start=-72, end=72)
    pen.line([(85, 24), hand if pull > 0.02 else (86, 60), (85, 96)], (236, 234, 226), 1)
    arrow = [(119, 63), (152, 65)]  # in the target
    if 0.06 < u < 0.68:
        arrow = [hand, (hand[0] + 36, 60)]
    elif u < 0.8:
        x = 90 + (u - 0.68) * 240
        arrow = [(x, 60), (x + 36, 62)]
    pen.line(arrow, (250, 244, 220), 1.8)


def biking(pen, people, tones, u):
    a, wheels = TURN * u, ((62, 108), (134, 108))
    for x, y in wheels:
        pen.ring(x, y, 22, INK, 3)
        pen.ring(x, y, 19, STEEL, 1)
        for k in range(6):
            pen.line([(x, y), at(x, y, 19, a * 2 + k * np.pi / 3)], (200, 204, 210), 0.9)
    crank = (94, 110)
    feet = [at(*crank, 9, a + np.pi), at(*crank, 9, a)]
    who = people[0] | {"hair": tones[1], "long": False}  # a helmet
    body(pen, who, (82, 68), (104, 42), [(128, 66), (126, 68)], feet, 1.08)
    pen.line([wheels[0], crank, (124, 74), (84, 76), wheels[0]], tones[0], 3.6)
    pen.line([crank, (82, 72)], tones[0], 3.6)
    pen.line([wheels[1], (124, 74), (122, 66), (132, 68)], tones[0], 3.2)
    pen.line([(74, 72), (92, 72)], INK, 4)
    pen.disc(*crank, 5, STEEL)
    pen.line([feet[1], crank], INK, 2)
