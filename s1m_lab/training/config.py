"""The settings of a training: TrainConfig, and the recipes that fill in its zeros.

TrainConfig(model="late", epochs=3).resolved()     # the recipe's values in place of zeros
RECIPES["paper"].lr
"""

import difflib
from dataclasses import dataclass, field, replace
from math import ceil
from typing import NamedTuple

from s1m_lab import models
from s1m_lab.training import networks, runs, torchvision_models


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
    # §3.3. The paper is silent on the factor of a cut (here 10), the wait for one (here an epoch
    # without a better validation error) and dropout (here AlexNet's 0.5). Ten passes over 50 M
    # example frames are its 500 M.
    "paper": Recipe(10, 0, 32, 1e-3, 1.0, 170, "plateau", 0, 0.0, 0.5, 1.0, 1000),
    # Learns to see motion in minutes on two cores. Without the clipped gradient one run in three
    # collapses at this rate; the scale brings pixels to unit variance.
    "pocket": Recipe(5, 400, 32, 0.01, 0.25, 112, "cosine", 50, 5.0, 0.0, 1 / 58, 60),
}
LARGE = 1e38  # float32 holds no much larger number
PRECISIONS = ("auto", "fp32", "bf16")


def _setting(default, text: str):
    """A setting with the text that `python -m s1m_lab train --help` prints for it."""
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a training; 0 and "" stand for the recipe's value or the default."""

    data: str = _setting("pocket", "a dataset's name, or a path to videos or to a table of them")
    model: str = _setting(
        "slow",
        f"{', '.join(models.FUSIONS)}, alone or with -multires, -fovea or -context; torchvision's "
        "r3d_18, mc3_18, r2plus1d_18, or with -kinetics, which downloads weights",
    )
    recipe: str = _setting("pocket", "pocket learns in minutes, paper does as printed")
    epochs: int = _setting(0, "passes over the training clips (0: the recipe's)")
    batch_size: int = _setting(0, "clips a step, over all processes (0: the recipe's)")
    lr: float = _setting(0.0, "learning rate (0: the recipe's)")
    width: float = _setting(0.0, "of every layer, 1 is the paper's (0: the recipe's)")
    size: int = _setting(0, "side of the full-frame crop, pixels (0: the recipe's)")
    seed: int = _setting(0, "governs start, order, crops and dropout, never the dataset")
    run: str = _setting("", "the run's name (default: made from the settings)")
    precision: str = _setting("auto", ", ".join(PRECISIONS))
    deterministic: bool = _setting(
        False, "the same bits on a GPU too, at some cost; a CPU always is"
    )
    start: str = _setting("", "a run whose weights it starts from, all but the last layer's")
    few: int = _setting(0, "training videos a class (0: all)")

    def __post_init__(self):
        for name, known in (
            ("model", networks.names()),
            ("recipe", list(RECIPES)),
            ("precision", PRECISIONS),
        ):
            if (value := getattr(self, name)) not in known:
                (near,) = difflib.get_close_matches(str(value), known, n=1, cutoff=0)
                raise ValueError(
                    f"{name} cannot be {value!r}; the nearest is {near!r} "
                    f"(it may be: {', '.join(known)})"
                )
        for name in ("lr", "width"):  # 1 and 1.0 are one setting
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("epochs", "batch_size", "lr", "width", "size", "few"):
            if not 0 <= (value := getattr(self, name)) < LARGE:
                raise ValueError(f"{name} is {value}; it must be 0 or a number above 0")
        if self.model in torchvision_models.NAMES:
            for name, fixed in torchvision_models.FIXED.items():
                if (value := getattr(self, name)) not in (0, fixed):
                    raise ValueError(f"{name} {value}: {self.model} has one {name}; leave it at 0")
        elif self.size:
            models.check_size(self.size)
        if self.run:
            runs.check_name(self.run)

    def resolved(self, clips: int = 0) -> "TrainConfig":
        """With the recipe's values in place of zeros, for that many training clips."""
        recipe = RECIPES[self.recipe]
        values = recipe._asdict()
        if self.model in torchvision_models.NAMES:
            values |= torchvision_models.FIXED
        zeros = {name: value for name, value in values.items() if not vars(self).get(name, 1)}
        config = replace(self, **zeros)
        if self.epochs or not clips:
            return config
        least = ceil(recipe.least_steps / max(1, clips // config.batch_size))
        return replace(config, epochs=max(recipe.epochs, least))


def unlike_defaults(settings: dict) -> dict:
    """The parameters in which the settings of a run differ from the defaults, its recipe's too."""
    defaults = vars(TrainConfig()) | RECIPES[settings["recipe"]]._asdict()
    names = [name for name in vars(TrainConfig()) if name in settings]
    return {name: settings[name] for name in names if settings[name] != defaults[name]}
