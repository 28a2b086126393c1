"""What a machine is told at its boot: composed as data, rendered as images, free of secrets."""

from cernvmcontroller.context.compose import (
    Context,
    NetworkIdentity,
    compose,
    refuse_oversize,
    refuse_secrets,
)
from cernvmcontroller.context.images import configdrive, nocloud, seed_image

__all__ = [
    "Context",
    "NetworkIdentity",
    "compose",
    "configdrive",
    "nocloud",
    "refuse_oversize",
    "refuse_secrets",
    "seed_image",
]
