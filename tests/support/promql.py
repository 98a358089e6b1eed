"""The PromQL expressions of Triagem's rules and panels, and the series that they select."""

import json
import re
from typing import Any, Final

from tests.support.manifests import ROOT, documents

RULES: Final = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD: Final = ROOT / "deploy" / "grafana" / "dashboards" / "triagem.json"

_KEYWORDS: Final = {"and", "or", "unless", "bool", "offset", "inf", "nan"}
_GROUPING: Final = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_RANGE: Final = re.compile(r"\[[^\]]*\]|\boffset\s+\w+")
_SELECTOR: Final = re.compile(r"\b([a-zA-Z_:][\w:]*)\b(?!\s*\()(?:\s*\{([^}]*)\})?")
_MATCHER: Final = re.compile(r'(\w+)="([^"]*)"')


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    return [rule for group in documents(RULES)[0]["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    """Every panel except rows."""
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions(panel: dict[str, Any]) -> list[str]:
    """A panel's expressions, with Grafana's variables filled in."""
    return [target["expr"].replace("$__rate_interval", "5m") for target in panel["targets"]]


def selected_series(expression: str) -> list[tuple[str, dict[str, str]]]:
    """The series that an expression selects, with their label matchers; without `job`, `instance` and `up`."""
    plain = _RANGE.sub("", _GROUPING.sub("", expression))
    series = []
    for name, matchers in _SELECTOR.findall(plain):
        labels = {key: value for key, value in _MATCHER.findall(matchers) if key not in {"job", "instance"}}
        if name not in _KEYWORDS and name != "up":
            series.append((name, labels))
    return series
