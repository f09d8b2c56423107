"""Draw what `analysis` found, in one style. A topic is a module: `figures.confusion`."""

import importlib


def __getattr__(name: str):
    """A module of this folder, imported when it is first used."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error
