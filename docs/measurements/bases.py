"""Measures the serving cost of each installed base: CPU time per text of the engine, in alternating rounds.

`python docs/measurements/bases.py [TICKETS.jsonl]`, two minutes (default: the sample rows). The heads are untrained.
CPU time, because it varies less than a rate while the machine runs other work.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.texts import read_texts
from tests.support.small_bert import register_small_bert
from triagem.engine.classify import EngineSettings, classify, load
from triagem.trainer.bases.catalogue import installed_bases

if __name__ == "__main__":
    texts = read_texts(Path(sys.argv[1]) if len(sys.argv) > 1 else None, 256)
    with TemporaryDirectory() as root:
        folders = {base: register_small_bert(Path(root) / base, base).root / "v1.0.0" for base in installed_bases()}
        models = {base: load(folder, EngineSettings(device="cpu")) for base, folder in folders.items()}
    for _ in range(3):
        for base, model in models.items():
            started = time.process_time()
            classify(model, texts)
            cost = (time.process_time() - started) / len(texts) * 1000
            tokens = sum(len(tokens.ids) for tokens in model.tokenize(texts)) / len(texts)
            print(f"{base}, {model.precision}: {cost:.1f} ms of CPU time per text of {tokens:.0f} tokens")
