"""What the figures were measured on: processor, memory, versions."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

from triagem.cli.output import version_of

PACKAGES = (
    "triagem",
    "torch",
    "transformers",
    "tokenizers",
    "onnxruntime",
    "openvino",
    "sentence-transformers",
    "infinity-emb",
    "fastapi",
    "uvicorn",
)


def describe(device: torch.device) -> dict[str, str]:
    """One line each; nothing that names a person or a network."""
    capabilities = [
        flag for flag in ("avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8") if flag in _cpu()
    ]
    cpu = next((line.partition(":")[2].strip() for line in _cpu().splitlines() if line.startswith("model name")), "")
    said = {
        "cpu": f"{cpu or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "capabilities": " ".join(capabilities) or "none of AVX-512 and AMX",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version_of(name)}" for name in PACKAGES),
    }
    if device.type == "cuda":
        said["gpu"] = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return said


def peak_memory_mib(statements: str) -> float | None:
    """The most memory that a process of its own holds while it runs these statements; None if it may not run (a
    GPU can be reserved for one process)."""
    # Not getrusage: across an exec it keeps the peak of the process that forked, ours with all contenders.
    said = "next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]"
    told = f"{statements}\nprint({said})"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[-1]) / 1024 if done.returncode == 0 else None


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    return file.read_text(encoding="utf-8") if file.exists() else ""
