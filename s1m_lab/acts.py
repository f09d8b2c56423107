"""What the actors of pocket101 do at home and in the gym, alone and with each other.

An act is a function `(pen, people, tones, u)`: the two people and two colours that a group has, and
the moment `u` in [0, 1) of a motion that goes round without end. All face right.
"""

import numpy as np

from s1m_lab.actors import SIDES, STEEL, TURN, WOODEN, at, between, body, bone, ease, head
from s1m_lab.figures import INK, dark
from s1m_lab.places import GROUND

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
    high = high if high > 0 else high * 1.35

    def rope():
        start, end = (0, 180) if high > 0 else (180, 360)
        pen.ring(96, y, 35, tones[0], 2.4, ry=max(abs(high), 2), start=start, end=end)

    rope() if np.sin(turn) < 0 else None
    hands = [(66, y + 3 * np.sin(turn)), (126, y + 3 * np.sin(turn))]
    feet = [(89, GROUND - 2 - hop), (103, GROUND - 2 - hop)]
    body(pen, people[0], (96, 86 - hop), (96, 54 - hop), hands, feet, 1.04, 1, SIDES, SIDES, 0)
    rope() if np.sin(turn) >= 0 else None
    for x, _ in hands:
        pen.disc(x, y, 3, dark(tones[0], 0.7))


def mopping(pen, people, tones, u):
    push = np.cos(TURN * u)
    foot = (140 + 26 * push, GROUND + 4)
    top = (82 + 10 * push, 42)
    near, far = between(top, foot, 0.42), between(top, foot, 0.12)
    pen.line([top, foot], WOODEN, 3)
    cloth = [(foot[0] + x, foot[1] + y) for x, y in ((-17, 4), (-5, -9), (5, -9), (17, 4))]
    pen.polygon(cloth, (232, 230, 220))
    for k in range(-3, 4):
        pen.line(
            [foot, (foot[0] + 5 * k - 3 * np.sin(TURN * u), foot[1] + 4)], (190, 190, 184), 1.4
        )
    hip, neck = (62 + 6 * push, 86), (78 + 9 * push, 57)
    body(pen, people[0], hip, neck, [far, near], [(50, GROUND), (76, GROUND)], 1.06)
    pen.polygon([(20, 104), (46, 104), (42, 132), (24, 132)], tones[0])
    pen.disc(33, 104, 13, dark(tones[0], 0.6), ry=3.4)


# ------------------------------------------------------------------------------ the body alone


def push_ups(pen, people, tones, u):
    low = 0.5 - 0.5 * np.cos(TURN * u)
    pen.polygon([(14, 136), (26, 124), (176, 124), (182, 136)], tones[0])
    neck, toes = (138, 92 + 20 * low), (34, 122)
    hip = between(neck, toes, 0.4)
    hip = (hip[0] - 2, hip[1] + 1)
    hands = [(136, 124), (132, 128)]
    body(
        pen,
        people[0],
        hip,
        neck,
        hands,
        [toes, (toes[0] - 3, 126)],
        1.2,
        knees=(1, 1),
        elbows=(1, 1),
    )


def handstand_push_ups(pen, people, tones, u):
    low = 0.5 - 0.5 * np.cos(TURN * u)
    neck = (96, 94 + 14 * low)
    hip = (96, neck[1] - 33)
    feet = [(90, hip[1] - 45), (102, hip[1] - 45)]
    pen.box(60, 126, 132, 132, tones[0], 2)
    body(pen, people[0], hip, neck, [(122, 127), (70, 127)], feet, 1.06, 1, (-1, 1), (-1, 1), None)


def strolling(pen, people, tones, u):
    a = TURN * u
    feet, hands = [], []
    for k in (0, 1):
        b = a + np.pi * k
        feet.append((96 + 20 * np.cos(b), GROUND - 2 - 9 * max(0.0, -np.sin(b))))
        hands.append((99 - 17 * np.cos(b), 84 - 4 * abs(np.cos(b))))
    bob = 2 * abs(np.sin(a))
    body(pen, people[0], (96, 86 - bob), (99, 54 - bob), hands, feet, 1.04)


# --------------------------------------------------------------------------- with each other


def hair_cutting(pen, people, tones, u):
    snip, way = abs(np.sin(2 * TURN * u)), np.cos(TURN * u)
    barber, client = people[0], people[1] | {"long": False}
    near = (110 + 5 * way, 47 - 4 * np.sin(TURN * u))
    pen.box(76, 116, 118, 122, STEEL)
    pen.box(92, 120, 102, 138, STEEL)
    body(pen, barber, (126, 82), (124, 44), [(82, 52 + 2 * way), near], [(118, 132), (136, 132)],
         1.1, 1, (1, 1), SIDES, 0, behind=True)  # fmt: skip
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
    him, her = (
        people[0] | {"long": False},
        people[1] | {"long": True, "shirt": tones[0], "sleeves": False},
    )
    step = 4 * np.sin(2 * a)
    joined = (98, 22 + 2 * np.sin(2 * a))
    wide, face = abs(np.cos(a)), (0 if np.cos(a) > 0.4 else None if np.cos(a) < -0.4 else 1)
    body(
        pen,
        him,
        (66 + step, 84),
        (67, 50),
        [(44, 70 + step), joined],
        [(56, GROUND), (78 + step, GROUND)],
        1.1,
    )
    hip, neck = (124, 86), (124, 55)
    free = (124 + 26 * np.cos(a), 72 + 5 * np.sin(a))
    hands = [joined, free] if np.cos(a) > 0 else [free, joined]
    hands = [joined, (max(free[0], 128), free[1])] if wide > 0.5 else hands
    feet, her["trousers"] = [(118 - step / 2, GROUND), (131 + step / 2, GROUND)], her["skin"]
    body(pen, her, hip, neck, hands, feet, 1.0, max(wide, 0.51), (-1, 1), SIDES, face)
    flare = 20 + 5 * abs(np.sin(a))
    lag = 5 * np.sin(a)
    pen.polygon(
        [(117, 76), (131, 76), (124 + flare + lag, 110), (124 - flare + lag, 110)], tones[0]
    )
    for k in (-1, 0, 1):
        pen.line(
            [(124 + 3 * k, 80), (124 + lag + (12 * k + 9 * np.sin(a)), 109)],
            dark(tones[0], 0.8),
            1.6,
        )
