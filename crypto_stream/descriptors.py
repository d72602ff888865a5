"""What this process may do with descriptors: how many at once, and which takes bytes without waiting.

Imported before a green server patches `select`: its `poll` would be gone, or would wait.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from select import PIPE_BUF, POLLOUT, poll

AT_ONCE = PIPE_BUF  # bytes that a descriptor with room takes without waiting (POSIX)
# macOS says "unlimited" of the hard limit, and takes no more than this.
_DARWIN = 10_240


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard one, as far as the system lets us; return what holds.

    Login shells and service managers give 1,024, so that old programs with `select` work; ours have none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, max(soft, _DARWIN)):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            break
    return most()


def most() -> int:
    """Return how many may be open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft


def has_room(descriptor: int) -> bool:
    """Say whether AT_ONCE bytes go out now. Its mode is shared with whoever started us, and stays."""
    asked = poll()
    asked.register(descriptor, POLLOUT)
    return any(events & POLLOUT for _, events in asked.poll(0))
