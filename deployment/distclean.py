"""``make distclean``: remove what ``make clean`` leaves, because it takes minutes to make again."""

from __future__ import annotations

import shutil
import sys

from deployment import interface
from deployment.environment import VENV
from deployment.settings import Settings, SettingsError


def main() -> int:
    """Remove built appliances, the built interface and the virtual environment."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 1
    for folder in (settings.cache, VENV, interface.PACKAGES, interface.BUILT):
        if folder.exists():
            shutil.rmtree(folder)
            print(f"Removed: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
