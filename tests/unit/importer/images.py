"""Images made for tests: by qemu-img, as anybody's are, and by hand, as an enemy's."""

import json
import random
import struct
import subprocess

MIB = 1024**2


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def disk(size=8 * MIB, seed=1, start=2048, count=None, active=0x80):
    """Return a raw disk with one partition, of content that does not compress to nothing."""
    content = bytearray(size)
    content[MIB : MIB + 65536] = random.Random(seed).randbytes(65536)
    count = size // 512 - start if count is None else count
    content[446:462] = struct.pack("<B3xB3xII", active, 0x83, start, count)
    content[510:512] = b"\x55\xaa"
    return bytes(content)


def raw(path, **how):
    path.write_bytes(disk(**how))
    return path


def qcow2(path, *options, **how):
    """Write a qcow2 image of `disk`."""
    source = raw(path.with_suffix(".source"), **how)
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, source, path)
    source.unlink()
    return path


def compressed(path, program):
    """Return a file compressed beside itself, by gzip, xz, zstd or bzip2."""
    suffix = {"gzip": ".gz", "xz": ".xz", "zstd": ".zst", "bzip2": ".bz2"}[program]
    run(program, "-k", path)
    return path.with_name(path.name + suffix)


def info(path):
    """Return what qemu-img says of a qcow2 image of ours."""
    return json.loads(subprocess.check_output(["qemu-img", "info", "-f", "qcow2", "--output=json", path]))


def header(path, offset, content):
    """Write over some bytes of an image."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)
    return path
