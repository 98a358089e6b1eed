"""Compares matrix products and attention of the engine on a CPU: CPU time per text, fp32, one thread, in turns.

`python docs/measurements/engine_cpu.py BASE TICKETS.jsonl [TEXTS] [ROUNDS]` (default: 64 texts, 7 rounds). Compiles
`packed_attention.cpp` with torch's C++ extensions, which need g++ and ninja. The head is untrained. CPU time, because
it varies less than a rate while the machine runs other work.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from torch.utils.cpp_extension import load as compile_extension

from bench.engine import _flops, _matmuls
from bench.model import BenchModel
from bench.texts import read_texts
from tests.support.small_bert import register_small_bert
from triagem.contracts.model import Tokens
from triagem.engine import bert, precision
from triagem.engine.bert import Linear, LinearFactory, onednn, torch_linear
from triagem.engine.classify import EngineSettings, LoadedModel, load
from triagem.engine.packed import Packing, attend
from triagem.engine.planner import plan

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Packing, int], torch.Tensor]
Batches = Sequence[Sequence[Tokens]]


def onednn_gelu_apart(weight: torch.Tensor, bias: torch.Tensor, *, activated: bool = False) -> Linear:
    """oneDNN's product, and torch's GELU after it."""
    product = onednn(weight, bias)

    def run(rows: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        result: torch.Tensor = product(rows, residual)
        return torch.ops.aten.gelu_(result) if activated else result

    return run


def compiled(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, packed: Packing, heads: int
) -> torch.Tensor:
    """The attention of `packed_attention.cpp`."""
    attended: torch.Tensor = torch.ops.triagem_measurement.attend(query, key, value, packed.starts, heads)
    return attended


def none(
    query: torch.Tensor, _key: torch.Tensor, _value: torch.Tensor, _packed: Packing, _heads: int
) -> torch.Tensor:
    """No attention at all: the most that a faster one could gain."""
    return query.contiguous()


VARIANTS: dict[str, tuple[LinearFactory, Attend]] = {
    "MKL": (torch_linear, attend),
    "oneDNN, fused GELU": (onednn, attend),
    "oneDNN, GELU apart": (onednn_gelu_apart, attend),
    "MKL, compiled attention": (torch_linear, compiled),
    "MKL, no attention": (torch_linear, none),
}


def load_variants(folder: Path) -> dict[str, LoadedModel]:
    """The model with the products of each variant."""
    models = {}
    for name, (make, _) in VARIANTS.items():
        with patch.object(precision, "select_linear", return_value=make):
            models[name] = load(folder, EngineSettings(device="cpu", precision="fp32"))
    return models


def classify(model: LoadedModel, batches: Batches) -> torch.Tensor:
    """Probabilities of all texts, in the order of the batches."""
    return torch.tensor([row for batch in batches for row in model.probabilities(batch)])


def print_profile(model: LoadedModel, batches: Batches) -> None:
    """Print the operations with the largest shares of the CPU time."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        classify(model, batches)
    events = sorted(profile.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    print("profile of MKL:", *(f"{event.key} {event.self_cpu_time_total / total:.1%}," for event in events[:6]))


def main(base: str, tickets: Path, number: int = 64, rounds: int = 7) -> None:
    """Print a line for each variant, with ratios to the first, and a profile."""
    torch.set_num_threads(1)
    source = str(Path(__file__).with_name("packed_attention.cpp"))
    flags = ["-O3", "-march=native", "-ffast-math"]
    compile_extension("packed_attention", [source], extra_cflags=flags, is_python_module=False)
    with TemporaryDirectory() as root:
        folder = register_small_bert(Path(root), base).root / "v1.0.0"
        models = load_variants(folder)
        tokens = models["MKL"].tokenize(read_texts(tickets, number))
        lengths, network = [len(text.ids) for text in tokens], BenchModel(base, folder, trained=False)
        flops, (products, peak_flops) = _flops(network, lengths), _matmuls(network, models["MKL"])
    batches = [[tokens[index] for index in batch] for batch in plan(lengths, batch_size=32)]
    peak, results = [], {}
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(rounds + 1):
        started = time.process_time()
        products()
        peak.append(peak_flops / (time.process_time() - started))
        for name in list(VARIANTS)[:: 1 if turn % 2 else -1]:
            with patch.object(bert, "attend", VARIANTS[name][1]):
                started = time.process_time()
                results[name] = classify(models[name], batches)
                seconds[name].append(time.process_time() - started)
    first = seconds["MKL"][1:]  # the first round warms up
    for name, (_, *measured) in seconds.items():
        ratios = [own / other for own, other in zip(measured, first, strict=True)]
        share = statistics.median(flops / own / rate for own, rate in zip(measured, peak[1:], strict=True))
        print(
            f"{name}: {statistics.median(measured) / number * 1000:.1f} ms per text, ratio "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), {share:.0%} of the rate of "
            f"products alone, largest difference {(results[name] - results['MKL']).abs().max():.0e}"
        )
    print_profile(models["MKL"], batches)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:5]))
