"""Which disks are full: a server that cannot write mostly says something else."""

from __future__ import annotations

import os

LEFT = 1024 * 1024
"""Bytes below which a disk counts as full, for a user who is not root."""

_NAMES = {"/": "The machine's disk"}


def full(*places: str) -> str:
    """Return a sentence about each place whose disk is full, empty where there is room.

    Parameters
    ----------
    places
        Folders; ``/`` is the machine's own disk, others are called homes.
    """
    sentences = []
    for place in dict.fromkeys(places):
        try:
            room = os.statvfs(place)
        except OSError:
            continue
        if room.f_bavail * room.f_frsize < LEFT or (room.f_files and not room.f_favail):
            sentences.append(f"{_NAMES.get(place, f'The home {place}')} is full.")
    return " ".join(sentences)
