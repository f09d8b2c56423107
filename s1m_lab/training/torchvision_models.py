"""torchvision's video models behind our `Network` interface, as a user's alternative to ours.

    net = build("r3d_18", classes=101, seed=0)       # random weights
    net = build("r3d_18-kinetics", classes=101)      # downloads those of Kinetics-400

`pooled` gives their last features and `fc8` is a new last layer, so that `frozen_features` and
`top_layers` take them as they take `models.Network`. They see all 16 frames of a clip, at 30 a
second, 112×112 of 128×128 pixels, each colour standardised as in torchvision's own transform. One
clip takes r3d_18 some 40 billion multiplications: use a GPU.
"""

import torch
from torch import Tensor, nn

from s1m_lab.models import MEAN, Dropout, drop

NAMES = ("r3d_18", "r3d_18-kinetics", "r2plus1d_18", "r2plus1d_18-kinetics")
FEATURES = 512  # the last ones
SIZE, CROP = 109, 112  # frames of 128×128 are stored for a size of 109
MEAN_AND_SPREAD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)  # of colours, 0…1


def display_name(name: str) -> str:
    """A name for tables, with the origin of the weights."""
    known, _, trained = name.partition("-")
    return f"{known}, Kinetics-400" if trained else f"{known}, random weights"


class VideoNetwork(nn.Module):
    """A network of torchvision with the interface of `models.Network`; `build` makes it."""

    scale: Tensor
    mean: Tensor
    spread: Tensor

    def __init__(self, name: str, classes: int, body: nn.Module):
        super().__init__()
        self.name, self.classes, self.frames = name, classes, tuple(range(16))
        self.size, self.crop = SIZE, CROP
        self.body = body
        self.fc8 = nn.Linear(FEATURES, classes)
        self.register_buffer("scale", torch.tensor(1 / 255))
        for key, values in zip(("mean", "spread"), MEAN_AND_SPREAD, strict=True):
            self.register_buffer(key, torch.tensor(values)[:, None, None, None])

    def pooled(self, x: Tensor) -> Tensor:
        """B×512 of x: float B×3×16×112×112, `MEAN` already subtracted."""
        return self.body(((x + MEAN) * self.scale - self.mean) / self.spread)

    def hidden(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Return x: it has no hidden layers of its own."""
        return x

    def forward(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits B×classes."""
        return self.fc8(drop(self.pooled(x), 7, dropout))


def build(name: str, classes: int, seed: int = 0) -> VideoNetwork:
    """Build a network of torchvision with a new last layer.

    A name `…-kinetics` downloads the weights that were trained on Kinetics-400 (no pickled code is
    run). Otherwise the weights are random, a function of `seed`. Raises ValueError for a name not
    in `NAMES`.
    """
    from torchvision.models import get_model, get_model_weights

    if name not in NAMES:
        raise ValueError(f"no network named {name!r}; there are: {', '.join(NAMES)}")
    known, _, trained = name.partition("-")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = get_model(known, weights=None)
        if trained:
            known = get_model_weights(known).DEFAULT
            body.load_state_dict(known.get_state_dict(check_hash=True, weights_only=True))
        body.fc = nn.Identity()
        net = VideoNetwork(name, classes, body)
    nn.init.normal_(net.fc8.weight, std=0.01, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(net.fc8.bias)
    return net
