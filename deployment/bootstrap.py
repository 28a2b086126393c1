"""Makes a fresh Debian 12 machine ready: ``python3 -m deployment.bootstrap run|test|lint``.

Needs only the standard library; everything that is there already is left as it is, in well under a second.
"""

from __future__ import annotations

import sys

from deployment import debian, environment, hypervisor, interface

EXTRAS = {
    "run": ("hub", "controller", "deployment"),
    "test": ("hub", "controller", "extension", "widgets", "deployment", "test", "lint", "docs"),
    "lint": ("hub", "controller", "extension", "widgets", "deployment", "test", "lint", "docs"),
}
"""What of pyproject.toml's extras each purpose installs."""


def main() -> int:
    """Install what is missing for one purpose; say in a sentence what cannot be done here."""
    purpose = sys.argv[1]
    try:
        debian.ensure("system-packages.txt")
        if purpose == "test":
            debian.ensure("system-packages-test.txt")
        environment.ensure(EXTRAS[purpose])
        interface.build(tools=purpose != "run")
        if purpose != "lint":
            environment.ensure_proxy()
            hypervisor.ensure()
    except (debian.Missing, environment.InstallFailed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
