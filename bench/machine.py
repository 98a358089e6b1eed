"""Describe the machine of a benchmark: processor, memory, package versions."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

from triagem.cli.output import installed_version

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


def describe_machine(device: torch.device) -> dict[str, str]:
    """Describe the machine, one line per property, without data that identifies a person or a network."""
    capabilities = [
        flag for flag in ("avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8") if flag in _cpu()
    ]
    cpu = next((line.partition(":")[2].strip() for line in _cpu().splitlines() if line.startswith("model name")), "")
    properties = {
        "cpu": f"{cpu or platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "capabilities": " ".join(capabilities) or "none of AVX-512 and AMX",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {installed_version(name)}" for name in PACKAGES),
    }
    if device.type == "cuda":
        properties["gpu"] = f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}"
    return properties


def peak_memory_mib(statements: str) -> float | None:
    """The peak memory of a separate process that runs these statements; None if it fails (a GPU can be reserved for
    one process)."""
    # Not getrusage: after an exec it still reports the peak of the forking process, which has loaded all contenders.
    peak_kb = "next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]"
    script = f"{statements}\nprint({peak_kb})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[-1]) / 1024 if done.returncode == 0 else None


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    return file.read_text(encoding="utf-8") if file.exists() else ""
