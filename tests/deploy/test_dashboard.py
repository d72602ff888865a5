"""The dashboard, as Grafana would load it; whether its expressions find anything is in test_prometheus."""

from __future__ import annotations

import json

from tests.deploy.expressions import DASHBOARD, panels

BOARD = json.loads(DASHBOARD.read_text("utf-8"))


def test_it_can_be_provisioned() -> None:
    """It has a name that stays, and asks for nothing when it is loaded: the data source is a variable."""
    variables = {each["name"]: each["type"] for each in BOARD["templating"]["list"]}

    assert (BOARD["uid"], "id" in BOARD, "__inputs" in BOARD) == ("crypto-stream", False, False)
    assert variables == {"datasource": "datasource", "job": "query"}
    assert {panel["datasource"]["uid"] for panel in BOARD["panels"]} == {"${datasource}"}


def test_no_panel_covers_another_one() -> None:
    """Each place of the grid has at most one, ids differ, and so do the letters of a panel's expressions."""
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in BOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    letters = [[target["refId"] for target in panel["targets"]] for panel in BOARD["panels"]]

    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) == 23
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
    assert all(len(set(each)) == len(each) for each in letters)


def test_each_panel_is_of_one_installation() -> None:
    """Every metric is limited to the job that was chosen."""
    for title, expressions in panels().items():
        for expression in expressions:
            assert expression.count("crypto_stream_") == expression.count('{job="crypto-stream"}'), title
