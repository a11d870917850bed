"""Renders the OpenAPI description as a plain page; the usual viewers load scripts from other servers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

_HEAD = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>lipsmith: API</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="/static/icon.svg">
<link rel="stylesheet" href="/static/style.css"><script src="/static/theme.js"></script>
</head><body class="reference"><main>"""


def reference(openapi: dict[str, Any]) -> str:
    """The HTML page of an OpenAPI 3.1 description."""
    info = openapi["info"]
    routes = "".join(
        _route(path, method, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in openapi["components"]["schemas"].items())
    return (
        f"{_HEAD}<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info['description'])} "
        f'Machine-readable: <a href="/openapi.json">openapi.json</a>. <a href="/">Back to the page</a>.</p>'
        f"<h2>Routes</h2>{routes}<h2>Bodies</h2>{schemas}</main></body></html>"
    )


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = [("body", name) for name in _bodies(operation.get("requestBody", {}))]
    rows += [
        (f"{parameter['in']} {parameter['name']}", _type(parameter["schema"]))
        for parameter in operation.get("parameters", [])
    ]
    rows += [
        (status, f"{answer.get('description', '')} {' '.join(_bodies(answer))}")
        for status, answer in sorted(operation["responses"].items())
    ]
    cells = "".join(f"<tr><th>{escape(name)}</th><td>{escape(what)}</td></tr>" for name, what in rows)
    described = _described(operation)
    return (
        f"<details><summary><code>{method.upper()} {escape(path)}</code></summary>"
        f"<p>{described}</p><table>{cells}</table></details>"
    )


def _bodies(holder: dict[str, Any]) -> Iterator[str]:
    for kind, content in holder.get("content", {}).items():
        yield f"{kind} {_type(content.get('schema', {}))}".strip()


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><th>{escape(field)}{'' if field in required else ' (optional)'}</th><td>{escape(_type(what))}<br>"
        f"{_described(what)}</td></tr>"
        for field, what in schema.get("properties", {}).items()
    )
    described = _described(schema)
    return f"<details><summary><code>{escape(name)}</code></summary><p>{described}</p><table>{rows}</table></details>"


def _described(part: dict[str, Any]) -> str:
    """The description of a part, which has names in backticks, as HTML."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(part.get("description", "")))


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    if "anyOf" in schema:
        return " or ".join(_type(choice) for choice in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    details = {key: value for key, value in schema.items() if key in ("minimum", "maximum", "pattern", "default")}
    return f"{schema.get('type', 'any')} {json.dumps(details) if details else ''}".strip()
