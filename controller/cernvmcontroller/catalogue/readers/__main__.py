"""The process in which one feed is read: limits first, then a request on its input, an answer on its output.

A reader that is led astray by a hostile document costs this process its processor time and its memory, and
the controller nothing.
"""

from __future__ import annotations

import resource
import sys

import msgspec

from cernvmapi.errors import SourceFailed
from cernvmcontroller.catalogue.readers.document import Document  # noqa: TC001 - read at run time
from cernvmcontroller.catalogue.readers.reading import read

MEMORY = 1024**3
"""Bytes of address space; a feed of 5,000 items takes a tenth of it."""
PROCESSOR = 20
"""Seconds."""
FILES = 64 * 1024**2
"""Bytes of a file that it writes: the certificates to check a signature with."""


class Request(msgspec.Struct, frozen=True):
    """What to read; see `reading.read`."""

    content: bytes
    url: str
    authority: str | None


class Answer(msgspec.Struct, frozen=True):
    """What was read, or why nothing was."""

    document: Document | None = None
    error: str = ""


def main() -> None:
    """Answer one request."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR, PROCESSOR))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILES, FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    request = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Request)
    try:
        answer = Answer(document=read(request.content, request.url, request.authority))
    except SourceFailed as error:
        answer = Answer(error=error.detail)
    except MemoryError:
        answer = Answer(error=f"Reading the feed takes more than {MEMORY // 1024**2} MiB of memory.")
    except Exception as error:  # noqa: BLE001 - whatever a stranger's document brings a parser to
        answer = Answer(error=f"The feed cannot be understood ({type(error).__name__}).")
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer))


if __name__ == "__main__":
    main()
