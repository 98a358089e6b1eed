"""The settings: every environment variable with its type, default, meaning and process."""

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from tables import required, table

from triagem.cli.known_settings import known_variables, settings_classes

TITLES: Final = {
    "cli": "Traces and error reports",
    "db": "Postgres",
    "inbox": "Inbox and scaling",
    "notify": "Alerts",
    "ops": "Scheduled tasks",
    "process": "Metrics endpoint and time zone",
    "producer": "CRMs",
    "trainer": "Training",
}
TEXT: Final = frozenset({".md", ".yml", ".yaml", ".sh", ".json", ".toml"})
MISSPELT_EXAMPLE: Final = "TRIAGEM_REVEIW_THRESHOLD"
TYPES: Final = {
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    SecretStr: "secret",
    Path: "path",
    str: "text",
}


def settings_section() -> str:
    """A table for each package that has settings."""
    rows: dict[str, tuple[str, tuple[str, ...]]] = {}  # two classes may read a variable: the last one describes it
    for declared in settings_classes():
        settings = getattr(importlib.import_module(declared.module), declared.name)
        for name, variable in declared.variables.items():
            field = settings.model_fields[name]
            used_by = (field.json_schema_extra or {}).get("used_by") or getattr(settings, "used_by", None)
            row = (
                f"`{variable}`",
                type_name(field.annotation, field.metadata),
                default_value(field),
                required(field.description, variable),
                required(used_by, f"{declared.name}.used_by"),
            )
            package = declared.module.split(".")[1]
            rows[variable] = TITLES.get(package, package.capitalize()), row
    columns = ("variable", "type", "default", "meaning", "read by")
    return "\n".join(
        f"## {title}\n\n{table(columns, [row for section, row in rows.values() if section == title])}"
        for title in sorted({section for section, _ in rows.values()})
    )


def unknown_mentions() -> Iterator[str]:
    """Variables that a page, a manifest or the image names, and nothing reads."""
    files = [*Path().glob("README*.md"), *Path().glob("docker-compose.yml"), *Path().glob("Dockerfile")]
    files += [file for folder in ("docs", "deploy") for file in Path(folder).rglob("*.*") if file.suffix in TEXT]
    for file in files:
        names = re.findall(r"\bTRIAGEM_[A-Z0-9_]*[A-Z0-9](?![A-Z0-9_*…{])", file.read_text(encoding="utf-8"))
        for name in sorted(set(names) - known_variables() - {MISSPELT_EXAMPLE}):
            yield f"{file}: {name} is not a setting"


def type_name(annotation: Any, metadata: list[Any]) -> str:
    """The type of a setting in words, with its bounds."""
    if get_origin(annotation) is Annotated:
        kind, field = get_args(annotation)
        return type_name(kind, [*metadata, *field.metadata])
    if get_origin(annotation) in {Union, UnionType}:
        return " or ".join(type_name(part, metadata) for part in get_args(annotation) if part is not NoneType)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{option}`" for option in get_args(annotation))
    bounds = [
        f"{sign} {value}"
        for item in metadata
        for sign, key in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le"))
        if (value := getattr(item, key, None)) is not None
    ]
    return ", ".join([TYPES.get(annotation, "comma-separated list"), *bounds])


def default_value(field: FieldInfo) -> str:
    """The default of a setting, as one would write it."""
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), frozenset()):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
