"""Import: from an image of a stranger to a base that machines can be made on."""

from cernvmcontroller.importer.confinement import Limits
from cernvmcontroller.importer.importing import Imported, Importer

__all__ = ["Imported", "Importer", "Limits"]
