"""What runs in a rehearsal: two engines, two relays, PostgreSQL with a standby, gateways behind HAProxy."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path

import psutil
import psycopg

from tests.fakes import FakeBinance
from tests.ports import free_port
from tests.postgres import PASSWORD, USER, Server
from tests.process.clock import fake_clock
from tests.process.haproxy import HAProxy
from tests.process.programs import Running, address, alive, machine, short_folder
from tests.redis_server import RedisServer
from tests.rehearsal.journal import FOLLOWS, LEADS, Journal
from tests.rehearsal.network import Host, Network
from tests.rehearsal.viewers import SERVED_BY
from tests.waiting import SCALE, until

ENGINES = ("engine-a", "engine-b")
GATEWAYS = ("gateway-1", "gateway-2", "gateway-3")
RELAYS = ("redis-1", "redis-2")
DATABASES = ("postgres-1", "postgres-2")
PROXY = "haproxy"
PAIR = "btcusdt"
_LONG_S = 60 * SCALE
_LOG_SIZE = 10**9  # never rotated: a journal follows it
_ORPHANED_S = 5 * SCALE  # engine and gateways notice within about a second that their supervisor is gone


class World:
    """The processes by name. What was killed is started again by `back`, or by its supervisor."""

    def __init__(self, network: Network, folder: Path, find: Callable[[str], str]) -> None:
        """Keep all files in `folder`; `find` returns the path of a program."""
        self.url = ""
        self.hosts: dict[str, Host] = {}
        self.machines: dict[str, Running] = {}
        self.relays: dict[str, RedisServer] = {}
        self.databases: dict[str, Server] = {}
        self.primary = DATABASES[0]
        self._network = network
        self._folder = folder
        self._find = find
        self._proxy: HAProxy | None = None
        self._ahead_s: dict[str, int] = {}
        self._relay_at: dict[str, str] = {}  # by the address that a machine knows
        self._options: dict[str, tuple[str, list[str], dict[str, str]]] = {}
        self._stack = AsyncExitStack()
        self._stacks: dict[str, ExitStack] = {}
        self._journals = {
            name: Journal(folder / name / "app.log", _part_of(name)) for name in (*ENGINES, *GATEWAYS)
        }

    async def __aenter__(self) -> World:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    # What may be done to it.

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass between two machines any more."""
        self._network.cut(self.hosts[one], self.hosts[other])

    def mend(self, one: str, other: str) -> None:
        """Let everything pass again."""
        self._network.mend(self.hosts[one], self.hosts[other])

    def kill(self, name: str) -> None:
        """Kill the engine, gateway, relay or database of a machine, or the proxy."""
        if name == PROXY:
            self.proxy.kill()
        elif name in self.relays:
            self.relays[name].kill()
        elif name in self.databases:
            self.databases[name].kill()
        else:
            self.signal(name, signal.SIGKILL)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the engine or gateway of a machine."""
        with suppress(ProcessLookupError):
            os.kill(self._journals[name].pids[-1], number)

    def vanish(self, name: str) -> None:
        """Let nothing of a machine reach any other, then kill all of it: nobody is told of its end."""
        self._network.isolate(self.hosts[name])
        whole = psutil.Process(self.machines[name].process.pid)
        for each in [whole, *whole.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.machines[name].process.wait()

    async def orphan(self, name: str) -> None:
        """Kill the supervisor of a machine, and wait until the others have noticed that and are gone."""
        whole = psutil.Process(self.machines[name].process.pid)
        others = [each.pid for each in whole.children(recursive=True)]
        whole.kill()
        self.machines[name].process.wait()
        await until(lambda: not any(map(alive, others)), _ORPHANED_S)

    async def restart(self, name: str, ahead_s: int = 0) -> None:
        """End a machine or a relay as a person would, and start it again, with a clock `ahead_s` ahead."""
        if name in self.relays:
            self.relays[name].kill()
        else:
            self.machines[name].process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(self.machines[name].wait)
        self._ahead_s[name] = ahead_s
        await self.back(name)

    async def reload(self, name: str) -> None:
        """Restart the gateways of a machine while their supervisor goes on."""
        reloads = self._journals[name].reloads
        self.machines[name].process.send_signal(signal.SIGUSR1)
        await until(lambda: self._journals[name].reloads > reloads, _LONG_S)

    async def listens(self, gateway: str, relay: str) -> None:
        """Let a gateway use a relay: cut it off from the other one for a moment if it uses that."""
        while (used := await self.relay_of(gateway)) != relay:
            host, server = self.hosts[gateway], self.hosts[used]
            joined = self._journals[gateway].joins
            self._network.hang_up(host, server, self.relays[used].port)
            await until(lambda joined=joined: self._journals[gateway].joins > joined, _LONG_S)  # type: ignore[misc]

    async def back(self, name: str) -> None:
        """Start again what was killed, unless its supervisor does, and wait until it is ready."""
        if name == PROXY:
            await asyncio.to_thread(self.proxy.start)
        elif name in self.relays:
            await asyncio.to_thread(self.relays[name].start)
        elif name in self.databases:
            await asyncio.to_thread(self.databases[name].start)
        elif self.machines[name].process.poll() is not None:
            starts = self.starts(name)
            self._network.join(self.hosts[name])
            self._run(name)
            await until(lambda: self.starts(name) > starts, _LONG_S)  # what its last life said is over
        if name in ENGINES:
            await until(lambda: self._journals[name].is_warm, _LONG_S)
        elif name in GATEWAYS:
            await address(self.machines[name])

    def starts(self, name: str) -> int:
        """Return how often the engine or gateway of a machine was started."""
        return len(self._journals[name].pids)

    async def started_after(self, name: str, starts: int) -> None:
        """Wait until an engine that has lost the lease was started again, and is ready."""
        await until(lambda: self.starts(name) > starts, _LONG_S)
        await self.back(name)

    # What may be asked of it.

    def leader(self) -> str:
        """Return the name of the engine that has the lease."""
        with psycopg.connect(self.address, connect_timeout=10) as session:
            ((holder,),) = session.execute("SELECT holder FROM lease").fetchall()
        ids = {(self._folder / name / "data" / "engine-id").read_text().strip(): name for name in ENGINES}
        assert holder in ids, f"nobody leads: the lease has {holder!r}"
        return ids[holder]

    def follower(self) -> str:
        """Return the name of the other one."""
        leader = self.leader()
        return next(name for name in ENGINES if name != leader)

    async def relay_of(self, gateway: str) -> str:
        """Return the relay that a gateway uses, once it does."""
        await until(lambda: self._journals[gateway].relay, _LONG_S)
        return self._relay_at[self._journals[gateway].relay]

    async def users_of(self, relay: str) -> list[str]:
        """Return the gateways that use a relay."""
        return [name for name in GATEWAYS if await self.relay_of(name) == relay]

    def is_ready(self) -> bool:
        """Return whether one engine leads, and the other one could."""
        journals = [self._journals[name] for name in ENGINES]
        places = sorted(each.place for each in journals)
        return places == sorted((FOLLOWS, LEADS)) and all(each.is_warm for each in journals)

    @property
    def proxy(self) -> HAProxy:
        """The proxy, once it was started."""
        assert self._proxy is not None
        return self._proxy

    @property
    def address(self) -> str:
        """The address of the database, for the rehearsal itself."""
        return self.databases[self.primary].address(self._name)

    # Its beginning.

    async def _start(self) -> None:
        for name in (*ENGINES, *GATEWAYS, *RELAYS, *DATABASES):
            self.hosts[name] = self._network.add(name)
        self._start_relays()
        self._start_databases()
        venue = FakeBinance([PAIR], rate=10.0, host=self._network.address)
        await self._stack.enter_async_context(venue)
        for name in ENGINES:
            await self._prepare_engine(name, venue)
            self._run(name)
            await until(lambda name=name: self._journals[name].is_warm, _LONG_S)  # type: ignore[misc]
        for name in GATEWAYS:
            await self._prepare_gateway(name)
            self._run(name)
        hosts = [(await address(self.machines[name])).removeprefix("http://") for name in GATEWAYS]
        self._start_proxy(hosts)

    def _start_proxy(self, hosts: Sequence[str]) -> None:
        """Start the proxy, which names the gateway that it has chosen."""
        servers = {f"server machine-{number} ": f"server {name} " for number, name in enumerate(GATEWAYS, 2)}
        names = {
            "balance leastconn": f"balance leastconn\n    http-response set-header {SERVED_BY} %s",
            **servers,
        }
        folder = Path(self._stack.enter_context(short_folder()))
        gateways = (hosts[0], f"{hosts[1]}\n    server machine-4 {hosts[2]}")
        self._proxy = HAProxy(self._find("haproxy"), folder, gateways, names)
        self._stack.callback(self._proxy.kill)
        self._proxy.start()
        self.url = self._proxy.url

    def _start_relays(self) -> None:
        program = self._find("redis-server")
        for name in RELAYS:
            host, folder = self.hosts[name], self._folder / name
            folder.mkdir()
            relay = self.relays[name] = RedisServer(program, folder, host=host.address, under=host.under)
            relay.start()
            self._stack.callback(relay.kill)

    def _start_databases(self) -> None:
        first: Server | None = None
        for name in DATABASES:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp", prefix="cs-pg-")))
            host = self.hosts[name]
            server = Server(
                folder, self._find, durable=False, host=host.address, under=host.under, copies=first
            )
            self.databases[name] = server
            self._stack.callback(server.kill)
            server.start()
            first = first or server
        assert first is not None
        self._name = first.database().rpartition("/")[2]
        first.require_standby()

    async def _prepare_engine(self, name: str, venue: FakeBinance) -> None:
        ways = [await self._way(name, other, self.databases[other].port) for other in DATABASES]
        environment = {
            "CRYPTO_STREAM_DATABASE": f"postgresql://{USER}:{PASSWORD}@{','.join(ways)}/{self._name}",
            "CRYPTO_STREAM_BINANCE_URL": venue.url,
            "CRYPTO_STREAM_BINANCE_REST_URL": venue.rest_url,
            "CRYPTO_STREAM_SYNTHETIC_EURRUB_SIZE": "150",  # soon used up: orders fill in parts
            "no_proxy": self._network.address,  # the venue is no loopback's
        }
        options = ["--parts", "engine", "--sources", "binance,synthetic", "--pairs", PAIR]
        self._options[name] = (await self._bus(name), options, environment)

    async def _prepare_gateway(self, name: str) -> None:
        place = ["--host", self.hosts[name].address, "--port", str(free_port())]
        self._options[name] = (await self._bus(name), ["--parts", "gateways", *place], {})

    async def _bus(self, name: str) -> str:
        ways = [await self._way(name, relay, self.relays[relay].port) for relay in RELAYS]
        self._relay_at |= zip(ways, RELAYS, strict=True)
        return ",".join(f"redis://{way}/rehearsal" for way in ways)

    async def _way(self, client: str, server: str, port: int) -> str:
        return await self._network.way(self.hosts[client], self.hosts[server], port)

    def _run(self, name: str) -> None:
        if name in self._stacks:
            self._stacks[name].close()
        bus, chosen, environment = self._options[name]
        if ahead_s := self._ahead_s.get(name):
            environment = {
                **environment,
                **fake_clock(),
                "FAKETIME": f"{ahead_s:+d}",
                "FAKETIME_NO_CACHE": "0",
            }
        options = [*chosen, "--log-size", str(_LOG_SIZE)]
        stack = self._stacks[name] = self._stack.enter_context(ExitStack())
        self.machines[name] = stack.enter_context(
            machine(self._folder, name, bus, *options, under=self.hosts[name].under, **environment)
        )


def _part_of(name: str) -> str:
    return "engine" if name in ENGINES else "gateway-1"
