"""s1m_lab: how should a network look at time? Sports-1M (CVPR 2014), rebuilt as a lab."""

import os

# OpenMP threads that spin between steps starve whatever shares the cores with them; they must be
# told to sleep before the first `import torch` of the process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What `deterministic` asks of cuBLAS. It looks once, at the first product on a GPU: after a
# training without it, another could not ask any more.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

__version__ = "0.1.0"
