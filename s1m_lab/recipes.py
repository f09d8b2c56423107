"""What a training is asked for: TrainConfig, and the recipes that fill in what it leaves open."""

from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

from s1m_lab import models, runs


class Recipe(NamedTuple):
    epochs: int
    least_steps: int  # on a small dataset, more epochs
    batch_size: int
    lr: float
    width: float
    size: int
    schedule: str  # "plateau": cut by 10 when validation stops improving; "cosine": down to 0
    warmup: int  # steps over which the rate rises
    clip_norm: float  # of the gradient; 0: not clipped
    dropout: float
    scale: float  # of the input, after 117 is subtracted
    checkpoint: int  # steps between checkpoints
    momentum: float = 0.9
    decay: float = 5e-4


RECIPES = {
    # §3.3. Silent: the factor of a cut (10), how long to wait for one (an epoch without a better
    # validation error), dropout (AlexNet's 0.5). Ten passes over 50 M example frames are the 500 M.
    "paper": Recipe(10, 0, 32, 1e-3, 1.0, 170, "plateau", 0, 0.0, 0.5, 1.0, 1000),
    # Learns to see motion in minutes on two cores. Without the clipped gradient one run in three
    # collapses at this rate; the scale brings pixels to unit variance.
    "pocket": Recipe(5, 400, 32, 0.01, 0.25, 112, "cosine", 50, 5.0, 0.0, 1 / 58, 60),
}
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class TrainConfig:
    """What a training is asked for; 0 and "" stand for the recipe's value or the default."""

    data: str = "pocket"  # a dataset's name, or a path to videos or to a table of them
    model: str = "slow"  # one of models.NAMES
    recipe: str = "pocket"
    epochs: int = 0
    batch_size: int = 0  # of the global batch, over all processes
    lr: float = 0.0
    width: float = 0.0
    size: int = 0  # side of the full-frame crop, pixels
    seed: int = 0
    run: str = ""  # the run's name
    precision: str = "auto"
    deterministic: bool = False  # on a GPU, at some cost; a CPU always is
    start: str = ""  # a run whose weights it starts from, all but the last layer's
    few: int = 0  # training videos a class; 0: all

    def __post_init__(self):
        for name, known in (
            ("model", models.NAMES),
            ("recipe", list(RECIPES)),
            ("precision", PRECISIONS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} {getattr(self, name)!r} is not one of {', '.join(known)}")
        for name in ("lr", "width"):  # 1 and 1.0 are one setting
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("epochs", "batch_size", "lr", "width", "size", "few"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} {getattr(self, name)} is below 0")
        if self.size:
            models.check_size(self.size)
        if self.run:
            runs.check_name(self.run)

    def resolved(self, clips: int = 0) -> "TrainConfig":
        """With the recipe's values in place of zeros, for that many training clips."""
        recipe = RECIPES[self.recipe]
        zeros = {
            name: value for name, value in recipe._asdict().items() if not vars(self).get(name, 1)
        }
        config = replace(self, **zeros)
        if self.epochs or not clips:
            return config
        least = ceil(recipe.least_steps / max(1, clips // config.batch_size))
        return replace(config, epochs=max(recipe.epochs, least))
