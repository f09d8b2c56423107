"""The paper's numbers: its four tables, and what its networks weighed and how fast they were.

Karpathy, Toderici, Shetty, Leung, Sukthankar, Fei-Fei: *Large-scale Video Classification with
Convolutional Neural Networks*, CVPR 2014. Numbers are copied from its pages; those marked
"computed" follow from what it prints.
"""

from math import nan

# The rows of Table 1 in the paper's order, with its names. Our other networks need no entry.
ROWS = {
    "histograms": "Feature histograms + neural net",
    "single": "Single-frame",
    "single-multires": "Single-frame + multires",
    "single-fovea": "Single-frame, fovea only",
    "single-context": "Single-frame, context only",
    "early": "Early fusion",
    "late": "Late fusion",
    "slow": "Slow fusion",
    "average": "CNN average",
}
MEMBERS = ("single", "early", "late", "slow")  # of the CNN average

# Table 1: clip Hit@1, video Hit@1 and video Hit@5 on the Sports-1M test set, %.
TABLE_1 = {
    "histograms": (nan, 55.3, nan),
    "single": (41.1, 59.3, 77.7),
    "single-multires": (42.4, 60.0, 78.5),
    "single-fovea": (30.0, 49.9, 72.8),
    "single-context": (38.1, 56.0, 77.2),
    "early": (38.9, 57.7, 76.8),
    "late": (40.7, 59.3, 78.7),
    "slow": (41.9, 60.9, 80.2),
    "average": (41.4, 63.9, 82.4),
}
# Weights with 487 classes, in millions (computed).
PARAMETERS = {
    "single": 73.9,
    "single-multires": 129.0,
    "single-fovea": 73.9,
    "single-context": 73.9,
    "early": 74.2,
    "late": 125.3,
    "slow": 75.5,
}
# §3.3: clips/s of one of its replicas in training; there were 10 to 50.
CLIPS_PER_SECOND = {"single": 6, "single-multires": 21, "slow": 5, "slow-multires": 10}
REPLICAS = (10, 50)
# Table 2: average precision of slow fusion minus that of a single frame, for the ten classes at
# either end; names as in labels.txt.
TABLE_2 = {
    "juggling club": 0.12,
    "pole climbing (gymnastic)": 0.10,
    "mountain unicycling": 0.08,
    "tricking": 0.07,
    "footbag": 0.07,
    "skipping rope": 0.06,
    "rope climbing": 0.06,
    "slacklining": 0.05,
    "tee ball": 0.05,
    "sheepdog trial": 0.05,
    "short track motor racing": -0.07,
    "road racing": -0.07,
    "jeet kune do": -0.07,
    "paintball": -0.06,
    "freeride": -0.06,
    "cricket": -0.06,
    "wrestling": -0.06,
    "modern pentathlon": -0.06,
    "krav maga": -0.06,
    "rallycross": -0.05,
}
# Table 3: Hit@1 on UCF-101, mean of three folds, %. The last four are slow fusion by what was
# retrained. The abstract's 63.3 is in no table.
TABLE_3 = {
    "Soomro et al.": 43.9,
    "Feature histograms + neural net": 59.0,
    "scratch": 41.3,
    "top": 64.1,
    "top3": 65.4,
    "all": 62.2,
}
RETRAINED = ("scratch", "top", "top3", "all")
# Table 4: mean average precision on UCF-101 by group of classes; "all" is over its 101 classes.
TABLE_4 = {
    "Human-Object Interaction": {"scratch": 0.26, "top3": 0.55, "top": 0.52},
    "Body-Motion Only": {"scratch": 0.32, "top3": 0.57, "top": 0.52},
    "Human-Human Interaction": {"scratch": 0.40, "top3": 0.68, "top": 0.65},
    "Playing Musical Instruments": {"scratch": 0.42, "top3": 0.65, "top": 0.46},
    "Sports": {"scratch": 0.57, "top3": 0.79, "top": 0.80},
    "all": {"scratch": 0.44, "top3": 0.68, "top": 0.66},
}
