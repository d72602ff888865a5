"""Tables of the settings file as texts, which handlers get from the environment, too."""

from __future__ import annotations

from collections.abc import Mapping


def flat_texts(tables: Mapping[str, object]) -> dict[str, str]:
    """Return the settings of `[kind.name]` tables as `name_setting`, as the environment has them."""
    flat: dict[str, str] = {}
    for name, table in tables.items():
        if isinstance(table, dict):
            flat |= {f"{name}_{option}": _text(value) for option, value in table.items()}
        else:
            flat[name] = _text(table)
    return flat


def texts(table: Mapping[str, object]) -> dict[str, str]:
    """Return the settings of one table as the environment has them."""
    return {name: _text(value) for name, value in table.items()}


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={inner}" for name, inner in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
