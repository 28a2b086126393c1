"""A reader that does not end."""

import threading

threading.Event().wait()
