"""What the speed benchmarks share: taking turns between processes, the machine in general terms, and tables."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
CTX = multiprocessing.get_context("spawn")


def shared_data() -> Path | None:
    """The folder of real data beside a checkout, or None; ``PAFT_SHARED_DATA`` names another."""
    folder = Path(os.environ.get("PAFT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    return folder if folder.is_dir() else None


COUNTED = {"cpu": 1, "cuda": 0}  # which of a clock's seconds a comparison counts on a device
KINDS = {"cpu": "processor seconds", "cuda": "wall seconds, the GPU's work done"}


ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 26)}


def keep_freed_memory() -> None:
    """Start this script anew with an allocator that keeps what is freed (glibc; others take no notice).

    Else the kernel hands out fresh pages for every large tensor, which costs the side with the largest ones most: up
    to half of its time, by machine.
    """
    if not ALLOCATOR.items() <= os.environ.items():
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **ALLOCATOR})


def forward_flops(sizes: Mapping[str, int], tokens: int, attended: int, wanted: int) -> float:
    """Operations of a Llama's forward pass that cannot be left out.

    Args:
        sizes: the fields of its configuration.
        tokens: how many run.
        attended: how many tokens they attend to, over all.
        wanted: how many have logits that are wanted; of the last layer only those need more than keys and values.
    """
    width, layers = sizes["hidden_size"], sizes["num_hidden_layers"]
    keys = 2 * width * (width // sizes["num_attention_heads"]) * sizes["num_key_value_heads"]
    rest = 2 * width**2 + 3 * width * sizes["intermediate_size"]
    products = tokens * ((layers - 1) * (keys + rest) + keys) + wanted * (rest + width * sizes["vocab_size"])
    return 2.0 * products + 4.0 * width * attended * (layers - 1)


class Clock:
    """Wall and processor seconds since it was made; the second leaves out what other programs took.

    On a GPU its work is waited for, at the start and whenever the clock is read.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._wait()
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        """(wall, processor) seconds."""
        self._wait()
        return time.perf_counter() - self.wall, time.process_time() - self.cpu

    def _wait(self) -> None:
        if self.device == "cuda":
            import torch

            torch.cuda.synchronize()


class Side:
    """One of the programs that are compared, in a process of its own that works only when it is its turn."""

    def __init__(self, name: str, target: Callable[..., None], *args: Any) -> None:
        self.name = name
        self.pipe, theirs = CTX.Pipe()
        self.process = CTX.Process(target=target, args=(theirs, name, *args), daemon=True)
        self.process.start()
        theirs.close()

    def receive(self) -> Any:
        """The next message; a process that died says so."""
        try:
            return self.pipe.recv()
        except EOFError:
            raise SystemExit(f"{self.name}: its process ended, see its traceback above") from None

    def turn(self) -> Any:
        """Let it work on one round; returns what it says at the end."""
        self.pipe.send("go")
        return self.receive()

    def end(self) -> None:
        """Stop its process and free what it holds."""
        self.process.terminate()
        self.process.join()


def wait_for_turn(pipe: Connection, device: str = "cpu") -> Clock:
    """In a side's process: wait for the turn, then start the clock."""
    pipe.recv()
    return Clock(device)


def gpu_bytes(device: str) -> int:
    """The most GPU memory this process has held; 0 on a CPU."""
    import torch

    return torch.cuda.max_memory_allocated() if device == "cuda" else 0


def take_turns(sides: Sequence[Side], rounds: int) -> dict[str, list[Any]]:
    """Each side's answer to each round; the first to go is another one in every round."""
    out: dict[str, list[Any]] = {side.name: [] for side in sides}
    for index in range(rounds):
        first = index % len(sides)
        for side in [*sides[first:], *sides[:first]]:
            out[side.name].append(side.turn())
    return out


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    kept = sorted(values)
    return {"median": statistics.median(kept), "low": kept[0], "high": kept[-1]}


def shown(values: Mapping[str, float], digits: int = 2) -> str:
    """``median (low-high)``."""
    return f"{values['median']:.{digits}f} ({values['low']:.{digits}f}-{values['high']:.{digits}f})"


def matmul_peak(dtype: str, seconds: float = 1.0, device: str = "cpu") -> float:
    """The most floating-point operations a second reached in square products (GFLOP/s); of one thread on a CPU."""
    import torch

    best = 0.0
    for size in (512, 1024, 2048) if device == "cpu" else (4096, 8192):
        a, b = (torch.randn(size, size, dtype=getattr(torch, dtype), device=device) for _ in range(2))
        end = time.perf_counter() + seconds / 3
        while time.perf_counter() < end:
            clock = Clock(device)
            a @ b
            best = max(best, 2 * size**3 / clock.read()[COUNTED[device]] / 1e9)
    return best


def machine() -> dict[str, Any]:
    """Processor, cores, threads and versions; nothing that names the machine."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    capability = torch.backends.cpu.get_cpu_capability()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    found: dict[str, Any] = {"gpu": gpu, "cpu": model, "cores": os.cpu_count(), "instructions": capability}
    found |= {"threads": torch.get_num_threads(), "python": platform.python_version()}
    for package in ("torch", "transformers", "peft", "trl", "lm_eval", "flash_attn", "vllm"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def write_results(name: str, results: Mapping[str, Any], text: str, folder: Path = RESULTS) -> None:
    """``NAME.json`` and ``NAME.md``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
