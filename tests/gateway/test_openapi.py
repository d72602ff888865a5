"""The description of the HTTP interface compared with the existing routes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from prometheus_client import CollectorRegistry

from crypto_stream.bus.local_gateway import LocalGatewayPort
from crypto_stream.gateway.app import create_app
from crypto_stream.gateway.delivery.address_limit import AddressLimit
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.admission import AdmissionRules
from crypto_stream.gateway.web.openapi import DESCRIPTION


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    """Make the application without a server or an engine."""
    port = LocalGatewayPort(tmp_path / "none")
    made, *_ = create_app(
        Mirror(),
        port,
        CollectorRegistry(),
        admin_token=None,
        origins=(),
        async_mode="threading",
        websocket=None,
        admission=AdmissionRules(1, AddressLimit(1), DeliveryMetrics(), lambda: False),
    )
    return made


def test_every_route_is_described_and_every_description_has_a_route(app: Flask) -> None:
    """Paths and methods are the same on both sides."""
    routes = {
        (re.sub(r"<path:(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint not in {"pages.static", "admin.post_only"}  # files; a refusal
    }
    described = {(path, method) for path, entry in DESCRIPTION["paths"].items() for method in entry}

    assert described == routes


def test_every_reference_resolves_and_every_parameter_is_in_its_path() -> None:
    """Otherwise a generated client would fail."""
    text = repr(DESCRIPTION)
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in DESCRIPTION["components"]["schemas"]
    for path, entry in DESCRIPTION["paths"].items():
        for operation in entry.values():
            named = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert operation["summary"]
            assert operation["responses"]


def test_an_internal_error_is_a_problem_without_a_traceback(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its traceback; the client gets `internal_error`."""

    def broken() -> str:
        raise LookupError("a secret of the house")

    app.view_functions["api.healthz"] = broken

    answer = app.test_client().get("/healthz")

    assert (answer.status_code, answer.get_json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "LookupError: a secret of the house" in caplog.text
