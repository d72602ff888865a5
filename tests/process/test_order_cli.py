"""`crypto-stream order …` as a person uses it, against the whole program."""

from __future__ import annotations

import asyncio
import csv
import io
import os
import signal
import stat
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from tests.process.programs import command, program
from tests.process.serving import Service, trading
from tests.waiting import SCALE, until

pytestmark = [
    pytest.mark.timeout(120 * SCALE),
    pytest.mark.skipif(sys.platform == "darwin", reason="the folder of settings cannot be moved there"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """Run one program for the whole file."""
    async with trading(tmp_path_factory.mktemp("run")) as running:
        yield running


class Person:
    """Somebody at a terminal, with a home folder of their own."""

    def __init__(self, service: Service, home: Path) -> None:
        self.url = service.url
        self.home = home
        self.id_file = home / "crypto-stream" / "client-id"

    def order(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return command("order", *arguments, "--url", self.url, XDG_CONFIG_HOME=str(self.home))

    def placed(self, *arguments: str) -> str:
        """Place an order; return its id."""
        done = self.order("place", *arguments)
        assert done.returncode == 0, done.stderr
        return str(uuid.UUID(done.stdout.split(" ")[0]))


@pytest.fixture
def person(service: Service, tmp_path: Path) -> Person:
    """Somebody new."""
    return Person(service, tmp_path)


def test_an_order_is_placed_listed_and_cancelled(person: Person) -> None:
    """Three commands of one person see the same order, in plain words."""
    order_id = person.placed("EUR/RUB", "sell", "2.50", "200")
    listed = person.order("list").stdout.splitlines()
    cancelled = person.order("cancel", order_id)
    again = person.order("cancel", order_id)

    assert listed[0].split()[:2] == ["ORDER", "TIME"]
    assert listed[1].split()[0] == order_id
    assert listed[1].split()[3:] == ["EUR/RUB", "sell", "limit", "gtc", "2.5", "200", "0", "-", "active"]
    assert cancelled.stdout == f"{order_id} cancelled: sell 2.5 EUR/RUB at 200, filled 0\n"
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (1, "", 1)
    assert "cancelled" in again.stderr


def test_wait_tells_how_an_order_ended(person: Person) -> None:
    """--wait prints the fill and ends with 0; an order that ends unfilled gives 3."""
    filled = person.order("place", "EUR/RUB", "buy", "10", "95", "--wait")
    missed = person.order("place", "EUR/RUB", "buy", "10", "1", "--time-in-force", "ioc", "--wait")
    market = person.order("place", "EUR/RUB", "sell", "4", "--type", "market", "--wait")

    assert filled.returncode == 0
    assert " filled: buy 10 EUR/RUB at 95, filled 10 at 8" in filled.stdout.splitlines()[-1]
    assert " from synthetic" in filled.stdout.splitlines()[-1]
    assert missed.returncode == 3
    assert " cancelled: buy 10 EUR/RUB at 1, filled 0 (" in missed.stdout.splitlines()[-1]
    assert market.returncode == 0


def test_positions_come_from_trades(person: Person) -> None:
    """Bought and sold amounts, what is held, and the profit at the live quote."""
    empty = person.order("positions")
    person.order("place", "EUR/RUB", "buy", "10", "95", "--wait")
    person.order("place", "EUR/RUB", "sell", "4", "80", "--wait")
    heading, row = person.order("positions").stdout.splitlines()
    cells = row.split()

    assert (empty.stdout, empty.stderr.count("No trades yet.")) == ("", 1)
    assert heading.split() == ["INSTRUMENT", "HELD", "BOUGHT", "AT", "SOLD", "AT", "PROFIT"]
    assert (cells[0], cells[1], cells[2], cells[4]) == ("EUR/RUB", "6", "10", "4")
    assert abs(Decimal(cells[6])) < 10


def test_csv_has_every_field_exactly(person: Person) -> None:
    """`list --csv` is one line of headings and one line for each order."""
    order_id = person.placed("EUR/RUB", "buy", "0.000000000000000001", "1.10", "--client-order-id", "mine")
    rows = list(csv.DictReader(io.StringIO(person.order("list", "--csv").stdout)))

    assert len(rows) == 1
    assert rows[0]["order_id"] == order_id
    assert rows[0] | {"amount": "0.000000000000000001", "price": "1.1", "avg_price": ""} == rows[0]
    assert rows[0] | {"client_order_id": "mine", "side": "buy", "status": "active"} == rows[0]
    assert int(rows[0]["creation_time"]) > 1_600_000_000_000


def test_the_client_id_is_made_once_and_kept_for_its_owner(person: Person) -> None:
    """The first command makes the file, for its owner alone, and says where; --client-id is another owner."""
    first = person.order("list")
    kept = person.id_file.read_text()
    second = person.order("list")
    order_id = person.placed("EUR/RUB", "buy", "1", "1")
    foreign = person.order("cancel", order_id, "--client-id", str(uuid.uuid4()))
    same = person.order("cancel", order_id, "--client-id", kept.strip())

    assert str(person.id_file) in first.stderr
    assert "No orders yet." in first.stderr
    assert str(person.id_file) not in second.stderr
    assert person.id_file.read_text() == kept == f"{uuid.UUID(kept.strip())}\n"
    assert stat.S_IMODE(person.id_file.stat().st_mode) == 0o600
    assert os.listdir(person.id_file.parent) == ["client-id"]
    assert (foreign.returncode, same.returncode) == (1, 0)


def test_a_broken_id_file_says_what_to_do(person: Person) -> None:
    """A file without a UUID is never replaced: that could hide somebody's orders."""
    person.id_file.parent.mkdir()
    person.id_file.write_text("nonsense\n")
    done = person.order("list")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"Error: client-id: {person.id_file} does not contain a UUID; put yours into it, or "
    )
    assert person.id_file.read_text() == "nonsense\n"


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["place", "EUR/RUB", "buy", "10"], 2, "A limit order needs a PRICE, or use --type market."),
        (["place", "EUR/RUB", "buy", "10", "1", "--type", "market"], 2, "A market order has no PRICE."),
        (["place", "EUR/RUB", "hold", "10", "1"], 2, "'hold' is not one of 'buy', 'sell'"),
        (["place", "EUR/RUB", "buy", "ten", "1"], 1, "amount must be a decimal number, not 'ten'"),
        (["place", "EUR/XXX", "buy", "1", "1"], 1, "EUR/XXX"),
        (["cancel", "all"], 2, "'all' is not a valid UUID"),
        (["cancel", "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"], 1, "5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"),
    ],
)
def test_a_mistake_gets_one_line(arguments: list[str], status: int, words: str, person: Person) -> None:
    """What is wrong is said in one line; 2 when the arguments are, 1 when the gateway refuses."""
    person.id_file.parent.mkdir()
    person.id_file.write_text(f"{uuid.uuid4()}\n")
    done = person.order(*arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)
    assert words in done.stderr


def test_the_help_says_where_the_id_is_and_what_the_status_means(tmp_path: Path) -> None:
    """`order --help` names the file of the id and every exit status."""
    shown = command("order", "--help", XDG_CONFIG_HOME=str(tmp_path)).stdout

    assert str(tmp_path / "crypto-stream" / "client-id") in shown.replace("\n  ", "")
    assert "3 the order that --wait" in " ".join(shown.split())
    for name in ("place", "cancel", "list", "watch", "positions"):
        assert f"\n  {name} " in shown


@pytest.mark.asyncio(loop_scope="module")
async def test_watch_prints_what_happens_over_a_gateways_death(person: Person, service: Service) -> None:
    """`watch` goes on after the gateway was killed, says so, and prints each change once; Ctrl-C stops it."""
    (person.home / "watch").mkdir()
    watching = ["-m", "crypto_stream", "order", "watch", "--url", person.url]
    with program(watching, person.home / "watch", XDG_CONFIG_HOME=str(person.home)) as watch:
        await until(lambda: "Watching your orders" in watch.output)
        order_id = await asyncio.to_thread(person.placed, "EUR/RUB", "buy", "10", "1")
        await until(lambda: order_id in watch.output)
        os.kill(service.running.pids("gateway-1")[-1], signal.SIGKILL)
        await until(lambda: "Not connected, trying again" in watch.output)
        await asyncio.to_thread(person.order, "cancel", order_id)
        await until(lambda: f"{order_id} cancelled" in watch.output, 40 * SCALE)
        watch.process.send_signal(signal.SIGINT)
        status = watch.wait()
    told = [line.split()[1:4] for line in watch.output.splitlines() if order_id in line]

    assert status == 0
    assert told == [["new", order_id, "active:"], ["cancelled", order_id, "cancelled:"]]


def test_without_a_gateway_it_says_so(tmp_path: Path) -> None:
    """Nobody there: one line, status 1."""
    given = ["--url", "http://127.0.0.1:1", "--client-id", str(uuid.uuid4())]
    done = command("order", "list", *given, XDG_CONFIG_HOME=str(tmp_path))

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(
        "Error: no answer from http://127.0.0.1:1: connection refused; is it running?"
    )
    assert not (tmp_path / "crypto-stream").exists()
