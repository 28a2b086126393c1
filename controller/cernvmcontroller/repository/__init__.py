"""The repository: the appliances that are here and ready."""

from cernvmcontroller.repository.manifest import Manifest, load_manifest
from cernvmcontroller.repository.repository import Repository

__all__ = ["Manifest", "Repository", "load_manifest"]
