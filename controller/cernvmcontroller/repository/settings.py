"""What the site turned about downloads."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DownloadSettings:
    """Limits of downloads.

    Parameters
    ----------
    at_once
        Downloads at the same time; more wait.
    largest_file_mib, largest_disk_mib
        Of a file that is downloaded, and of the disk in it.
    seconds
        Until all of a file is here.
    """

    at_once: int = 2
    largest_file_mib: int = 64 * 1024
    largest_disk_mib: int = 128 * 1024
    seconds: float = 86400
