"""The tables and their foreign keys, as an entity-relationship picture in Mermaid's text."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column, MetaData, Table
from sqlalchemy.dialects import postgresql


def entities_section(metadata: MetaData) -> str:
    """The picture of all tables."""
    lines = [line for table in metadata.sorted_tables for line in (*_relations(table), *_entity(table))]
    return "\n```mermaid\nerDiagram\n" + "\n".join(lines) + "\n```\n\n"


def _relations(table: Table) -> Iterator[str]:
    for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
        parent = "|o" if key.parent.nullable else "||"
        yield f"  {key.column.table.name} {parent}--o{{ {table.name} : {key.parent.name}"


def _entity(table: Table) -> Iterator[str]:
    yield f"  {table.name} {{"
    for column in table.columns:
        yield f"    {_type(column)} {column.name}{_keys(column)}"
    yield "  }"


def _type(column: Column[Any]) -> str:
    name = column.type.compile(dialect=postgresql.dialect()).lower()
    return name.replace("timestamp with time zone", "timestamptz").replace(" ", "-")


def _keys(column: Column[Any]) -> str:
    keys = ", ".join(["PK"] * column.primary_key + ["FK"] * bool(column.foreign_keys))
    return f" {keys}".rstrip() + (' "optional"' if column.nullable else "")
