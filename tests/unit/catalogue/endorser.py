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

    def trusted_by_the_system(self, folder):
        """Return what makes openssl trust this authority by default, as variables of the environment."""
        file = folder / "ca.pem"
        file.write_text(self.authority)
        digest = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", str(file)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        (folder / f"{digest}.0").write_text(self.authority)
        return {"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": str(folder)}

    def sign(self, content, *options):
        command = ["openssl", "cms", "-sign", "-signer", self.cert, "-inkey", self.key, "-outform", "SMIME"]
        done = subprocess.run([*command, *options], input=content, capture_output=True, check=True)
        return done.stdout
