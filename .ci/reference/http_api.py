"""The HTTP API: every endpoint, parameter and schema of the gateway's OpenAPI description."""

from typing import Any

from tables import paragraphs, required, table

from triagem.db import Database
from triagem.gateway.app import create_app
from triagem.gateway.services import GatewaySettings, Services
from triagem.inbox import Inbox, connect
from triagem.registry import Registry


def openapi() -> dict[str, Any]:
    """The gateway's OpenAPI description. Connects to nothing."""
    services = Services(
        inbox=Inbox(connect("redis://127.0.0.1:1")),
        database=Database("postgresql://127.0.0.1:1/none"),
        registry=Registry("none"),
        settings=GatewaySettings(),
    )
    return create_app(services).openapi()


def http_section() -> str:
    """A section for each endpoint and each schema."""
    api = openapi()
    endpoints = [
        endpoint(f"{method.upper()} {path}", operation)
        for path, operations in api["paths"].items()
        for method, operation in operations.items()
    ]
    schemas = [schema_section(name, schema) for name, schema in sorted(api["components"]["schemas"].items())]
    return "\n".join(["## Endpoints\n", *endpoints, "## Schemas\n", *filter(None, schemas)])


def endpoint(name: str, operation: dict[str, Any]) -> str:
    """A section for an endpoint."""
    required(operation.get("description"), name)
    parts = [f"### {name}", f"{operation.get('summary', '')}. {paragraphs(operation.get('description'))}"]
    if not operation.get("security"):
        parts.append("No API key.")
    if body := operation.get("requestBody"):
        kinds = sorted({schema_type(content["schema"]) for content in body["content"].values()})
        parts.append(f"Request body: {', '.join(kinds)}.")
    if parameters := operation.get("parameters"):
        rows = [
            (
                f"`{parameter['name']}`",
                parameter["in"],
                schema_type(parameter["schema"]),
                required(parameter.get("description"), f"{name} {parameter['name']}"),
            )
            for parameter in parameters
        ]
        parts.append(table(("parameter", "in", "type", "meaning"), rows).rstrip())
    replies = [reply_row(status, response) for status, response in sorted(operation["responses"].items())]
    return "\n\n".join([*parts, table(("status", "body", "meaning"), replies)])


def reply_row(status: str, response: dict[str, Any]) -> tuple[str, str, str]:
    """Status, body and meaning of a response."""
    types = (schema_type(content["schema"]) for content in response.get("content", {}).values())
    meaning = response.get("description", "").replace("Successful Response", "success")
    return status, ", ".join(dict.fromkeys(types)), meaning


def schema_type(schema: dict[str, Any]) -> str:
    """The type of a value, with a link to its schema."""
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return "JSON value" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(schema_type(option) for option in options))
    if schema.get("type") == "array":
        return f"list of {schema_type(schema.get('items', {}))}"
    if values := schema.get("enum"):
        return ", ".join(f"`{value}`" for value in values)
    if schema.get("type") == "object" and "properties" in schema:
        return str(schema["title"]).lower()
    return str(schema.get("format") or schema.get("type") or "JSON")


def schema_section(name: str, schema: dict[str, Any]) -> str:
    """A section for a schema; none for arbitrary JSON."""
    if name == "JsonValue":
        return ""
    required(schema.get("description"), f"schema {name}")
    text = f"### {name}\n\n{paragraphs(schema.get('description'))}\n"
    if values := schema.get("enum"):
        return f"{text}\nOne of {', '.join(f'`{value}`' for value in values)}.\n"
    rows = [
        (f"`{field}`", schema_type(value), required(value.get("description"), f"{name}.{field}"))
        for field, value in schema.get("properties", {}).items()
    ]
    return f"{text}\n{table(('field', 'type', 'meaning'), rows)}"
