"""s1m_lab: how should a network look at time? Sports-1M (CVPR 2014), rebuilt as a lab."""

import os

# OpenMP threads that spin on between steps starve whatever shares the cores with them, and those
# that sleep at once cost a tenth of a step to wake: libgomp, which PyTorch brings on Linux, is told
# to spin 2,000 turns first, others to sleep. They look once, at the first `import torch`.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
# What `deterministic` asks of cuBLAS. It looks once, at the first product on a GPU: after a
# training without it, another could not ask any more.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

__version__ = "0.1.0"
