"""Makes what the components find at their start.

``python -m deployment.preparation`` is for whoever starts them without ``make run``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from cernvmcontroller.statedir import StateError
from deployment import appliances, certificates, credentials, debian, hypervisor
from deployment.settings import Settings, SettingsError

if TYPE_CHECKING:
    from deployment.credentials import Accounts


def prepare(settings: Settings) -> Accounts:
    """Make secrets, certificates and appliances where they are missing or old, and return the accounts.

    Raises
    ------
    StateError, SettingsError, BuildFailed, Missing, OSError
        One cannot be made; the sentence says what to do.
    """
    accounts = credentials.ensure(settings)
    settings.remember()
    certificates.ensure(settings)
    appliances.ensure(settings)
    return accounts


def main() -> None:
    """Prepare; report a reason in a sentence, not in a traceback."""
    if not hypervisor.bridges_are_filtered():
        sys.exit(
            "What crosses a bridge is not filtered here, so machines would reach every port of this host: "
            "load br_netfilter and set net.bridge.bridge-nf-call-iptables=1."
        )
    try:
        prepare(Settings.from_environment())
    except (StateError, SettingsError, appliances.BuildFailed, debian.Missing, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
