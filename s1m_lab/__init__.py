"""s1m_lab: how should a network look at time? Sports-1M (CVPR 2014), rebuilt as a lab.

from s1m_lab import TrainConfig, prepare, train
prepare("pocket")                                   # the dataset, rendered and cut into clips
run = train(TrainConfig(data="pocket", model="slow"))
run.results["video_hit1"]
"""

import importlib
import os

# Between steps, OpenMP threads that spin starve other work on the cores, and threads that sleep at
# once cost a tenth of a step to wake. So libgomp, which PyTorch brings on Linux, spins 2,000 turns
# and then sleeps. Other libraries sleep. They read this once, at the first `import torch`.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# `deterministic` needs this of cuBLAS, which reads it once, at the first product on a GPU: set
# later, it would have no effect in a process that has already trained.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

__version__ = "0.1.0"

# The public functions and the module that holds each; a module is imported when it is first used.
_PUBLIC = {
    "build": "training.networks",
    "prepare": "data.ingest.prepare",
    "load_statuses": "data.ingest.prepare",
    "load_catalog": "data.catalog",
    "read_folder": "data.folder_reader",
    "read_table": "data.table_reader",
    "read_sports1m": "data.sports1m",
    "read_ucf101": "data.ucf101",
    "Shards": "data.shards",
    "TrainConfig": "training.config",
    "Trainer": "training.train",
    "train": "training.train",
    "find_or_train": "training.train",
    "Tuning": "training.finetune",
    "tune_all": "training.finetune",
    "load_run": "training.runs",
    "load_predictions": "training.predict",
    "predict_videos": "training.label_videos",
    "collect": "analysis.evidence",
}
__all__ = list(_PUBLIC)


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
