"""File descriptors: how many this process may have open, and whether one is writable without blocking.

Imported before a green server monkey-patches `select`, which removes `poll` or makes it block.
"""

from __future__ import annotations

import resource
from contextlib import suppress
from select import PIPE_BUF, POLLOUT, poll

ATOMIC_WRITE_BYTES = PIPE_BUF  # a writable descriptor accepts this many bytes without blocking (POSIX)
# macOS reports an unlimited hard limit but accepts no more than this.
_DARWIN_LIMIT = 10_240


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard limit, or as far as allowed; return the new limit.

    Login shells and service managers default to 1,024 for the sake of programs that call `select`; we do not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (hard, max(soft, _DARWIN_LIMIT)):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            break
    return open_file_limit()


def open_file_limit() -> int:
    """Return how many files this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft


def is_writable(descriptor: int) -> bool:
    """Return whether ATOMIC_WRITE_BYTES can be written now.

    Making the descriptor non-blocking instead would change it for the process that started us, too.
    """
    poller = poll()
    poller.register(descriptor, POLLOUT)
    return any(events & POLLOUT for _, events in poller.poll(0))
