"""Become another program on one core: `python -m benchmarks.on_core CORE|any PROGRAM ARGUMENTS…`.

Servers are measured on the first core this machine gives us, their clients on the second; where cores cannot
be chosen (macOS) it runs anywhere. Ten thousand connections need as many files: the limit is raised.
"""

from __future__ import annotations

import os
import resource
import sys

SERVER, CLIENTS = 0, 1


def main(core: int | None, command: list[str]) -> None:
    """Choose the core, raise the limit on open files, become the program."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(None if sys.argv[1] == "any" else int(sys.argv[1]), sys.argv[2:])
