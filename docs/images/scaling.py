"""Draw `scaling.svg` from the output of `python -m bench scale --json`.

`python docs/images/scaling.py scale.json > docs/images/scaling.svg`
"""

import json
import math
import sys
from html import escape
from pathlib import Path

COLOURS = ("#1f6f54", "#4a6fa5", "#c98a2b", "#a8b4b0")
HEIGHT, WIDTH, TOP = 230, 290, 60
PANELS = {
    "gpu_hours_per_gpu": "GPU-hours per day and allowed GPU",
    "p95_wait_s": "p95 wait of tickets, s",
}


def draw(rows: list[dict]) -> str:
    """One panel per metric over the cluster size; both axes logarithmic, except GPU-hours."""
    for row in rows:
        row["gpu_hours_per_gpu"] = row["gpu_hours"] / row["gpus"]
    names = list(dict.fromkeys(row["signal"] for row in rows))
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 400" font-family="sans-serif" font-size="12">',
        '<rect width="760" height="400" fill="white"/>',
        '<text x="12" y="24" font-size="15">Simulated GPUs, three days, cold starts of 4 to 8 minutes</text>',
    ]
    for index, (metric, title) in enumerate(PANELS.items()):
        parts += _panel(rows, names, metric, title, left=60 + index * 370)
    for index, name in enumerate(names):
        left, top = 60 + index % 2 * 370, 356 + index // 2 * 22
        parts.append(f'<rect x="{left}" y="{top - 10}" width="14" height="10" fill="{COLOURS[index]}"/>')
        parts.append(f'<text x="{left + 20}" y="{top}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"])


def _panel(rows: list[dict], names: list[str], metric: str, title: str, *, left: int) -> list[str]:
    log = metric == "p95_wait_s"
    largest = max(row[metric] for row in rows)
    steps = (100, 300, 1000, 3000) if log else (6, 12, 18, 24)
    widest = math.log2(max(row["gpus"] for row in rows)) or 1

    def x(gpus: int) -> float:
        return left + WIDTH * math.log2(gpus) / widest

    def y(value: float) -> float:
        share = math.log(value / 100) / math.log(largest / 100) if log else value / 24
        return TOP + HEIGHT * (1 - max(0.0, share))

    parts = [f'<text x="{left}" y="{TOP - 12}" font-size="13">{escape(title)}</text>']
    for step in steps:
        parts.append(f'<path d="M{left} {y(step):.1f}h{WIDTH}" stroke="#e4e8e6"/>')
        parts.append(f'<text x="{left - 6}" y="{y(step) + 4:.1f}" text-anchor="end" fill="#555">{step:,}</text>')
    parts += [
        f'<text x="{x(gpus):.1f}" y="{TOP + HEIGHT + 18}" text-anchor="middle" fill="#555">{gpus}</text>'
        for gpus in sorted({row["gpus"] for row in rows})
    ]
    for name, colour in zip(reversed(names), reversed(COLOURS[: len(names)]), strict=True):  # ours on top
        points = " ".join(f"{x(row['gpus']):.1f},{y(row[metric]):.1f}" for row in rows if row["signal"] == name)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
    return parts


if __name__ == "__main__":
    print(draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
