"""Which errors say that memory ran out."""

from __future__ import annotations

import pytest
import torch

from paft.models.memory import is_out_of_memory


def test_what_torch_says_here():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    ("error", "out"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.1 GB)"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:97] data. DefaultCPUAllocator: not enough memory"), True),
        (MemoryError("Unable to allocate 3.00 TiB for an array"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("expected input to be in channels_last memory format"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_other_errors_speak_of_memory_too(error, out):
    assert is_out_of_memory(error) is out
