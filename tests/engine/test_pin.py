"""What the engine's log says of pins."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

import pytest

from crypto_stream.bus.messages import Pin
from crypto_stream.engine.engine import Engine
from crypto_stream.engine.history import open_history, stores_of
from crypto_stream.engine.orders import make_orders
from crypto_stream.engine.persisted_state import PersistedState
from crypto_stream.settings import Settings
from crypto_stream.storage.sqlite import SqliteStateStore
from tests.engine.test_composition import assembled


async def test_only_a_pin_that_changes_something_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for each change; the pin of a source that is gone is forgotten without a word."""
    store = SqliteStateStore(tmp_path / "state.db")
    store.save({"pin": "gone"})
    memory = PersistedState(store, 0)
    composition = assembled(sources="binance,synthetic", pin=memory.pin)
    settings = Settings(data_dir=tmp_path)
    history = open_history(settings, composition.instruments, composition.clock)
    engine = Engine(composition, memory, history, partial(make_orders, settings, stores_of(settings)))

    with caplog.at_level(logging.INFO, "crypto_stream"):
        await engine.answer("one", Pin("auto"))
        forgotten = memory.pin
        for source in ("binance", "binance", "synthetic", "auto", "auto"):
            await engine.answer("one", Pin(source))

    assert forgotten is None
    assert [(one.message, vars(one)["source"]) for one in caplog.records] == [
        ("source pinned", "binance"),
        ("source pinned", "synthetic"),
        ("source unpinned", "auto"),
    ]
