"""Draw `engine.svg` from the output of `python -m bench engine --json`.

`python docs/images/engine.py engine.json > docs/images/engine.svg`
"""

import json
import sys
from html import escape
from pathlib import Path

BAR, GAP, LEFT, WIDTH = 22, 8, 210, 420


def draw(report: dict) -> str:
    """One bar per measured contender, longest last; ours in the darker colour."""
    rows = [row for row in report["rows"] if row["rate"]]
    rows.sort(key=lambda row: row["rate"]["median"])
    largest = rows[-1]["rate"]["median"]
    high = 44 + len(rows) * (BAR + GAP) + 26
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 {high}" font-family="sans-serif" font-size="13">',
        f'<rect width="760" height="{high}" fill="white"/>',
        f'<text x="12" y="24" font-size="15">{escape(report["model"])}: texts/s</text>',
    ]
    for index, row in enumerate(rows):
        length = WIDTH * row["rate"]["median"] / largest
        top = 40 + index * (BAR + GAP)
        rate, ratio = row["rate"]["median"], row["ratio_vs_hf_pipeline"]["median"]
        colour = "#1f6f54" if row["name"].startswith("triagem") else "#b8c4c0"
        parts += [
            f'<text x="{LEFT - 8}" y="{top + 15}" text-anchor="end">{escape(row["name"])}</text>',
            f'<rect x="{LEFT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LEFT + length + 6:.1f}" y="{top + 15}">{rate:,.1f} ({ratio:.1f}x)</text>',
        ]
    device = report["machine"].get("gpu") or report["machine"]["cpu"]
    note = f"{device}, {report['texts']} texts of {report['mean_tokens']:.0f} tokens, interleaved"
    parts.append(f'<text x="12" y="{high - 10}" font-size="11" fill="#555">{escape(note)}</text></svg>')
    return "\n".join(parts)


if __name__ == "__main__":
    print(draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
