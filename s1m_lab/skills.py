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


def violin_playing(pen, people, tones, u):
    """With long strokes of the bow."""
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
