"""Any network by its name: one of the paper's sixteen, or one of torchvision's to compare with.

names()                                   # all that `TrainConfig(model=…)` takes
net = build("r3d_18", classes=16)         # or "slow", "single-multires", …
"""

from s1m_lab import models
from s1m_lab.training import torchvision_models


def names() -> list[str]:
    """The names of `models.NAMES`, then those of torchvision's networks."""
    return [*models.NAMES, *torchvision_models.NAMES]


def build(name: str, classes: int = 487, width: float = 1.0, size: int = 170, seed: int = 0):
    """Build a network with random weights, a function of `seed`.

    torchvision's have one width and one size, whatever is given. Raises ValueError as
    `models.build` does.
    """
    if name in torchvision_models.NAMES:
        return torchvision_models.build(name, classes, seed)
    return models.build(name, classes, width, size, seed)


def summary(net):
    """Tabulate the layers of any network: see `models.summary`."""
    own = models if isinstance(net, models.Network) else torchvision_models
    return own.summary(net)
