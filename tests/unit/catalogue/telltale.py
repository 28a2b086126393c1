"""A reader that says what is in its environment."""

import os

from cernvmapi.errors import SourceFailed
from cernvmcontroller.catalogue.readers import __main__ as child


def read(content, url, authority):
    raise SourceFailed(" ".join(os.environ))


child.read = read
child.main()
