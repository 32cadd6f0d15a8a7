"""What tests need that pip does not bring: without it they are skipped, and say what to install.

    @pytest.mark.needs("chromium")  # or, on the way: needs.need("mount")

With the environment variable SDNB_ALL, which .ci/run sets, they fail instead.
"""

import os
import shutil
import subprocess
import tempfile
from functools import cache

import pytest


def _chromium():
    return any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))


def _raqm():
    from PIL import features

    return features.check("raqm")


def _mount():
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]
        if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
            return False
        subprocess.run(["umount", folder], check=True)
        return True


# a name -> whether it is there, what it is, the command that brings it
NEEDS = {
    "chromium": (_chromium, "Chromium or Chrome on the PATH", "apt-get install chromium"),
    "raqm": (_raqm, "FriBiDi, for Pillow's Raqm", "apt-get install libfribidi0"),
    "root": (lambda: os.geteuid() == 0, "the rights of root", "sudo -E env PATH=$PATH pytest"),
    "mount": (
        cache(_mount), "root's right to mount a disk",
        "sudo -E env PATH=$PATH pytest, in a container docker run --cap-add SYS_ADMIN",
    ),
}  # fmt: skip


def need(*names):
    """Skips the test where something is missing; with SDNB_ALL it fails.

    Arguments:
        names: keys of NEEDS.
    """
    for name in names:
        there, what, command = NEEDS[name]
        if not there():
            tell = pytest.fail if os.environ.get("SDNB_ALL") else pytest.skip
            tell(f"needs {what}: {command}")


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*names): what pip does not bring; support/needs.py")


def pytest_runtest_setup(item):
    for mark in item.iter_markers("needs"):
        need(*mark.args)
