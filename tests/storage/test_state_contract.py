"""What every store of small values does: the last state is loaded, whole."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crypto_stream.storage.interface import Stores
from tests.stores import StoreFactory

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(TEXTS, TEXTS, max_size=5), min_size=1, max_size=3))
def test_the_last_state_saved_is_loaded(store_factory: StoreFactory, states: list[dict[str, str]]) -> None:
    """Each save replaces everything; a new store in the same place loads it."""
    stores = store_factory.stores()
    for state in states:
        store = stores.state()
        store.load()
        store.save(state)

    assert stores.state().load() == states[-1]


def test_nothing_is_loaded_at_first(stores: Stores) -> None:
    """The first start finds nothing."""
    assert stores.state().load() == {}


def test_one_store_saves_again_and_again(stores: Stores) -> None:
    """It need not load in between."""
    store = stores.state()
    store.load()
    for pin in ("binance", "okx"):
        store.save({"pin": pin})

    assert stores.state().load() == {"pin": "okx"}


def test_what_one_engine_stores_another_one_can_look_at(stores: Stores) -> None:
    """Again and again, without continuing from it."""
    leads, follows = stores.state(), stores.state()
    leads.load()
    seen = []
    for pairs in ("[1]", "[2]"):
        leads.save({"pairs": pairs})
        seen.append(follows.peek())
    leads.save({})

    assert seen == [{"pairs": "[1]"}, {"pairs": "[2]"}]
    assert follows.peek() == {}
