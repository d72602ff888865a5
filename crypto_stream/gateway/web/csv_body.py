"""Rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import msgspec

CSV = "text/csv; charset=utf-8"


def csv_body(fields: Sequence[str], rows: Iterable[msgspec.Struct]) -> bytes:
    """Encode structs as CSV with a header; null is empty, a boolean is `true` or `false`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for row in rows:
        values = msgspec.structs.astuple(row)
        writer.writerow([_BOOLEANS[value] if isinstance(value, bool) else value for value in values])
    return text.getvalue().encode()


_BOOLEANS = {True: "true", False: "false"}
