"""Measures what a training step costs on the CPU before and after three changes, in alternating rounds.

`python docs/measurements/training_speed.py [BASE]`, some minutes: CPU time per row of the sample, 8 rows a step, in
the trainer's order. CPU time, because it varies less than a rate while the machine runs other work.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import torch
from transformers import DataCollatorWithPadding, set_seed

from triagem.trainer.data.rows import load
from triagem.trainer.fit.finetune import disable_attention_dropout, load_base, silenced, token_ids, training_arguments
from triagem.trainer.fit.hf_trainer import UsedEmbeddings
from triagem.trainer.fit.schedule import epoch_order, fit_schedule
from triagem.trainer.settings import TrainSettings

EXAMPLES: Final = Path("examples")
ROWS, STEPS, ROUNDS = 8, 2, 3


def steps(base: str, *, attention_dropout: bool, all_embeddings: bool, bf16: bool) -> Callable[[], float]:
    """A function that trains `STEPS` steps and returns the CPU time per row in milliseconds."""
    corpus = load(EXAMPLES)
    set_seed(42)
    tokenizer, network, _ = load_base(base, corpus.labels)
    rows = token_ids(corpus.train, tokenizer, 512)
    if not attention_dropout:
        disable_attention_dropout(network)
    if not all_embeddings:
        embeddings = UsedEmbeddings(network, rows, tokenizer.pad_token_id)
        rows = [embeddings.numbers(row) for row in rows]
    truth = torch.tensor([corpus.labels.index(row.label) for row in corpus.train])
    order = epoch_order([len(row) for row in rows], ROWS, seed=42, epoch=0)
    pad = DataCollatorWithPadding(tokenizer)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-5, weight_decay=0.01, fused=True)
    network.train()

    def run() -> float:
        started = time.process_time()
        for step in range(STEPS):
            batch = order[step * ROWS : (step + 1) * ROWS]
            inputs = pad([{"input_ids": rows[index]} for index in batch])
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                network(**inputs, labels=truth[batch]).loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
        return (time.process_time() - started) / STEPS / ROWS * 1000

    return run


def main(base: str) -> None:
    """Print a line for each round and variant."""
    settings = TrainSettings()
    with TemporaryDirectory() as folder:
        bf16 = training_arguments(settings, fit_schedule(800, settings, cores=2), Path(folder)).bf16
    with silenced():
        variants = {
            "fp32, attention dropout, all embeddings": steps(
                base, attention_dropout=True, all_embeddings=True, bf16=False
            ),
            "no attention dropout": steps(base, attention_dropout=False, all_embeddings=True, bf16=False),
            "used embeddings too": steps(base, attention_dropout=False, all_embeddings=False, bf16=False),
        }
        if bf16:
            variants["bf16 too"] = steps(base, attention_dropout=False, all_embeddings=False, bf16=True)
    for _ in range(ROUNDS):
        for name, run in variants.items():
            print(f"{base}, {name}: {run():.1f} ms of CPU time per row", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "e5")
