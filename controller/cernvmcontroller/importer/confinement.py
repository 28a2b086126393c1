"""Running a program on a stranger's file: as nobody, with an end, and with nothing of the controller's.

util-linux's prlimit and setpriv do it before the program begins. A controller that is not root cannot become
another account; then the program has the controller's, and the same limits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cernvmapi.errors import SourceFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import BinaryIO

_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}
_LONGEST = 200
_HEARD = 4096
_SIGNALLED = 128
"""A shell's way to say by which signal a program ended, which some programs have taken over."""


@dataclass(frozen=True)
class Limits:
    """What a program may use.

    Parameters
    ----------
    seconds
        Until it has ended.
    processor
        Seconds of a processor's time.
    memory, file
        Bytes of address space, and of each file that it writes.
    user
        The account that it runs as.
    """

    seconds: float = 3600
    processor: int = 3600
    memory: int = 2 * 1024**3
    file: int = 256 * 1024**3
    user: str = "nobody"


def owner(user: str) -> int | None:
    """Return the id of the account that programs run as; None where it is the controller's own."""
    return pwd.getpwnam(user).pw_uid if os.geteuid() == 0 else None


def command(program: Sequence[str], limits: Limits) -> list[str]:
    """Return the command line that runs a program within limits."""
    privileges = ["--no-new-privs", "--pdeathsig=KILL"]  # it does not outlive the controller
    if os.geteuid() == 0:
        account = pwd.getpwnam(limits.user)
        privileges += [
            f"--reuid={account.pw_uid}",
            f"--regid={account.pw_gid}",
            "--clear-groups",
            "--inh-caps=-all",
            "--bounding-set=-all",
        ]
    return [
        "prlimit",
        f"--as={limits.memory}",
        f"--cpu={limits.processor}",
        f"--fsize={limits.file}",
        "--core=0",
        "--nofile=256",
        "setpriv",
        *privileges,
        "--",
        *program,
    ]


async def confined(
    program: Sequence[str],
    limits: Limits,
    *,
    folder: Path,
    source: BinaryIO | None = None,
    result: BinaryIO | None = None,
) -> None:
    """Run a program to its end.

    Parameters
    ----------
    folder
        Where it runs.
    source, result
        Its input and its output; None for nothing.

    Raises
    ------
    SourceFailed
        It failed, or needed more than it may have; the sentence has its last words.
    """
    name = program[0]
    process = await asyncio.create_subprocess_exec(
        *command(program, limits),
        stdin=source if source is not None else asyncio.subprocess.DEVNULL,
        stdout=result if result is not None else asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env=_ENVIRONMENT,
        cwd=folder,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limits.seconds):
            said = await _end_of(process.stderr)
            code = await process.wait()
    except TimeoutError:
        raise SourceFailed(
            f"{name} took more than {limits.seconds:g} seconds for the image and was ended."
        ) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    if code:
        raise SourceFailed(_why(name, code, said, limits))


async def _end_of(stream: asyncio.StreamReader | None) -> str:
    """Return the last words on a stream, however much was said before."""
    assert stream is not None
    heard = b""
    while chunk := await stream.read(_HEARD):
        heard = (heard + chunk)[-_HEARD:]
    lines = heard.decode("utf-8", "replace").split("\n")
    words = next((line for line in reversed(lines) if line.strip()), "")
    return "".join(each for each in words if each.isprintable()).strip()[-_LONGEST:]


def _why(name: str, code: int, said: str, limits: Limits) -> str:
    number = -code if code < 0 else code - _SIGNALLED
    if number == signal.SIGXFSZ or "File too large" in said:
        return (
            f"The image becomes larger than {limits.file // 1024**2} MiB, which is the most that it may be."
        )
    if number in {signal.SIGXCPU, signal.SIGKILL}:
        return f"{name} took more than {limits.processor} seconds of a processor's time for the image."
    return f"{name} cannot read the image ({said or f'it ended with code {code}'})."
