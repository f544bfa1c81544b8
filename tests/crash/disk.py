"""Write onto a disk that is full, or read-only, at each possible place.

    sudo python tests/crash/disk.py --runs 100 --seed 0

Needs the right to mount a small file system in memory (tmpfs). Each run leaves a random number of
free bytes and then saves, predicts, trains or pretrains over an earlier result. It must either
succeed, or raise an OSError that names what could not be written and leave the earlier result as it
was, without temporary files. Training may also go on without checkpoints, with a warning.
"""

import argparse
import collections
import contextlib
import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

if __name__ == "__main__":
    os.environ |= {"BERTSENT_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import kills  # noqa: E402

SIZE = 4 << 20


@contextlib.contextmanager
def mounted(folder):
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(disk, free):
    """Leave about so many bytes on a disk."""
    stats = os.statvfs(disk)
    with open(disk / "filler", "wb") as file:
        file.write(bytes(max(0, stats.f_bavail * stats.f_bsize - free)))


def attempt(kind, base, folder):
    """Return the name of the outcome, and the error if there is one."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            kills.KINDS[kind](base, folder)
        except OSError as error:
            return "error", error
    lost = [str(w.message) for w in told if "no checkpoint of step" in str(w.message)]
    return "without checkpoints" if lost else "success", None


def check(kind, folder, before, outcome, error):
    """Return what is wrong, or None."""
    rubbish = [path.name for kind in ("tmp", "move") for path in folder.rglob(f".*.{kind}-*")]
    if rubbish:
        return f"left behind: {rubbish}"
    if outcome != "error":
        return None
    if error.errno not in (errno.ENOSPC, errno.EROFS, errno.EACCES):
        return f"another error: {error!r}"
    if str(folder) not in str(error):
        return f"the error does not name a path: {error!r}"
    now = kills.contents(folder)
    if kind in ("save", "predict_file"):  # several writes, of which some may have succeeded
        return None if now.keys() >= before.keys() else "a file is missing"
    return None if now == before else "the earlier result has changed"


def run(runs, seed, say=print):
    rng, findings = random.Random(seed), []
    counts = {kind: collections.Counter() for kind in kills.KINDS}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        base = kills.prepare(place)
        for number in range(runs):
            kind = list(kills.KINDS)[number % len(kills.KINDS)]
            with mounted(place / f"disk-{number}") as disk:
                folder = disk / "work"
                folder.mkdir()
                kills.KINDS[kind](base, folder)
                shutil.rmtree(folder / "run", ignore_errors=True)
                before = kills.contents(folder)
                if kind == "pretrain":
                    (folder / "model").rename(disk / "earlier")
                    before = {}
                read_only = number % 5 == 4
                if read_only:
                    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
                else:
                    fill(disk, rng.randrange(900_000))
                outcome, error = attempt(kind, base, folder)
                counts[kind][f"{outcome}, read-only" if read_only else outcome] += 1
                problem = check(kind, folder, before, outcome, error)
                if problem is None and not read_only:
                    (disk / "filler").unlink()
                    if attempt(kind, base, folder)[0] != "success":
                        problem = "it fails when there is space again"
                if problem is not None:
                    findings.append(f"{kind} {number}: {problem}")
                    say(findings[-1])
    return counts, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    counts, findings = run(args.runs, args.seed)
    for kind, count in counts.items():
        print(f"{kind:<14}" + ", ".join(f"{n} {what}" for what, n in sorted(count.items())))
    print(f"{len(findings)} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
