"""How many files and connections this process may have open at once."""

from __future__ import annotations

import resource
from contextlib import suppress

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
