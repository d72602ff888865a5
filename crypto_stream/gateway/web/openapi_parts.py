"""Parts from which the description of the HTTP interface is made."""

from __future__ import annotations

from typing import Any


def problem(text: str) -> dict[str, Any]:
    """Return a response with an error."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}


def json_answer(text: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return a response with JSON."""
    return {"description": text, "content": {"application/json": {"schema": schema}}, **more}


def get(summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an address with GET alone."""
    return {"get": {"summary": summary, "responses": answers, **more}}


def query(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return an optional query parameter."""
    return {"name": name, "in": "query", "required": False, "description": text, "schema": schema}


def admin_post(
    summary: str, properties: dict[str, Any], answers: dict[str, Any], required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return a POST of a JSON object with these properties, which needs the admin token."""
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {
        "summary": summary,
        "description": "Needs the admin token: the setting admin_token, or what the command `token` prints.",
        "security": [{"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            **answers,
            "401": problem("The token is missing or wrong."),
            "413": problem("The body is too large."),
            "415": problem("The body is not application/json."),
        },
    }
