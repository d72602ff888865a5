"""Where the program's own files are: beside the package in a checkout, inside it in an installed wheel.

`setup.py` moves them when it builds the wheel; nothing else may assume one of the two places.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
INSTALLED = (_PACKAGE / "templates").is_dir()
_PARENT = _PACKAGE if INSTALLED else _PACKAGE.parent

HANDLERS = _PARENT / "handlers"
TEMPLATES = _PARENT / "templates"
STATIC = _PARENT / "static"
# In a folder of its own: Python must find nothing else there when another environment's runs a bridge.
BRIDGES = (_PACKAGE / "programs" if INSTALLED else _PARENT) / "bridges"
# The environment with their own requirements, if somebody has made it (docs/bridges.md), else this one.
_BRIDGES_PYTHON = BRIDGES / ".venv" / "bin" / "python"
BRIDGES_PYTHON = str(_BRIDGES_PYTHON) if _BRIDGES_PYTHON.is_file() else sys.executable
# The name under which handlers are imported. Only a checkout has a package of this name at the top level.
HANDLERS_PACKAGE = "crypto_stream.handlers" if INSTALLED else "handlers"

SCRIPT = "crypto-stream"
# The program, and the pip of its environment, as texts name them.
COMMAND = SCRIPT if INSTALLED else ".venv/bin/python -m crypto_stream"
PIP = "pip" if INSTALLED else ".venv/bin/pip"
# Python's arguments that run it. -P: never import from the current folder, which may be anybody's.
RUN = ("-P", "-m", "crypto_stream") if INSTALLED else ("-m", "crypto_stream")
