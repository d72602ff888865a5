"""Use what a core has left, at idle priority: `python -m benchmarks.spinner`; it ends when it is killed.

A core that has nothing to do most of the time sleeps or slows down its clock, and its caches get cold, so
that the little that it does takes several times as long. Beside this loop, which gives way to every other
process at once, it works as it does on a machine that has something to do.
"""

from __future__ import annotations

import os


def main() -> None:
    """Loop for ever."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        os.nice(19)
    print("spinning", flush=True)
    while True:
        pass


if __name__ == "__main__":
    main()
