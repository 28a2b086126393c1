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
        # Each recipe only with what it needs: the layer alone needs a library.
        if options.what == "layer":
            from recipe.layer import build  # noqa: PLC0415
        elif options.what == "tiny":
            from recipe.tiny import build  # noqa: PLC0415
        else:
            from recipe.default import build  # noqa: PLC0415
        result = build(APPLIANCE, options.cache)
    except BuildFailed as error:
        progress(str(error))
        return 1
    progress(f"{options.what}: {time.monotonic() - began:.0f} s")
    sys.stdout.write(f"{result}\n")
    return 0
