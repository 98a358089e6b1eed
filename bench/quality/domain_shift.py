"""Experiment: leave-one-domain-out error detection. Measures which confidence scores find errors on unseen domains.

Training does not use it. `bench.quality.domain_shift_report` makes the tables. It takes hours on two cores, minutes
on a GPU.
"""

import argparse
import copy
import json
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoTokenizer, get_linear_schedule_with_warmup

from triagem.contracts.text import clean

DOMAINS: Final = ("airline", "software", "media", "insurance-calls")
NEIGHBOURS: Final = 10

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Training hyper-parameters. `interpolation` is the weight of the pretrained encoder when it is averaged with the
    trained one (Wortsman et al. 2022, arXiv:2109.01903)."""

    pooling: str = "first"
    smoothing: float = 0.0
    frozen: bool = False
    interpolation: float = 0.0


RECIPES: Final = {
    "plain": Recipe(),
    "label smoothing 0.1": Recipe(smoothing=0.1),
    "mean pooling": Recipe(pooling="mean"),
    "frozen encoder, linear head": Recipe(pooling="mean", frozen=True),
    "mean pooling, interpolated 0.5": Recipe(pooling="mean", interpolation=0.5),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One training without `test_domain`, on which it is evaluated, and `excluded_domain` (empty in outer folds)."""

    recipe: str
    test_domain: str
    excluded_domain: str
    seed: int


class Classifier(torch.nn.Module):
    """An encoder and a linear head over its pooled output."""

    def __init__(self, base: str, labels: int, pooling: str) -> None:
        super().__init__()
        self.encoder = AutoModel.from_pretrained(base, dtype=torch.float32)
        self.pooling = pooling
        self.head = torch.nn.Linear(self.encoder.config.hidden_size, labels)
        self.dropout = torch.nn.Dropout(0.1)

    def embed(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """`(texts, size)`: the pooler's output, or the mean over tokens."""
        output = self.encoder(**batch)
        if self.pooling == "first":
            return output.pooler_output  # type: ignore[no-any-return]
        mask = batch["attention_mask"].unsqueeze(-1)
        pooled: torch.Tensor = (output.last_hidden_state * mask).sum(1) / mask.sum(1)
        return pooled

    def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(self.embed(batch)))
        return logits


def measure(run: Run, rows: Sequence[dict[str, str]], base: str, device: str) -> dict[str, Any]:
    """Train without the left-out domains, and score each row of the test domain."""
    labels = sorted({row["label"] for row in rows})
    known = [row for row in rows if row["domain"] not in {run.test_domain, run.excluded_domain}]
    test = [row for row in rows if row["domain"] == run.test_domain]
    order = np.random.default_rng(run.seed).permutation(len(known))
    cut = len(known) // 10
    calibration, train = [known[i] for i in order[:cut]], [known[i] for i in order[cut:]]
    torch.manual_seed(run.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    parts = {"train": train, "calibration": calibration, "test": test}
    texts = {name: [row["text"] for row in part] for name, part in parts.items()}
    truth = {name: np.array([labels.index(row["label"]) for row in part]) for name, part in parts.items()}
    recipe = RECIPES[run.recipe]
    model = Classifier(base, len(labels), recipe.pooling).to(device)
    encode = partial(_encode, model, tokenizer, device=device)
    if recipe.frozen or recipe.interpolation:
        _fit_head(model, encode(texts["train"])[0], truth["train"])
    if not recipe.frozen:
        pretrained = copy.deepcopy(model.state_dict())
        _fine_tune(model, tokenizer, texts["train"], truth["train"], recipe, run.seed, device)
        if recipe.interpolation:
            for name, weights in model.state_dict().items():
                if weights.is_floating_point():
                    weights.lerp_(pretrained[name], recipe.interpolation)
    train_embeddings, _ = encode(texts["train"])
    temperature = _temperature(encode(texts["calibration"])[1], truth["calibration"])
    embeddings, logits = encode(texts["test"])
    return {
        **asdict(run),
        "labels": labels,
        "truth": truth["test"].tolist(),
        "temperature": temperature,
        "probabilities": _softmax(logits / temperature).round(6).tolist(),
        **_scores(embeddings, logits, train_embeddings, truth["train"]),
    }


def _scores(embeddings: Floats, logits: Floats, known: Floats, known_truth: Labels) -> dict[str, list[float]]:
    """Confidence scores that may detect errors: low scores are doubtful. `known`: the training rows' embeddings."""
    guess = logits.argmax(axis=1)
    similarity = _unit(embeddings) @ _unit(known).T
    nearest = np.argsort(-similarity, axis=1)[:, :NEIGHBOURS]
    means = np.stack([known[known_truth == label].mean(axis=0) for label in range(logits.shape[1])])
    precision = np.linalg.pinv(np.cov((known - means[known_truth]).T) + 1e-3 * np.eye(known.shape[1]))
    offsets = embeddings[:, None, :] - means[None]
    distance = np.einsum("nld,de,nle->nl", offsets, precision, offsets).min(axis=1)
    peak = logits.max(axis=1, keepdims=True)
    return {
        "softmax": _softmax(logits).max(axis=1).round(6).tolist(),
        "energy": (peak[:, 0] + np.log(np.exp(logits - peak).sum(axis=1))).round(6).tolist(),
        "kNN agreement": (known_truth[nearest] == guess[:, None]).mean(axis=1).tolist(),
        "kNN similarity": np.take_along_axis(similarity, nearest, axis=1).mean(axis=1).round(6).tolist(),
        "mahalanobis": (-distance).round(6).tolist(),
    }


def _fine_tune(  # noqa: PLR0917
    model: Classifier,
    tokenizer: Any,
    texts: Sequence[str],
    truth: Labels,
    recipe: Recipe,
    seed: int,
    device: str,
    *,
    epochs: int = 3,
    size: int = 32,
) -> None:
    decay = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=5e-5)
    steps = epochs * -(-len(texts) // size)
    schedule: Any = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)  # type: ignore[no-untyped-call]
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    rng = np.random.default_rng(seed)
    model.train()
    for _ in range(epochs):
        order = rng.permutation(len(texts))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            batch = tokenizer([texts[i] for i in rows], padding=True, truncation=True, return_tensors="pt").to(device)
            loss = loss_of(model(batch), torch.tensor(truth[rows], device=device))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    model.eval()


def _fit_head(model: Classifier, embeddings: Floats, truth: Labels) -> None:
    """Logistic regression on the frozen encoder's output, as the head's weights."""
    fitted = LogisticRegression(C=10, max_iter=2000).fit(embeddings, truth)
    weights, bias = fitted.coef_, fitted.intercept_
    if len(weights) == 1:  # with two labels, scikit-learn stores one row of weights, for the second label
        weights, bias = np.concatenate([-weights, weights]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        model.head.weight.copy_(torch.tensor(weights))
        model.head.bias.copy_(torch.tensor(bias))


@torch.inference_mode()
def _encode(model: Classifier, tokenizer: Any, texts: Sequence[str], *, device: str) -> tuple[Floats, Floats]:
    """Embeddings and logits."""
    model.eval()
    embeddings, logits = [], []
    for start in range(0, len(texts), 128):
        part = list(texts[start : start + 128])
        batch = tokenizer(part, padding=True, truncation=True, return_tensors="pt").to(device)
        pooled = model.embed(batch)
        embeddings.append(pooled.double().cpu().numpy())
        logits.append(model.head(pooled).double().cpu().numpy())
    return np.concatenate(embeddings), np.concatenate(logits)


def _temperature(logits: Floats, truth: Labels) -> float:
    """The temperature with the lowest NLL on rows kept out of training (Guo et al. 2017, arXiv:1706.04599)."""
    grid = np.geomspace(0.3, 10, 200)
    nll = [-np.log(_softmax(logits / t)[np.arange(len(truth)), truth] + 1e-12).mean() for t in grid]
    return float(grid[int(np.argmin(nll))])


def _softmax(logits: Floats) -> Floats:
    powers: Floats = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def _unit(vectors: Floats) -> Floats:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)  # type: ignore[no-any-return]


def _runs(seeds: int) -> list[Run]:
    inner = [Run(recipe, test, out, 0) for recipe, out, test in product(RECIPES, DOMAINS, DOMAINS) if test != out]
    return inner + [Run(recipe, test, "", seed) for recipe, test, seed in product(RECIPES, DOMAINS, range(seeds))]


def main() -> None:
    """Run all folds and write the scores of each row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="JSON lines with prompt, completion, domain")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--base", required=True, help="the encoder's folder or hub name")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.data.read_text(encoding="utf-8").splitlines()]
    rows = [{"text": clean(r["prompt"]), "label": r["completion"], "domain": r["domain"]} for r in rows]
    work = partial(measure, rows=rows, base=arguments.base, device=arguments.device)
    runs = _runs(arguments.seeds)
    results = []
    with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done, result in enumerate(pool.map(work, runs), start=1):
            results.append(result)
            run = f"test {result['test_domain']}, excluded {result['excluded_domain']}"
            print(f"{done}/{len(runs)} {result['recipe']}, {run}", flush=True)
    arguments.out.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
