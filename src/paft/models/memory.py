"""Whether an error says that there was too little memory: the one place that knows the words for it."""

from __future__ import annotations

import torch

# CUDA, ROCm, MPS and XPU; torch's allocator on Linux and on Windows; cuBLAS
SAYINGS = ("out of memory", "can't allocate memory", "not enough memory", "_STATUS_ALLOC_FAILED")


def is_out_of_memory(bad: BaseException) -> bool:
    """True where memory ran out; not for other errors that speak of memory, such as an illegal access to it."""
    if isinstance(bad, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(bad, RuntimeError) and any(saying in str(bad) for saying in SAYINGS)
