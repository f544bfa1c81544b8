"""The environment of the peers of the tokenizer comparison, and the processes that encode."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import bertsent

SIDE = Path(__file__).resolve().parent / "peers" / "tokenizer_side.py"
# Versions to install, in the order to try. flash-tokenizer 1.1.0 is compiled on this machine, which
# may be faster than the wheel of 1.2.0, so both are measured.
PEERS = {
    "tokenizers": ("tokenizers", ["0.23.3", "0.23.1", "0.23.0"]),
    "flash-tokenizer": ("flash-tokenizer", ["1.2.0", "1.1.9", "1.1.8"]),
    "flash-tokenizer 1.1.0": ("flash-tokenizer", ["1.1.0"]),
    "blingfire": ("blingfire", ["0.1.8", "0.1.7", "0.1.5"]),
}
# These variables would change the number of threads, or how a library waits.
HIDDEN = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "BERTSENT_NUM_THREADS", "RAYON_NUM_THREADS",
          "TOKENIZERS_PARALLELISM", "PYTHONPATH")  # fmt: skip


class Failed(Exception):
    """A side crashed, took too long, or reported an error."""


class Side:
    """A process that encodes; it is restarted if it has died."""

    def __init__(self, name, model, threads, peers=None, limit=60.0):
        self.name, self.threads, self.limit = name, threads, limit
        environment = {k: v for k, v in os.environ.items() if k not in HIDDEN}
        if name == "bertsent":
            python, home = sys.executable, Path(bertsent.__file__).resolve().parent.parent
        else:
            python, home = peers / "venv" / "bin" / "python", peers / name
        if home.is_dir():
            environment["PYTHONPATH"] = str(home)
        kind = name.split(" ")[0]
        self.command = [str(python), str(SIDE), kind, str(model), str(threads)]
        self.environment, self.process, self.file = environment, None, None

    def start(self):
        """Start the process and build the tokenizer; return the time of the build."""
        self.stop()
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said,
            env=self.environment,
        )  # fmt: skip
        return self._ask({"do": "start"})

    def load(self, file):
        self.file = file
        if self.process is None:
            self.start()
        return self._ask({"do": "load", "file": str(file)})

    def ask(self, what, **arguments):
        if self.process is None:
            self.start()
            if self.file:
                self.load(self.file)
        return self._ask({"do": what, **arguments})

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout, self.said):
                try:
                    pipe.close()
                except OSError:
                    pass
            self.process = None

    def _ask(self, command):
        try:
            self.process.stdin.write(json.dumps(command).encode() + b"\n")
            self.process.stdin.flush()
            ready, _, _ = select.select([self.process.stdout], [], [], self.limit)
            if not ready:
                self.stop()
                raise Failed(f"no answer within {self.limit:.0f} s")
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            code = self.process.wait()
            self.said.seek(0)
            last = self.said.read().decode(errors="replace").strip()
            self.stop()
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise Failed(f"died of {how}: {' | '.join(last.splitlines()[-3:])[-400:]}".rstrip(": "))
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer


def install(folder, model, wanted):
    """Create the environment of the peers if necessary, and find out which of them work.

    Parameters
    ----------
    folder : path
        Directory of the environment.
    model : path
        Directory of the vocabulary, to try each peer.
    wanted : sequence of str
        Keys of `PEERS`.

    Returns
    -------
    dict
        For each peer: ``works``, ``version``, and ``tried`` with the error of each version.
    """
    folder = Path(folder).resolve()
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        print(f"making the environment of the peers in {folder}", flush=True)
        venv.EnvBuilder(with_pip=True).create(folder / "venv")
    found = {}
    for name in wanted:
        package, versions = PEERS[name]
        tried = {}
        found[name] = {"works": False, "version": None, "tried": tried}
        for version in versions:
            tried[version] = _try(folder, python, model, name, package, version)
            if tried[version] == "works":
                found[name] |= {"works": True, "version": version}
                break
            print(f"{name} {version} cannot be used: {tried[version]}", flush=True)
    return found


def _try(folder, python, model, name, package, version):
    """Install one version if it is missing; return "works", or the error."""
    apart = ["--target", str(folder / name), "--no-deps"] if " " in name else []
    there = (folder / name).is_dir() if apart else _version(python, package) == version
    if not there:
        command = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check",
                   *apart, f"{package}=={version}"]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except subprocess.TimeoutExpired:
            return "pip install took more than 300 s"
        if done.returncode:
            lines = [x for x in done.stderr.splitlines() if "error" in x.lower()] or ["pip failed"]
            return " | ".join(lines[-2:])[:400]
    side = Side(name, model, 2, folder)
    try:
        side.start()
        # A file of texts is a list of variants; one variant is enough here.
        probe = folder / "probe.json"
        probe.write_text(json.dumps([["Hello world!", "Unaffable."]]))
        side.load(probe)
        side.ask("run")
    except Failed as failure:
        return str(failure)
    finally:
        side.stop()
    return "works"


def _version(python, package):
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return done.stdout.strip()
