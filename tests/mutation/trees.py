"""Copies of the tree in which mutants are built and tested."""

import ast
import contextlib
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What the tests import, and their child processes then need not.
import hypothesis  # noqa: F401
import numpy  # noqa: F401
import pandas  # noqa: F401
import pytest
import safetensors.numpy  # noqa: F401
import sklearn.pipeline  # noqa: F401
from tree_copy import copy_tree

HERE = Path(__file__).resolve().parent
MEMORY = 12 << 30  # address space of a test process
SECONDS = 60  # of one test: of the processor if it computes, of the clock if it waits


class Tree:
    """A copy of the tree with its build. At most one mutant is in it at a time.

    Parameters
    ----------
    folder : Path
        Where the copy lies, or is made.
    sanitize : bool, default=False
        Build with AddressSanitizer and UndefinedBehaviorSanitizer.
    """

    def __init__(self, folder, sanitize=False):
        self.folder, self.sanitize = folder, sanitize
        self.scratch = folder.parent / f"{folder.name}-scratch"
        self.scratch.mkdir(parents=True, exist_ok=True)
        self._log = folder.parent / f"{folder.name}-build.log"
        if not self._log.is_file():
            copy_tree(folder)
            self._build()
        self._busy = folder.parent / f"{folder.name}-mutant"
        if self._busy.exists():
            raise SystemExit(f"{folder} still contains a mutant; remove {folder.parent}")
        self._read_commands()
        self._instruction_sets = self._find_instruction_sets()

    def _find_instruction_sets(self):
        """Return the names of those that this machine executes, the best one first, without AMX."""
        table = "from bertsent import _core; print(_core.isa_table())"
        done = subprocess.run(
            [sys.executable, "-c", table], cwd=self.folder, check=True, capture_output=True,
            text=True, env=os.environ | (_sanitizer_environment() if self.sanitize else {}),
        )
        names = [row["name"] for row in ast.literal_eval(done.stdout) if row["available"]]
        return [name for name in reversed(names) if name != "amx"]

    def _build(self):
        """Build all objects, and keep the commands and what each object depends on."""
        wanted = {"CFLAGS": "-MMD"} | ({"BERTSENT_SANITIZE": "1"} if self.sanitize else {})
        done = subprocess.run(
            [sys.executable, "setup.py", "build_ext", "--inplace"], cwd=self.folder,
            env=os.environ | wanted, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        if done.returncode != 0:
            raise SystemExit(f"the build failed:\n{done.stdout}")
        # A hash, not the time, tells that a source has changed.
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash",
             "bertsent"], cwd=self.folder, check=True,
        )
        self._log.write_text(done.stdout, encoding="utf-8")

    def _read_commands(self):
        self._compile, self._needs = {}, {}
        for line in self._log.read_text(encoding="utf-8").split("\n"):
            command = shlex.split(line) if " -o " in line else []
            if "-shared" in command:
                self._link = command
            elif "-c" in command:
                made = Path(command[command.index("-o") + 1])
                self._compile[made] = command
                parts = (self.folder / made.with_suffix(".d")).read_text().replace("\\\n", " ")
                self._needs[made] = set(parts.split(":", 1)[1].split())
        built = Path(self._link[self._link.index("-o") + 1])
        self.extension = self.folder / "bertsent" / built.name

    def objects(self, path):
        """Return the objects that depend on a source or a header, in groups.

        Kernels are compiled for several instruction sets. Each is a group of its own, since a
        mutant is in one of them only.
        """
        made = [made for made, needs in self._needs.items() if path in needs]
        kernels = [f"kernels_{isa}" for isa in self._instruction_sets]
        groups = [[one] for name in kernels for one in made if one.stem == name]
        others = [one for one in made if not one.stem.startswith("kernels_")]
        return [others, *groups] if others else groups

    def put(self, mutant):
        """Write a mutant into the tree and build it. Return whether any object has changed."""
        source = self.folder / mutant.path
        self._changed, self._saved = None, []
        self._original = source.read_text(encoding="utf-8")
        text = mutant.apply(self._original)
        self._busy.touch()
        self._changed = source
        source.write_text(text, encoding="utf-8")
        if not mutant.path.startswith("csrc/"):
            return True
        for group in self.objects(mutant.path):
            changed = [self._recompile(made) for made in group]
            if any(changed):
                self._relink()
                return True
        return False

    def _recompile(self, made):
        """Compile one source, and return whether the object is another one."""
        path = self.folder / made
        saved = path.with_suffix(".saved")
        shutil.copy2(path, saved)
        self._saved.append((path, saved))
        subprocess.run(self._compile[made], cwd=self.folder, check=True, capture_output=True)
        return path.read_bytes() != saved.read_bytes()

    def _relink(self):
        link = [*self._link]
        fresh = self.extension.with_suffix(".new")
        link[link.index("-o") + 1] = str(fresh)
        subprocess.run(link, cwd=self.folder, check=True, capture_output=True)
        fresh.replace(self.extension)

    def restore(self):
        """Undo `put`."""
        if self._changed is None:
            return
        self._changed.write_text(self._original, encoding="utf-8")
        for path, saved in self._saved:
            saved.replace(path)
        if self._saved:
            self._relink()
        self._changed = None
        self._busy.unlink()

    def _start_program(self, arguments, env, output):
        """Start pytest in a Python of its own, into which the sanitizers are loaded."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *arguments], cwd=self.folder, stdout=output,
            stderr=output, stdin=subprocess.DEVNULL, env=env | _sanitizer_environment(),
            preexec_fn=os.setpgrp,
        ).pid

    def _fork(self, arguments, env, output):
        """Start pytest in a child process, which need not import the libraries again."""
        pid = os.fork()
        if pid:
            return pid
        code = 3
        try:
            os.setpgrp()  # not a session, whose leader would get a terminal that a test opens
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self.folder)
            os.environ.clear()
            os.environ.update(env)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            tempfile.tempdir = None
            sys.argv[:] = ["pytest"]
            sys.path[0] = str(self.folder)
            code = int(pytest.main(arguments))
        finally:
            sys.stdout.flush()
            os._exit(code)

    def test(self, tests):
        """Run test files, one after the other, until the first failure. Return as `_test_one`."""
        for test in tests:
            end, which = self._test_one(test)
            if end != "passed":
                break
        return end, which

    def _test_one(self, test):
        """Run one file until the first failure. Return how it ended, and the line that says why.

        Ends are "passed", "failed", "crashed" and "timeout".
        """
        place = Path(tempfile.mkdtemp(dir=self.scratch))
        running = place / "running"
        env = os.environ | {
            "PYTHONPATH": f"{self.folder}{os.pathsep}{HERE}", "TMPDIR": str(place),
            "HOME": str(place), "HF_HUB_OFFLINE": "1", "MUTATION_TEST": str(running),
            "MUTATION_SECONDS": str(SECONDS * (10 if self.sanitize else 1)),
        }
        seconds = _patience()
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "cpu_limit", "--tb=line", test,
                     "-o", f"faulthandler_timeout={seconds}",
                     "-o", "faulthandler_exit_on_timeout=true"]
        start = self._start_program if self.sanitize else self._fork
        with tempfile.TemporaryFile(dir=self.scratch) as output:
            pid = start(arguments, env, output.fileno())
            code = _wait(pid, 10 * seconds)
            last = running.read_text(encoding="utf-8") if running.exists() else test
            shutil.rmtree(place, ignore_errors=True)
            output.seek(0)
            text = output.read().decode(errors="replace")
        if code in (None, -signal.SIGPROF) or code != 0 and "Timeout (" in text:
            return "timeout", f"TIMEOUT {last}"
        which = next((line for line in text.split("\n") if line.startswith(("FAILED", "ERROR"))),
                     text.strip().split("\n")[-1])
        if code in (4, 5):
            raise SystemExit(f"pytest does not find its tests:\n{text}")
        ends = {0: "passed", 1: "failed", 2: "failed", 3: "failed"}
        if code not in ends:
            return "crashed", f"CRASHED {last} - exit code {code}"
        return ends[code], which[:200]


def _patience():
    """Return for how many seconds a test may wait, given how busy the machine is."""
    return round(SECONDS * max(1.0, 4 * os.getloadavg()[0] / os.cpu_count()))


def _wait(pid, seconds):
    """Return the exit code of a process, or None if it takes too long. It ends with its group."""
    end, status = time.monotonic() + seconds, 0
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _sanitizer_environment():
    """Return what the extension needs to run under the sanitizers, as in .ci/run."""
    def library(name):
        return subprocess.run(["gcc", f"-print-file-name={name}"], check=True, text=True,
                              capture_output=True).stdout.strip()

    return {
        "LD_PRELOAD": f"{library('libasan.so')} {library('libstdc++.so.6')}",
        "PYTHONMALLOC": "malloc",
        # Not the exit code of a failed test: pytest captures what the sanitizers print.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1:exitcode=86",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=86",
    }
