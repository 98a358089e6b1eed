"""Compares the speed-ups of two runs of `python -m bench engine --json`. Exits with 1 if an engine lost a tenth.

Ratios to the HF pipeline, because absolute rates differ from machine to machine. Ratios of machines with different
instruction sets differ too: then only prints them.

python -m bench engine --model minilm --device cpu --texts 96 --json > now.json
python -m bench.compare docs/measurements/engine-check.json now.json
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

_ALLOWED: Final = 0.9


def ratios(report: Mapping[str, Any]) -> dict[str, float]:
    """The median speed-up over the HF pipeline, by engine."""
    return {
        row["name"]: row["ratio_vs_hf_pipeline"]["median"] for row in report["rows"] if row["ratio_vs_hf_pipeline"]
    }


def losses(before: Mapping[str, float], now: Mapping[str, float]) -> Iterator[str]:
    """Our engines whose speed-up is less than nine tenths of the earlier one."""
    for name in before.keys() & now.keys():
        if name.startswith("triagem") and now[name] < _ALLOWED * before[name]:
            yield name


def main() -> int:
    """Print the ratios of both runs; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("now", type=Path)
    options = parser.parse_args()
    reports = [json.loads(path.read_text(encoding="utf-8")) for path in (options.before, options.now)]
    before, now = map(ratios, reports)
    for name, ratio in before.items():
        if name in now:
            print(f"{name:32}{ratio:8.1f}x before {now[name]:8.1f}x now")
    capabilities = [report["machine"]["capabilities"] for report in reports]
    if capabilities[0] != capabilities[1]:
        print(f"not compared: measured with {capabilities[0]}, now {capabilities[1]}")
        return 0
    lost = sorted(losses(before, now))
    print(f"slower: {', '.join(lost)}" if lost else "no engine of ours is slower")
    return bool(lost)


if __name__ == "__main__":
    sys.exit(main())
