"""Build the wheel: the folders that a checkout has beside the package become parts of it.

Everything else about the distribution is in pyproject.toml. `crypto_stream/layout.py` finds the files again.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

# `handlers` becomes `crypto_stream.handlers`, and so on: nothing else is installed at the top level.
_MOVED = {f"crypto_stream.{each}": each for each in ("handlers", "templates", "static")}
_MOVED["crypto_stream.programs.bridges"] = "bridges"
_SCRIPTS = Path("static", "vendor")

if not any(_SCRIPTS.glob("*js")):
    raise SystemExit(f"{_SCRIPTS} is empty: `make wheel` installs the pages' scripts first")

setup(
    packages=[*find_packages(include=["crypto_stream*"]), *_MOVED],
    package_dir=_MOVED,
    package_data={
        "crypto_stream.storage": ["migrations/*.sql"],
        "crypto_stream.templates": ["*.html"],
        "crypto_stream.static": ["**/*"],
        "crypto_stream.programs.bridges": ["requirements.txt"],
    },
    exclude_package_data={"crypto_stream.static": [".*", "**/.*"]},
    include_package_data=False,
)
