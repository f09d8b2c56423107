"""What the actors of pocket101 have learnt: instruments and sports.

Acts like those of `acts`, and drawn by the same rules.
"""

import numpy as np

from s1m_lab.actors import SIDES, STEEL, TURN, WOODEN, at, between, body, bone, ease
from s1m_lab.figures import INK, WHITE, dark
from s1m_lab.places import GROUND

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
    strum, nod = np.cos(TURN * u), 2 * np.sin(TURN * u)
    neck = (98, 54 + nod / 2)
    fret = (138 + 2 * np.sin(TURN * u * 2), 66)
    feet = [(84, GROUND), (108, GROUND)]
    body(pen, people[0], (96, 84), neck, [], feet, 1.06, 1, (1, -1), SIDES, 0)
    pen.line([(92, 86), (152, 58)], (92, 60, 40), 5)
    pen.polygon([(148, 56), (160, 48), (164, 55), (153, 63)], (60, 40, 30))
    for x, y, r in ((80, 92, 15), (95, 85, 11.5)):
        pen.disc(x, y, r, dark(tones[0], 0.6))
        pen.disc(x, y, r - 1.6, tones[0])
    pen.disc(90, 87, 5, (40, 28, 24))
    pen.line([(74, 95), (152, 59)], (236, 232, 220), 1)
    who = people[0]
    for shoulder, hand, d in (((87, 60), (85, 88 + 9 * strum), 1), ((109, 60), fret, -1)):
        elbow = (shoulder[0] - d * 14, shoulder[1] + 19) if d > 0 else (132, 82)
        bone(pen, [elbow, hand], who["shirt"] if who["sleeves"] else who["skin"], 5.4)
        bone(pen, [shoulder, elbow], dark(who["shirt"], 0.94), 6.8)
        pen.disc(*hand, 3.8, who["skin"])


def piano_playing(pen, people, tones, u):
    a, black = TURN * u, dark(tones[0], 0.3)
    sway = 3 * np.sin(a)
    pen.box(34, 100, 74, 105, (60, 44, 38), 2)
    for x in (40, 66):
        pen.box(x, 104, x + 4, 130, (60, 44, 38))
    pen.box(128, 40, 178, 130, black, 2)
    pen.box(126, 38, 180, 43, dark(tones[0], 0.4), 1)
    pen.box(106, 88, 130, 97, black, 1)
    pen.box(104, 85, 130, 89, (244, 242, 234))
    for x in range(107, 128, 5):
        pen.box(x, 85, x + 2, 87, INK)
    pen.box(110, 97, 115, 130, black)
    pen.polygon([(122, 62), (128, 42), (131, 42), (126, 64)], (246, 244, 236))
    hands = [(112 + 6 * np.cos(a), 82 - 5 * max(0.0, np.sin(2 * a))),
             (110 - 6 * np.cos(a), 82 - 5 * max(0.0, -np.sin(2 * a)))]  # fmt: skip
    body(pen, people[0], (58, 96), (70 + sway, 62), hands, [(100, GROUND), (92, GROUND)], 1.08)


def violin_playing(pen, people, tones, u):
    """With long strokes of the bow where it goes slowly; a fiddler's where it goes fast."""
    draw, sway = np.cos(TURN * u), 2 * np.sin(TURN * u)
    neck, who, varnish = (92 + sway, 52), people[0], (172, 88, 44)
    scroll, chin = (132 + sway, 62), (102 + sway, 54)
    grip = (92 + sway - 12 - 11 * draw, 68 + 12 * draw)
    body(pen, who, (94, 84), neck, [grip, (132 + sway, 67)], [(84, GROUND), (106, GROUND)], 1.06, 1,
         (1, -1), SIDES, 0)  # fmt: skip
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
    hold, neck = (97, 60), (64, 54)
    hand = (90 - 18 * pull, 60)
    for k, colour in enumerate([WHITE, INK, (70, 150, 210), (214, 60, 54), (246, 214, 70)]):
        pen.disc(154, 66, 12 - 2.4 * k, colour, ry=24 - 4.8 * k)
    pen.line([(154, 90), (147, GROUND)], WOODEN, 3)
    feet = [(46, GROUND), (76, GROUND)]
    body(pen, people[0], (62, 86), neck, [hold, hand], feet, 1.08)
    pen.ring(78, 60, 20, tones[0], 3, ry=38, start=-72, end=72)
    top, bottom = (85, 24), (85, 96)
    pen.line([top, hand if pull > 0.02 else (86, 60), bottom], (236, 234, 226), 1)
    if 0.06 < u < 0.68:
        pen.line([hand, (hand[0] + 36, 60)], (250, 244, 220), 1.8)
    elif u < 0.8:
        x = 90 + (u - 0.68) * 240
        pen.line([(x, 60), (x + 36, 62)], (250, 244, 220), 1.8)
    else:
        pen.line([(119, 63), (152, 65)], (250, 244, 220), 1.8)


def biking(pen, people, tones, u):
    a, wheels = TURN * u, ((62, 108), (134, 108))
    for x, y in wheels:
        pen.ring(x, y, 22, INK, 3)
        pen.ring(x, y, 19, STEEL, 1)
        for k in range(6):
            pen.line([(x, y), at(x, y, 19, a * 2 + k * np.pi / 3)], (200, 204, 210), 0.9)
    crank = (94, 110)
    pedals = [at(*crank, 9, a), at(*crank, 9, a + np.pi)]
    who = people[0]
    frame = [wheels[0], crank, (124, 74), (84, 76), wheels[0]]
    hip, neck = (82, 68), (104, 42)
    helmet = {"hair": tones[1], "long": False}
    body(
        pen,
        who | helmet,
        hip,
        neck,
        [(128, 66), (126, 68)],
        [pedals[1], pedals[1]][:1] + [pedals[0]],
        1.08,
    )
    pen.line(frame, tones[0], 3.6)
    pen.line([crank, (82, 72)], tones[0], 3.6)
    pen.line([wheels[1], (124, 74), (122, 66), (132, 68)], tones[0], 3.2)
    pen.line([(74, 72), (92, 72)], INK, 4)
    pen.disc(*crank, 5, STEEL)
    pen.line([pedals[0], crank], INK, 2)


def lifting(pen, people, tones, u):
    high = ease(u, (0, 0), (0.1, 0), (0.28, 1), (0.45, 1), (0.58, 2), (0.82, 2))
    up = min(high, 1)
    crouch = 24 * (1 - up) + 8 * np.exp(-(((u - 0.45) / 0.05) ** 2))
    hip, neck = (96, 86 + crouch), (96, 54 + crouch)
    bar = 116 - 54 * up if high <= 1 else 62 - 42 * (high - 1)
    feet = [(80, GROUND + 2), (112, GROUND + 2)]
    hands = [(72, bar), (120, bar)]
    body(pen, people[0] | {"sleeves": False}, hip, neck, hands, feet, 1.08, 1, (1, -1), SIDES, 0)
    pen.line([(38, bar), (154, bar)], STEEL, 3)
    for x in (46, 146):
        for k, r in ((0, 19), (1, 15)):
            plate = x + np.sign(x - 96) * 5 * k
            pen.box(plate - 3, bar - r, plate + 3, bar + r, tones[k], 2)
    for x, y in hands:
        pen.disc(x, y, 3.8, people[0]["skin"])


def fencing(pen, people, tones, u):
    suit = {"shirt": (240, 240, 236), "trousers": (226, 226, 222), "mask": (90, 94, 104)}
    suit |= {"sleeves": True, "long": False, "shoes": tones[0]}
    lunge = ease(u, (0, 0), (0.2, 1), (0.32, 1), (0.5, 0))
    back = ease(u, (0, 0), (0.22, 1), (0.5, 0.5), (0.7, 0))
    x = 52 + 8 * np.sin(TURN * u) + 12 * lunge
    hand = (x + 24 + 12 * lunge, 70 - 2 * lunge)
    feet = [(x - 16, GROUND), (x + 20 + 14 * lunge, GROUND)]
    body(
        pen,
        people[0] | suit,
        (x, 92 + 4 * lunge),
        (x + 4 + 6 * lunge, 62 + 4 * lunge),
        [(x - 18, 62), hand],
        feet,
    )
    pen.line(
        [hand, at(*hand, 42, -0.08 + 0.3 * (1 - lunge) * np.sin(2 * TURN * u))],
        (236, 240, 244),
        1.5,
    )
    pen.disc(*hand, 4.4, tones[0])
    x = 192 - 44 + 9 * back
    hand = (x - 24, 70 - 6 * lunge)
    body(pen, people[1] | suit | {"shoes": tones[1]}, (x, 92), (x - 4, 62), [(x + 18, 62), hand],
         [(x + 16, GROUND), (x - 20, GROUND)], elbows=(-1, -1), knees=(1, 1), face=-1)  # fmt: skip
    pen.line([hand, at(*hand, 42, np.pi - 0.1 + 0.7 * lunge)], (236, 240, 244), 1.5)
    pen.disc(*hand, 4.4, tones[1])


def golf_swing(pen, people, tones, u):
    angle = ease(
        u, (0, 1.75), (0.15, 1.75), (0.5, 5.2), (0.56, 5.2), (0.66, 1.6), (0.78, -1.9), (0.92, -1.9)
    )
    turn = np.cos(angle - np.pi / 2)
    neck = (92, 55)
    grip = at(neck[0], neck[1] + 8, 28, angle)
    grip = (grip[0] + 2, grip[1])
    tip = at(*grip, 40, angle + 0.12)
    hands = [grip, (grip[0] + 2, grip[1] + 3)]
    hip = (88 + 4 * np.sin(angle) * (u > 0.56), 87)
    body(
        pen,
        people[0],
        hip,
        neck,
        hands,
        [(76, GROUND), (104, GROUND)],
        1.06,
        1,
        (1, -1),
        SIDES,
        0 if turn > 0 else 1,
    )
    pen.line([grip, tip], STEEL, 1.8)
    pen.line([tip, at(*tip, 7, angle - np.pi / 2)], (60, 64, 72), 4.4)
    gone = max(0.0, u - 0.67) / 0.1
    ball = (90 + 9 + 90 * gone, GROUND + 4 - 70 * gone) if u > 0.67 else (99, GROUND + 4)
    pen.disc(*ball, 2.6, WHITE)


def rowing(pen, people, tones, u):
    drive = np.cos(TURN * u)  # 1: legs straight, at the end of the stroke
    seat = (90 - 15 * drive, 92)
    neck = (seat[0] + 6 - 15 * drive, 63 + 3 * drive)
    hand = (neck[0] + 30 - 10 * drive, 84 - 3 * np.sin(TURN * u))
    dip = 8 * np.sin(TURN * u)
    pen.polygon([(6, 98), (186, 98), (164, 110), (28, 110)], tones[0])
    pen.polygon([(6, 98), (186, 98), (184, 101), (10, 101)], dark(tones[0], 0.7))
    body(pen, people[0], seat, neck, [(hand[0], hand[1] - 2), hand], [(133, 95), (130, 96)], 1.04)
    blade = (102 + 44 * drive, 118 + dip)
    pen.line([hand, (110, 95), blade], (226, 200, 150), 2.6)
    tip = at(*blade, 17, np.arctan2(blade[1] - 95, blade[0] - 110))
    pen.line([blade, tip], tones[1], 6.5)
    if dip > 0:
        for k in range(3):
            pen.ring(tip[0], 128, 6 + 5 * k, (226, 240, 246), 1, ry=1.6 + k)
    for k in range(4):
        pen.line([(20 + 42 * k, 113 + k % 2), (44 + 42 * k, 113 + k % 2)], (214, 232, 240), 1.4)
