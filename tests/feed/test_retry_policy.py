"""When and where a source is retried: never against the venue's limits, always eventually."""

from __future__ import annotations

import bisect
import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.backoff import Backoff
from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.handler import Budget
from crypto_stream.feed.retry_policy import ConnectBudget, Connected, RetryPolicy

BOUNDS = [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
HOSTS = ("one", "two", "three")
CUT = VenueError("connection cut (1006)")
NOTHING = Connected()


def policy(
    hosts: Sequence[str] = HOSTS, budget: ConnectBudget | None = None, chance: float = 0.5
) -> RetryPolicy:
    """Create a policy that starts at 0 s, and retries the first host after 60 s."""
    budget = budget or ConnectBudget(Budget(300, 300.0))
    return RetryPolicy(hosts, budget, first_host_retry_s=60.0, now_s=0.0, chance=lambda: chance)


def test_bounds_double_up_to_a_minute() -> None:
    """The longest possible delays are 0.5 s, doubled up to 60 s."""
    backoff = Backoff(0.5, 60.0)

    assert [backoff.next_delay() for _ in BOUNDS] == BOUNDS


@given(st.integers(0, 2**32), st.lists(st.booleans(), max_size=30))
def test_delays_have_full_jitter_and_are_reset_after_data(seed: int, resets: list[bool]) -> None:
    """Every delay lies between 0 and its bound; a reset starts at the first bound again."""
    backoff = Backoff(0.5, 60.0, random.Random(seed).random)
    step = 0
    for reset in resets:
        if reset:
            backoff.reset()
            step = 0
        delay = backoff.next_delay()
        bound = BOUNDS[min(step, len(BOUNDS) - 1)]
        step += 1

        assert 0 <= delay < bound


def test_jitter_uses_the_whole_span() -> None:
    """Many clients cut at once return spread over the whole span."""
    draws = random.Random(1)
    delays = [Backoff(0.5, 60.0, draws.random).next_delay() for _ in range(200)]

    assert min(delays) < 0.05
    assert max(delays) > 0.45


@given(
    st.integers(1, 5),
    st.integers(1, 20),
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
)
def test_no_window_holds_more_attempts_than_the_budget(
    attempts: int, seconds: int, pauses: list[int]
) -> None:
    """With the returned delays no window has more attempts than allowed, nor is a delay too long."""
    budget = ConnectBudget(Budget(attempts, float(seconds)))
    now, made = 0.0, list[float]()
    for pause in pauses:
        now += pause
        wait = budget.delay(now)
        before = len(made) - bisect.bisect_right(made, now - seconds)
        assert (wait > 0) == (before >= attempts)
        now += wait
        assert budget.delay(now) == 0
        budget.spend(now)
        made.append(now)

    for moment in made:
        assert sum(moment - seconds < other <= moment for other in made) <= attempts


def test_the_first_attempt_is_made_at_once_at_the_first_host() -> None:
    """There is no delay before the first failure."""
    fresh = policy()

    assert fresh.delay(0.0) == 0.0
    assert fresh.attempt(0.0) == "one"


def test_delays_double_until_data_was_received_for_long_enough() -> None:
    """Connecting alone is no success: only more than 5 s of data reset the delays."""
    tried = policy(chance=1.0)
    achieved = [NOTHING, Connected(5.0, True), NOTHING, Connected(5.1, True), NOTHING]
    delays = [tried.failed("one", CUT, 0.0, connected).delay_s for connected in achieved]

    assert delays == [0.5, 1, 2, 0.5, 1]


def test_after_a_host_without_data_the_next_one_is_tried() -> None:
    """One that delivered some of what was requested is tried again itself."""
    tried = policy()
    tried.failed("one", CUT, 0.0, NOTHING)
    after_nothing = tried.attempt(1.0)
    tried.failed("two", CUT, 1.0, Connected(1.0, True))

    assert after_nothing == "two"
    assert tried.attempt(3.0) == "two"


def test_retry_after_applies_to_all_hosts() -> None:
    """Retry-After of 429 and 503, and a ban of our address, concern the venue as a whole."""
    tried = policy()
    retry = tried.failed("one", RetryLaterError("HTTP 429", 30.0), 10.0, NOTHING)

    assert retry == (30.0, True, 0.0)
    assert tried.delay(25.0) == 15.0
    assert tried.delay(40.0) == 0.0


def test_after_a_host_that_refuses_us_the_next_one_is_tried_at_once() -> None:
    """403 and 451 concern one host; if all sent it, the first ban to end counts, and is stored."""
    tried = policy(("one", "two"), chance=0.0)
    first = tried.failed("one", RetryLaterError("403", 300.0, next_host=True, breaker=True), 0.0, NOTHING)
    second = tried.failed("two", RetryLaterError("403", 600.0, next_host=True, breaker=True), 0.0, NOTHING)

    assert first == (0.0, True, 0.0)
    assert second == (300.0, True, 300.0)
    assert tried.delay(299.0) == 1.0
    assert tried.attempt(300.0) == "one"


def test_only_a_ban_is_stored() -> None:
    """A busy venue's Retry-After is short; a ban of our address must survive a restart."""
    busy = policy().failed("one", RetryLaterError("HTTP 429", 30.0), 0.0, NOTHING)
    banned = policy().failed("one", RetryLaterError("HTTP 418", 600.0, breaker=True), 0.0, NOTHING)

    assert busy.ban_s == 0.0
    assert banned.ban_s == 600.0


def test_a_ban_outlasts_later_failures_and_holds_for_other_connections() -> None:
    """A move is refused with a ban, then two connections are cut: none is retried before the ban ends."""
    budget = ConnectBudget(Budget(300, 300.0))
    moving, other = policy(budget=budget), policy(budget=budget)
    moving.failed("one", RetryLaterError("HTTP 418", 600.0, breaker=True), 0.0, NOTHING)
    retries = [each.failed("one", CUT, 100.0, Connected(9.0, True)) for each in (moving, other)]

    assert retries == [(500.0, True, 0.0)] * 2
    assert (moving.delay(100.0), other.delay(599.0)) == (500.0, 1.0)


def test_after_a_first_host_that_is_no_better_the_current_one_is_used() -> None:
    """The first host is retried while another is incomplete; its delays are respected."""
    tried = policy(("one", "two"))
    tried.failed("one", CUT, 0.0, NOTHING)
    tried.attempt(1.0)
    looks = [tried.tries_first_host("two", now_s, complete=False) for now_s in (1.0, 61.0)]
    trial = tried.attempt(61.0)
    refused = RetryLaterError("HTTP 403", 300.0, next_host=True, breaker=True)
    ban_s = tried.trial_failed(trial, refused, 62.0, current="two")

    assert looks == [False, True]
    assert (trial, ban_s) == ("one", 0.0)
    assert tried.attempt(63.0) == "two"
    assert not tried.tries_first_host("two", 361.0, complete=False)
    assert tried.tries_first_host("two", 362.0, complete=False)


class Walk:
    """A source with two connections and random events; it respects the returned delays."""

    def __init__(self, hosts: Sequence[str], budget: Budget, luck: st.DataObject) -> None:
        shared = ConnectBudget(budget)
        self.now_s = 0.0
        self.attempts: list[float] = []
        self.venue_ban_s = 0.0
        self.host_bans: dict[tuple[RetryPolicy, str], float] = {}
        self.asked_s: list[float] = [60.0, budget.seconds]
        self._hosts = hosts
        self._luck = luck
        self._policies = [policy(hosts, shared, chance) for chance in (0.0, 0.99)]
        self._serving: dict[RetryPolicy, str | None] = {}

    def step(self) -> None:
        """Try one of the connections after a random pause, or cut a serving one."""
        chosen = self._luck.draw(st.sampled_from(self._policies))
        self.now_s += self._luck.draw(st.sampled_from([0.0, 0.1, 3.0, 50.0]))
        if chosen in self._serving and self._luck.draw(st.booleans()):
            chosen.failed(self._serving.pop(chosen), CUT, self.now_s, Connected(9.0, True))
        else:
            self._try(chosen)

    def _try(self, chosen: RetryPolicy) -> None:
        current = self._serving.get(chosen)
        if current is not None and not chosen.tries_first_host(current, self.now_s, complete=False):
            return
        delay_s = chosen.delay(self.now_s)
        assert delay_s <= max(self.asked_s) + 1e-6
        self.now_s += delay_s
        while chosen.delay(self.now_s):  # a float's last digit
            self.now_s += 1e-6
        host = chosen.attempt(self.now_s)
        self.attempts.append(self.now_s)
        assert self.now_s >= self.venue_ban_s
        assert host is None or self.now_s >= self.host_bans.get((chosen, host), 0.0)
        self._end(chosen, host, current)

    def _end(self, chosen: RetryPolicy, host: str | None, current: str | None) -> None:
        """Let an attempt succeed, fail, or be refused for some time."""
        outcome = self._luck.draw(st.sampled_from(["success", "cut", "busy", "host", "venue"]))
        if outcome == "success":
            self._serving[chosen] = host
            return
        error = CUT
        if outcome != "cut":
            seconds = self._luck.draw(st.sampled_from([0.2, 7.0, 120.0, 900.0]))
            error = RetryLaterError(
                outcome, seconds, next_host=outcome == "host", breaker=outcome in ("host", "venue")
            )
            self.asked_s.append(seconds)
            if outcome != "host":
                self.venue_ban_s = max(self.venue_ban_s, self.now_s + seconds)
            elif host is not None:
                self.host_bans[chosen, host] = self.now_s + seconds
        if current is None or current == host:
            chosen.failed(host, error, self.now_s, NOTHING)
        else:
            chosen.trial_failed(host, error, self.now_s, current=current)


@given(st.integers(0, 3), st.integers(1, 4), st.sampled_from([0.5, 10.0, 300.0]), st.data())
def test_with_the_returned_delays_all_limits_are_respected_and_nothing_is_stuck(
    hosts: int, attempts: int, seconds: float, luck: st.DataObject
) -> None:
    """No attempt beyond the budget, none before a ban ends, and always one within the longest delay."""
    walk = Walk(HOSTS[:hosts], Budget(attempts, seconds), luck)
    for _ in range(30):
        walk.step()

    for moment in walk.attempts:
        assert sum(moment - seconds + 1e-6 < other <= moment for other in walk.attempts) <= attempts
