"""``appliance/build``: builds an image, or finds it built, and prints where it is."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from recipe.cache import default_cache
from recipe.commands import BuildFailed, progress

APPLIANCE = Path(__file__).resolve().parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the result's path is the only thing on standard output."""
    parser = argparse.ArgumentParser(prog="appliance/build", description=__doc__)
    parser.add_argument("what", choices=["default", "tiny", "layer"])
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="folder that keeps images (%(default)s)"
    )
    options = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        if options.what == "layer":
            from recipe import layer  # noqa: PLC0415 - each recipe only with what it needs

            result = layer.build(APPLIANCE, options.cache)
        elif options.what == "tiny":
            from recipe import tiny  # noqa: PLC0415

            result = tiny.build(APPLIANCE, options.cache)
        else:
            from recipe import default  # noqa: PLC0415

            result = default.build(APPLIANCE, options.cache)
    except BuildFailed as error:
        progress(str(error))
        return 1
    progress(f"{options.what}: {time.monotonic() - began:.0f} s")
    sys.stdout.write(f"{result}\n")
    return 0
