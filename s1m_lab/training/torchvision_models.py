"""Networks of others behind the door of our own: torchvision's, for what a user would pick instead.

    net = strangers.build("r3d_18", classes=101, seed=0)       # random weights
    net = strangers.build("r3d_18-kinetics", classes=101)      # downloads those of Kinetics-400

`pooled` gives their last features, `fc8` is a new last layer; frames, size, crop and passes are
named as those of `models.Network`, so that `features` and `heads` take both. They see all 16 frames
of a clip, at 30 a second, 112×112 of 128×128 pixels, each colour by the mean and the spread of its
transform in torchvision. One clip costs r3d_18 some 40 billion multiplications: a GPU is advised.
"""

import torch
from torch import Tensor, nn

from s1m_lab.models import MEAN, Network

NAMES = ("r3d_18", "r3d_18-kinetics", "r2plus1d_18", "r2plus1d_18-kinetics")
NUMBERS = 512  # of the last features
SIZE, CROP = 109, 112  # frames of 128×128 are stored for a size of 109
COLOURS = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)  # mean and spread, of 0…1


def told(name: str) -> str:
    """A name as a table says it: what its weights are belongs to it."""
    known, _, trained = name.partition("-")
    return f"{known}, Kinetics-400" if trained else f"{known}, random weights"


class Stranger(nn.Module):
    """Made by `build`. Its `drop`, `dropout` and `rows` are those of `models.Network`."""

    drop = Network.drop

    def __init__(self, name: str, classes: int, body: nn.Module):
        super().__init__()
        self.name, self.classes, self.frames = name, classes, tuple(range(16))
        self.size, self.crop, self.dropout, self.rows = SIZE, CROP, 0.0, None
        self.body = body
        self.fc8 = nn.Linear(NUMBERS, classes)
        self.register_buffer("scale", torch.tensor(1 / 255))
        for key, values in zip(("mean", "spread"), COLOURS, strict=True):
            self.register_buffer(key, torch.tensor(values)[:, None, None, None])

    def pooled(self, x: Tensor) -> Tensor:
        """B×512 of x: float B×3×16×112×112, `MEAN` already subtracted."""
        return self.body(((x + MEAN) * self.scale - self.mean) / self.spread)

    def hidden(self, x: Tensor) -> Tensor:
        """It has no hidden layers of its own."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Logits B×classes."""
        return self.fc8(self.drop(self.pooled(x), layer=7))


def build(name: str, classes: int, seed: int = 0) -> Stranger:
    """A network of torchvision with a new last layer.

    Whoever names `…-kinetics` lets it download the weights that were trained on Kinetics-400 (no
    pickled code is run); else they are random, a function of `seed`. Raises ValueError for a name
    not in `NAMES`.
    """
    from torchvision.models import get_model, get_model_weights

    if name not in NAMES:
        raise ValueError(f"no network named {name!r} is taken; there are: {', '.join(NAMES)}")
    known, _, trained = name.partition("-")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = get_model(known, weights=None)
        if trained:
            known = get_model_weights(known).DEFAULT
            body.load_state_dict(known.get_state_dict(check_hash=True, weights_only=True))
        body.fc = nn.Identity()
        net = Stranger(name, classes, body)
    nn.init.normal_(net.fc8.weight, std=0.01, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(net.fc8.bias)
    return net
