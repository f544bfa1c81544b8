"""The virtual environment of the peers: created once, outside the tree, with fixed versions.

Only needs the standard library. PyTorch is installed first and alone, so that a CPU build is used
if the package index offers one, and later packages do not replace it.
"""

import os
import subprocess
import sys
from pathlib import Path

FIRST = ("torch==2.13.0",)
THEN = ("transformers==5.23.0", "pandas", "onnx==1.23.2", "onnxruntime==1.32.0",
        "openvino==2026.4.1", "nncf==3.4.0", "ctranslate2==4.8.5")


def default_cache():
    """Return the directory for the environment and the converted models."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "bertsent-benchmarks"


def add_arguments(parser):
    parser.add_argument("--cache", type=Path, default=default_cache(),
                        help="directory of the peers and converted models (%(default)s)")
    parser.add_argument("--peers-venv", type=Path,
                        help="environment of the peers, created if missing (peers in the cache)")
    parser.add_argument("--peer-python",
                        help="use this interpreter, which has torch and transformers")


def peer_python(options):
    """Return the interpreter of the peers; create its environment if there is none."""
    if options.peer_python:
        return options.peer_python
    venv = options.peers_venv or options.cache / "peers"
    python, mark = venv / "bin" / "python", venv / "complete"
    installed = "\n".join(FIRST + THEN)
    if mark.is_file() and mark.read_text() == installed:
        return str(python)
    print(f"installing the peers in {venv}, about 2 GB", file=sys.stderr, flush=True)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    for packages in (FIRST, FIRST + THEN):
        subprocess.run([str(python), "-m", "pip", "install", "--quiet",
                        "--disable-pip-version-check", *packages], check=True, stdout=sys.stderr)
    mark.write_text(installed)
    return str(python)
