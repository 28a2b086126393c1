"""The catalogue: which appliances and flavors there are."""

from cernvmcontroller.catalogue.catalogue import Catalogue
from cernvmcontroller.catalogue.flavors import DEFAULT_FLAVORS, load_flavors
from cernvmcontroller.catalogue.manifest import Manifest, load_manifest

__all__ = ["DEFAULT_FLAVORS", "Catalogue", "Manifest", "load_flavors", "load_manifest"]
