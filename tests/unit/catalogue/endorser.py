"""Somebody who signs image lists, as endorsers do: with openssl."""

import subprocess
from pathlib import Path

from certipy import Certipy

IMAGES = Path(__file__).parents[2] / "fixtures" / "feeds" / "images.json"


class Endorser:
    """Somebody with a certificate."""

    def __init__(self, folder, name):
        made = Certipy(store_dir=str(folder / name))
        made.create_ca(f"{name}-ca")
        files = made.create_signed_pair(name, f"{name}-ca")["files"]
        self.cert, self.key = files["cert"], files["key"]
        self.authority = Path(made.store.get_record(f"{name}-ca")["files"]["cert"]).read_text()

    def sign(self, content, *options):
        command = ["openssl", "cms", "-sign", "-signer", self.cert, "-inkey", self.key, "-outform", "SMIME"]
        done = subprocess.run([*command, *options], input=content, capture_output=True, check=True)
        return done.stdout
