"""torchvision's video models behind our `Network` interface, as a user's alternative to ours.

    net = build("r3d_18", classes=101, seed=0)       # random weights
    net = build("r3d_18-kinetics", classes=101)      # the same network,
    load_published(net)                              # with the weights of Kinetics-400

`pooled` gives their last features and `fc8` is a new last layer, so that `train`, `frozen_features`
and `top_layers` take them as they take `models.Network`. They see all 16 frames of a clip, at 30 a
second, 112×112 of 128×128 pixels, each colour standardised as in torchvision's own transform. One
clip takes r3d_18 some 40 billion multiplications: use a GPU.
"""

from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn

from s1m_lab.models import MEAN, Dropout, drop

NAMES = tuple(f"{n}{end}" for n in ("r3d_18", "mc3_18", "r2plus1d_18") for end in ("", "-kinetics"))
FEATURES = 512  # the last ones
SIZE, CROP = 109, 112  # frames of 128×128 are stored for a size of 109
FIXED = {"width": 1.0, "size": SIZE}  # settings that all of them have
MEAN_AND_SPREAD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)  # of colours, 0…1


def is_published(name: str) -> bool:
    """Whether a network of that name starts from published weights."""
    return name in NAMES and name.endswith("-kinetics")


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
        self.width, self.size, self.crop = FIXED["width"], SIZE, CROP
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
    """Build a network of torchvision with a new last layer and random weights, those of `seed`.

    Raises ValueError for a name not in `NAMES`.
    """
    from torchvision.models import get_model

    if name not in NAMES:
        raise ValueError(f"no network named {name!r}; there are: {', '.join(NAMES)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = get_model(name.partition("-")[0], weights=None)
        body.fc = nn.Identity()
        net = VideoNetwork(name, classes, body)
    nn.init.normal_(net.fc8.weight, std=0.01, generator=torch.Generator().manual_seed(seed))
    nn.init.zeros_(net.fc8.bias)
    return net


def load_published(net: VideoNetwork) -> None:
    """Load the weights of Kinetics-400 below the last layer: torch hub's, or downloaded to there.

    No pickled code is run. Raises OSError, which says what to put where, if there are none.
    """
    from torchvision.models import get_model_weights

    published = get_model_weights(net.name.partition("-")[0]).DEFAULT
    file = Path(torch.hub.get_dir(), "checkpoints", published.url.rpartition("/")[2])
    try:
        weights = published.get_state_dict(check_hash=True, weights_only=True)
        net.body.load_state_dict({k: v for k, v in weights.items() if not k.startswith("fc.")})
    except Exception as error:  # no network, or a file that is something else
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OSError(
            f"the weights of {net.name} could not be loaded ({why}); download {published.url} "
            f"elsewhere and put it at {file}"
        ) from None


def summary(net: VideoNetwork):
    """As `models.summary`: columns `layer`, `shape` (of one clip) and `parameters`."""
    import pandas as pd

    body = deepcopy(net.body).to("meta")  # computes shapes and nothing else
    x = torch.empty(1, 3, len(net.frames), net.crop, net.crop, device="meta")
    rows = [("frame (input)", x, 0)]
    for layer in ("stem", "layer1", "layer2", "layer3", "layer4"):
        module = getattr(body, layer)
        x = module(x)  # B×C×T×H×W
        rows.append((layer, x, sum(p.numel() for p in module.parameters())))
    shapes = [(layer, "×".join(map(str, x[0].movedim(1, 0).shape)), n) for layer, x, n in rows]
    shapes.append(("fc8", str(net.classes), sum(p.numel() for p in net.fc8.parameters())))
    return pd.DataFrame(shapes, columns=["layer", "shape", "parameters"])
