"""What a site can turn about feeds and downloads."""

from __future__ import annotations

from traitlets import Dict, Integer, List, Unicode
from traitlets.config import Configurable

from cernvmcontroller.catalogue.sources import DEFAULT_FEEDS
from cernvmcontroller.fetch import Fetcher
from cernvmcontroller.repository.settings import DownloadSettings


class CatalogueOptions(Configurable):
    """Options of the controller; they are set as ``c.CernVMController.…``."""

    feeds = List(
        Dict(),
        DEFAULT_FEEDS,
        help="Feeds of appliances: `id`, `url` and, where wished, `title`, `interval` (seconds), "
        "`allow_http`, `authority_file` (certificates of who may sign it). Administrators add more through "
        "the API.",
    ).tag(config=True)
    fetch_allowed = List(
        Unicode(),
        help="Host names, addresses and networks inside of the site from which feeds may be fetched. Without "
        "it only public addresses are asked.",
    ).tag(config=True)
    fetch_ca = Unicode(
        help="File with further certificate authorities of servers with feeds, beside the system's own."
    ).tag(config=True)
    downloads_at_once = Integer(2, help="Appliances that are downloaded at the same time.").tag(config=True)
    largest_download_mib = Integer(65536, help="Size in MiB of the largest file that is downloaded.").tag(
        config=True
    )
    largest_disk_mib = Integer(131072, help="Size in MiB of the largest disk in an image.").tag(config=True)

    def fetcher(self) -> Fetcher:
        """Return what fetches for the site; `Invalid` where its authorities cannot be read."""
        return Fetcher.of_site(self.fetch_allowed, self.fetch_ca or None)

    def download_settings(self) -> DownloadSettings:
        """Return the limits of downloads."""
        return DownloadSettings(self.downloads_at_once, self.largest_download_mib, self.largest_disk_mib)
