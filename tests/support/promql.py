"""What rules and panels ask Prometheus for: the expressions, and the series that they select."""

import json
import re
from typing import Any, Final

from tests.support.manifests import ROOT, documents

RULES: Final = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "dashboards" / "triagem.json"

_WORDS: Final = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_GROUPING: Final = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_RANGE: Final = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_SELECTOR: Final = re.compile(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()(?:\s*\{([^}]*)\})?")
_MATCHER: Final = re.compile(r'(\w+)="([^"]*)"')


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for group in documents(RULES)[0]["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel, but for rows."""
    read: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [one for one in read["panels"] if one["type"] != "row"]


def asked(panel: dict[str, Any]) -> list[str]:
    """A panel's expressions, with Grafana's variables filled in."""
    return [one["expr"].replace("$__rate_interval", "5m") for one in panel["targets"]]


def selected(expression: str) -> list[tuple[str, dict[str, str]]]:
    """The names that an expression selects, each with the labels that it must equal; scrapes' own are left out."""
    plain = _RANGE.sub("", _GROUPING.sub("", expression))
    found = []
    for name, matchers in _SELECTOR.findall(plain):
        labels = {key: value for key, value in _MATCHER.findall(matchers) if key not in {"job", "instance"}}
        if name not in _WORDS and name != "up":
            found.append((name, labels))
    return found
