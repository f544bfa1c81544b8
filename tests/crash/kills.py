"""Kill training, pretraining, saving and prediction at random moments, and go on.

    python tests/crash/kills.py --kills 200 --seed 0

Each run is a process that is killed with SIGKILL up to three times at random moments, and then
finishes. After each kill, every directory is looked at: a model in it must open as one of the known
versions, or be refused by an error of bertsent that names it. In the end, the result must be the
same bits as without any kill, and no temporary file may be left. Everything else is a finding.
"""

import argparse
import collections
import hashlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

if __name__ == "__main__":
    os.environ |= {"BERTSENT_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from conftest import write_tiny_model  # noqa: E402

import bertsent  # noqa: E402
from bertsent.errors import CheckpointError, ModelNotFoundError  # noqa: E402

LABELS = ["good" if number % 3 else "bad" for number in range(60)]
TEXTS = [
    f"the {'great' if label == 'good' else 'worst'} film {number} of the year and so on and on"
    for number, label in enumerate(LABELS)
]
OPTIONS = {
    "max_length": 16, "epochs": 4, "batch_size": 4, "learning_rate": 1e-3, "random_state": 0,
    "verbose": 0, "precision": "float32", "inference_precision": "float32", "n_threads": 1,
}
RUN = {"checkpoint_every": 3, "checkpoint_keep": 2, "resume": True}


def fit(base, folder, **options):
    """Train with checkpoints, and save the model."""
    clf = bertsent.BertClassifier(
        base, checkpoint_dir=folder / "run", **OPTIONS | RUN | options
    )
    clf.fit(TEXTS, LABELS).save_pretrained(folder / "model", overwrite=True)


def fit_frozen(base, folder):
    """The same with the output of frozen layers in a cache."""
    fit(base, folder, freeze_layers="all", freeze_dropout=True, frozen_cache="float32", epochs=8)


def fit_members(base, folder):
    """The same with two members."""
    fit(base, folder, members=2, epochs=2)


def pretrain(base, folder):
    """Pretrain with checkpoints; the output directory is written in the end."""
    if not (folder / "model").exists():
        bertsent.pretrain(
            TEXTS, folder / "model", model=base, max_length=16, epochs=4, batch_size=4, verbose=0,
            checkpoint_dir=folder / "run", random_state=0, n_threads=1, precision="float32", **RUN,
        )


def save(base, folder):
    """Replace a model by another version and back, beside a file of the user."""
    first, second = (
        bertsent.BertClassifier.from_pretrained(base.parent / name) for name in ("one", "two")
    )
    first.save_pretrained(folder / "model", overwrite=True)
    (folder / "model" / "notes.txt").write_text("mine")
    for _ in range(5):
        second.save_pretrained(folder / "model", overwrite=True, int8=True)
        first.save_pretrained(folder / "model", overwrite=True)


def predict_file(base, folder):
    """Label a file, as CSV and as Parquet, over earlier output."""
    clf = bertsent.BertClassifier.from_pretrained(base.parent / "one")
    for suffix in ("csv", "parquet"):
        output = folder / f"labelled.{suffix}"
        clf.predict_file(
            base.parent / "texts.csv", output, text_column="text", chunk_rows=50, overwrite=True
        )


_SECONDS = re.compile(rb'"[a-z_]*(seconds|time)[a-z_]*": [0-9.e-]+')
KINDS = {
    kind.__name__: kind for kind in (fit, fit_frozen, fit_members, pretrain, save, predict_file)
}


def prepare(folder):
    """Write what all runs start from; return the directory of the model."""
    base = write_tiny_model(folder / "base")
    for seed, name in enumerate(("one", "two")):
        options = OPTIONS | {"epochs": 1, "random_state": seed}
        clf = bertsent.BertClassifier(base, **options).fit(TEXTS, LABELS)
        clf.save_pretrained(folder / name)
    rows = [f"{number},{TEXTS[number % 60]}" for number in range(1500)]
    (folder / "texts.csv").write_text("\n".join(["number,text", *rows]) + "\n")
    return base


def start(kind, base, folder):
    """Start a process; it ends with 0 if all went well."""
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        warnings.simplefilter("ignore")
        KINDS[kind](base, folder)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(1)


def finish(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def finish_within(pid, seconds):
    """Return the exit code of a process, or None if it hangs and was killed."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    finish(pid)
    return None


def contents(directory):
    """Return the contents of all files but those of the run, without times and its own name."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        if path.is_file() and name.parts[0] != "run":
            found[str(name)] = path.read_bytes()
            if path.name in ("bertsent.json", "run.json"):
                found[str(name)] = _SECONDS.sub(b"", found[str(name)]).replace(
                    bytes(directory), b""
                )
    return found


def look(kind, folder, known, noted):
    """Return what is wrong with a folder in which a process was killed, or None.

    `noted` says whether a file of the user was there before.
    """
    model = folder / "model"
    if kind == "predict_file":
        for path in folder.glob("labelled.*"):
            if hashlib.blake2b(path.read_bytes()).hexdigest() not in known:
                return f"{path.name} is neither missing nor complete"
        return None
    opener = bertsent.BertClassifier
    if kind == "pretrain":
        opener = bertsent.WordPieceTokenizer
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = opener.from_pretrained(model)
    except (CheckpointError, ModelNotFoundError) as error:
        # Only a directory that is not there yet may be refused.
        return None if not model.exists() and str(model) in str(error) else f"refused: {error}"
    if kind != "pretrain" and hash_models(found) not in known:
        return "the model is none that was saved"
    if kind == "save" and noted and (model / "notes.txt").read_text() != "mine":
        return "a file of the user is lost"
    return None


def hash_models(clf):
    return hashlib.blake2b(b"".join(m._flat.tobytes() for m in clf.models_)).hexdigest()


def versions(kind, base, folder):
    """Return the hashes of everything that a reader may find."""
    if kind == "predict_file":
        return {hashlib.blake2b(p.read_bytes()).hexdigest() for p in folder.glob("labelled.*")}
    if kind == "pretrain":
        return set()
    found = {hash_models(bertsent.BertClassifier.from_pretrained(folder / "model"))}
    if kind == "save":
        clf = bertsent.BertClassifier.from_pretrained(base.parent / "two")
        clf.save_pretrained(folder / "int8", int8=True)
        found.add(hash_models(bertsent.BertClassifier.from_pretrained(folder / "int8")))
        shutil.rmtree(folder / "int8")
    return found


def run(kills, seed, kinds=tuple(KINDS), say=print):
    """Kill processes of each kind.

    Returns
    -------
    counts : dict of str to Counter
        ``killed``, ``finished before`` (the kill came too late) and ``found``, by kind.
    findings : list of str
    """
    rng, findings = random.Random(seed), []
    counts = {kind: collections.Counter() for kind in kinds}
    with tempfile.TemporaryDirectory() as name:
        base = prepare(Path(name).resolve())
        whole = {}
        for kind in kinds:
            folder = base.parent / f"{kind}-whole"
            folder.mkdir()
            begin = time.monotonic()
            if finish(start(kind, base, folder)):
                raise RuntimeError(f"{kind} fails without being killed")
            seconds = time.monotonic() - begin
            whole[kind] = seconds, contents(folder), versions(kind, base, folder)
        number = 0
        while sum(count["killed"] for count in counts.values()) < kills:
            kind = kinds[number % len(kinds)]
            number += 1
            seconds, expected, known = whole[kind]
            folder = base.parent / f"{kind}-{number}"
            folder.mkdir()
            problem = None
            for _ in range(rng.randint(1, 3)):
                noted = (folder / "model" / "notes.txt").exists()
                pid = start(kind, base, folder)
                time.sleep(rng.uniform(0, 1.05 * seconds))
                os.kill(pid, signal.SIGKILL)
                killed = finish(pid) == -signal.SIGKILL
                counts[kind]["killed" if killed else "finished before"] += 1
                problem = problem or look(kind, folder, known, noted)
            if problem is None and finish(start(kind, base, folder)):
                problem = "it could not be resumed"
            result = contents(folder)
            differing = [
                path for path in sorted(result.keys() | expected.keys())
                if result.get(path) != expected.get(path)
            ]
            if problem is None and differing:
                problem = f"{', '.join(differing)} differ from those of the whole run"
            rubbish = [p.name for p in folder.rglob(".*") if kind != "pretrain"]
            if problem is None and rubbish:
                problem = f"left behind: {rubbish}"
            if problem is not None:
                findings.append(f"{kind} {number}: {problem}")
                counts[kind]["found"] += 1
                say(findings[-1])
            shutil.rmtree(folder, ignore_errors=True)
    return counts, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    args = parser.parse_args()
    begin = time.monotonic()
    counts, findings = run(args.kills, args.seed, args.kinds)
    for kind, count in counts.items():
        print(f"{kind:<14}" + ", ".join(f"{n} {what}" for what, n in sorted(count.items())))
    print(f"{len(findings)} findings in {time.monotonic() - begin:.0f} s")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
