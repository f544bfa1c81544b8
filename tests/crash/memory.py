"""Do all kinds of work with little address space, and with a little more each time.

    python tests/crash/memory.py --step 0.5

Each piece of work is done by a child process that may take N MB of address space (RLIMIT_AS) on top
of what it has, for growing N, until it succeeds several times in a row. It must give the right
bits, or raise MemoryError (or OSError with ENOMEM). After an error, what was there before must be
there still, no temporary file may be left, and the same work must succeed when the limit is lifted.
Commands must end with exit code 1 and one line on stderr. Everything else is a finding: another
exception, a process that ends by itself, other bits, and what takes longer than ten minutes.

The work is done with the best instruction set and with the portable kernels. Some commands begin in
a process that has not imported NumPy yet. Needs Linux.
"""

import argparse
import collections
import contextlib
import ctypes
import errno
import hashlib
import importlib
import json
import os
import random
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "2", "BERTSENT_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

MB = 1_000_000
SECONDS = 600  # a child that takes longer hangs; others may keep the processor busy
_MMAP_THRESHOLD = -3  # of malloc.h
IN_A_ROW = 4  # successes after which a sweep ends
SIZES = {"hidden_size": 128, "intermediate_size": 512}
WORDS = "the a great worst film movie plot of and this is was never always most least".split()
OPTIONS = {
    "max_length": 32, "epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "random_state": 0,
    "verbose": 0, "n_threads": 2,
}


def make_texts(number, length=24, seed=0):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=length)) + f" {i}" for i in range(number)]


TEXTS = make_texts(64)
LABELS = ["bad" if number % 3 else "good" for number in range(64)]
MANY = make_texts(2000, 40, seed=1)


def digest(*values):
    import numpy as np

    return hashlib.blake2b(b"".join(np.asarray(v).tobytes() for v in values)).hexdigest()


def weights(clf):
    return digest(*(model._flat for model in clf.models_))


def files_of(folder):
    """Return the hash of each file, without the times of runs."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            content = path.read_bytes()
            if path.name == "bertsent.json":
                kept = json.loads(content)
                kept.pop("history", None)
                content = json.dumps(kept).encode()
            found[str(path.relative_to(folder))] = hashlib.blake2b(content).hexdigest()
    return found


# ---- kinds of work ----


class Work:
    """One kind of work.

    `prepare` returns what it works with, before the limit. `do` works under the limit, and returns
    what `judge` needs. `judge` returns the result as a value that can be compared, without a limit.
    `state` returns what must be as before after an error.
    """

    def __init__(self, do, *, prepare=None, judge=None, state=None):
        self.do = do
        self.prepare = prepare or (lambda place: None)
        self.judge = judge or (lambda place, subject, found: found)
        self.state = state or (lambda place, subject: files_of(place / "work"))


def opened(place):
    import bertsent

    return bertsent.BertClassifier.from_pretrained(place / "model").set_params(n_threads=2)


def in_precision(precision):
    return lambda place: opened(place).set_params(inference_precision=precision)


def of_classifier(place, clf):
    return weights(clf), files_of(place / "work")


def predicting(X=MANY, prepare=opened, how="predict_proba"):
    return Work(
        lambda place, clf: getattr(clf, how)(X() if callable(X) else X), prepare=prepare,
        judge=lambda place, clf, found: digest(found), state=of_classifier,
    )


def fitting(**options):
    def prepare(place):
        return opened(place).set_params(**(OPTIONS | {"model": place / "base"} | options))

    return Work(
        lambda place, clf: clf.fit(TEXTS, LABELS), prepare=prepare,
        judge=lambda place, clf, found: weights(clf), state=of_classifier,
    )


def tokenizing(texts, **options):
    def prepare(place):
        import bertsent

        return bertsent.WordPieceTokenizer.from_pretrained(place / "base")

    return Work(
        lambda place, tokenizer: tokenizer.encode_batch(texts, n_threads=2, **options),
        prepare=prepare, judge=lambda place, tokenizer, found: digest(found.ids, found.offsets),
    )


def pretraining(place, subject):
    import bertsent

    bertsent.pretrain(
        TEXTS, place / "work" / "pretrained", model=place / "base", max_length=24, batch_size=16,
        random_state=0, n_threads=2, verbose=0, precision="float32",
    )


def labelling(source, target):
    return Work(
        lambda place, clf: clf.predict_file(
            place / source, place / "work" / target, text_column="text", chunk_rows=300,
            overwrite=True,
        ),
        prepare=opened, judge=lambda place, clf, found: files_of(place / "work"),
        state=of_classifier,
    )


def written(place, subject, found):
    return files_of(place / "work")


def saving(**options):
    return Work(
        lambda place, clf: clf.save_pretrained(
            place / "work" / "saved", overwrite=True, **options
        ),
        prepare=opened, judge=written, state=of_classifier,
    )


def as_frame():
    import pandas as pd

    return pd.DataFrame({"text": MANY})


def as_arrow():
    import pyarrow as pa

    return pa.array(MANY)


def auditing(place, clf):
    return clf.audit(TEXTS, X_test=TEXTS[:9], y_test=LABELS[:9])


def audited(place):
    return opened(place).set_params(
        **(OPTIONS | {"model": place / "base", "track_examples": True})
    ).fit(TEXTS, LABELS)


def command(*arguments):
    """Run the command line; arguments that begin with @ are files of the place."""

    def do(place, subject):
        from bertsent.cli import main

        given = [str(place / a[1:]) if a.startswith("@") else a for a in arguments]
        return main(given)

    def judge(place, subject, found):
        return found, files_of(place / "work")

    return Work(do, judge=judge)


def evaluating(place, clf):
    return clf.evaluate(TEXTS, LABELS)


def works():
    """Return all kinds of work by name."""
    from bertsent import _core

    found = {
        "open": Work(lambda place, _: opened(place), judge=lambda p, _, clf: weights(clf)),
        "tokenize": tokenizing(MANY),
        "tokenize windows": tokenizing(
            [" ".join(MANY[:300])], max_length=32, truncation="windows", stride=4
        ),
    }
    for precision in _core.precisions():
        found[f"predict in {precision}"] = predicting(prepare=in_precision(precision))
    found |= {
        "predict a table": predicting(as_frame),
        "predict from Arrow": predicting(as_arrow),
        "predict windows": predicting([" ".join(MANY[:100])] * 3),
        "evaluate": Work(
            evaluating, prepare=opened, state=of_classifier,
            judge=lambda place, clf, found: [found.accuracy, found.loss],
        ),
        "predict CSV": labelling("texts.csv", "out.csv"),
        "predict CSV to Parquet": labelling("texts.csv.gz", "out.parquet"),
        "predict Parquet": labelling("texts.parquet", "out.jsonl"),
        "save": saving(),
        "save as int8": saving(int8=True),
        "fit": fitting(),
        "fit with a frozen cache": fitting(
            freeze_layers=1, freeze_dropout=True, frozen_cache="float32"
        ),
        "fit members": fitting(members=2, epochs=1),
        "fit with held-out texts": fitting(validation_fraction=0.25, early_stopping=True),
        "audit": Work(
            auditing, prepare=audited, state=of_classifier,
            judge=lambda place, clf, found: digest(found["score"]),
        ),
        "pretrain": Work(pretraining, judge=written),
        "command predict": command(
            "predict", "@model", "@texts.csv", "--text-column", "text", "--output", "@work/out.csv"
        ),
        "command evaluate": command(
            "evaluate", "@model", "@labelled.csv", "--text-column", "text", "--label-column",
            "label",
        ),
        "command train": command(
            "train", "@labelled.csv", "--text-column", "text", "--label-column", "label", "--model",
            "@base", "--epochs", "1", "--max-length", "16", "--output", "@work/trained",
        ),
    }
    if "bfloat16" in found:
        found["fit in bfloat16"] = fitting(precision="bfloat16")
    return found


# What is done in processes that have only imported the command line.
COLD = {
    "predict, cold": command("predict", "@model", "--text", "the worst film"),
    "predict a file, cold": command(
        "predict", "@model", "@texts.csv", "--text-column", "text", "--output", "@work/out.csv"
    ),
    "evaluate, cold": command(
        "evaluate", "@model", "@labelled.csv", "--text-column", "text", "--label-column", "label"
    ),
    "inspect, cold": command("inspect", "@model"),
}


# ---- children ----


def size_now():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def limit_to(bytes_more):
    """Limit the address space to what is in use and some more; None lifts the limit."""
    most = resource.RLIM_INFINITY
    ctypes.CDLL(None).malloc_trim(0)  # free blocks are in use for the system
    soft = most if bytes_more is None else size_now() + bytes_more
    resource.setrlimit(resource.RLIMIT_AS, (soft, most))


def is_lack_of_memory(error):
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno == errno.ENOMEM
    )


def attempt(work, place, more, is_command):
    """Work once under a limit; return the outcome and what it gave, as JSON can hold it."""
    subject = work.prepare(place)
    before = work.state(place, subject)
    sys.stderr.flush()
    wrote = os.fstat(2).st_size
    failed = found = None
    limit_to(more)
    try:
        found = work.do(place, subject)
    except BaseException as error:
        failed = error
    limit_to(None)
    if failed is None and not (is_command and found):
        return "success", work.judge(place, subject, found)
    if is_command and failed is None:
        sys.stderr.flush()
        with open("/proc/self/fd/2", "rb") as file:
            said = file.read()[wrote:].decode(errors="replace")
        lines = [line for line in said.splitlines() if line.strip()]
        if found != 1 or len(lines) != 1 or "memory" not in said.lower():
            return f"exit code {found}, {said[-300:]!r}", None
    elif not is_lack_of_memory(failed):
        traceback.print_exception(failed)
        return f"{type(failed).__name__}: {str(failed)[:200]}", None
    kind = "exit code 1" if failed is None else type(failed).__name__
    failed = None
    if work.state(place, subject) != before:
        return f"after {kind}, something has changed", None
    again = work.do(place, subject)
    return kind, work.judge(place, subject, again)


def run_child(work, place, more, is_command):
    """Return outcome and result of a child process that works under a limit."""
    shutil.rmtree(place / "work", ignore_errors=True)
    shutil.copytree(place / "before", place / "work")
    reading, writing = os.pipe()
    errors = place / "stderr"
    sys.stdout.flush(), sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            warnings.simplefilter("ignore")
            os.dup2(os.open(errors, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            told = json.dumps(attempt(work, place, more, is_command)).encode()
            while told:
                told = told[os.write(writing, told):]
            os._exit(0)
        except BaseException:
            limit_to(None)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(99)
    os.close(writing)
    told, end = b"", time.monotonic() + SECONDS
    while select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
        block = os.read(reading, 1 << 16)
        if not block:
            break
        told += block
    else:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        return "it hangs", None
    os.close(reading)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        said = errors.read_text(errors="replace").strip()[-400:]
        return f"the process ended with {code}: {said}", None
    outcome, result = json.loads(told)
    rubbish = [p.name for p in place.rglob(".*") if p.is_file() or p.is_dir()]
    return (f"left behind: {rubbish}" if rubbish else outcome), result


def sweep(name, work, place, step, rng, is_command, limit=None):
    """Let one kind of work have more and more memory.

    Yields
    ------
    more : float
        MB.
    outcome : str
        success, MemoryError, OSError, or what was found.
    """
    outcome, expected = run_child(work, place, None, is_command)
    if outcome != "success":
        raise RuntimeError(f"{name} fails without a limit: {outcome}")
    row = number = 0
    while row < IN_A_ROW and (limit is None or number < limit):
        # Not only whole steps: what fails depends on single pages.
        more = int((number + rng.random() * (number > 0)) * step * MB)
        outcome, result = run_child(work, place, more, is_command)
        kinds = ("success", "MemoryError", "_ArrayMemoryError", "ArrowMemoryError", "OSError",
                 "exit code 1")
        if outcome in kinds and result != expected:
            outcome = f"other bits ({outcome})"
        row = row + 1 if outcome == "success" else 0
        number += 1
        yield more / MB, outcome if outcome not in kinds[2:4] else "MemoryError"


def prepare(place):
    """Write models and data, in a process that ends."""
    import pandas as pd
    from conftest import write_tiny_model

    import bertsent

    base = write_tiny_model(place / "base", **SIZES)
    clf = bertsent.BertClassifier(base, **OPTIONS).fit(TEXTS, LABELS)
    clf.save_pretrained(place / "model")
    (place / "before").mkdir()
    clf.partial_fit(TEXTS, LABELS).save_pretrained(place / "before" / "saved")
    frame = pd.DataFrame({"number": range(len(MANY)), "text": MANY})
    frame.to_csv(place / "texts.csv", index=False)
    frame.to_csv(place / "texts.csv.gz", index=False)
    frame.to_parquet(place / "texts.parquet")
    pd.DataFrame({"text": TEXTS, "label": LABELS}).to_csv(place / "labelled.csv", index=False)


def in_process(function, *args):
    """Call a function in a child process, so that this one stays as it is; return its result."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                told = json.dumps(function(*args)).encode()
            while told:
                told = told[os.write(writing, told):]
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as file:
        told = file.read()
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        raise RuntimeError(f"{function.__name__} failed")
    return json.loads(told)


def modules_of(work, place):
    """Return the names of the modules that are loaded after the work."""
    shutil.rmtree(place / "work", ignore_errors=True)
    shutil.copytree(place / "before", place / "work")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    work.do(place, work.prepare(place))
    return list(sys.modules)


def run(step, seed, *, kinds=None, cold_step=None, limit=None, say=print):
    """Sweep all kinds of work with the instruction set of this process.

    Returns
    -------
    counts : dict of str to Counter
    findings : list of str
    """
    rng, counts, findings = random.Random(seed), {}, []
    ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 128 << 10)  # so that what is freed is given back
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        os.environ["BERTSENT_CACHE"] = str(place / "cache")
        in_process(prepare, place)
        importlib.import_module("bertsent.cli")
        jobs = [(name, COLD[name], cold_step or 8 * step) for name in COLD]
        todo = [job for job in jobs if kinds is None or job[0] in kinds]
        for phase in ("cold", "warm"):
            if phase == "warm":
                names = in_process(lambda: list(works()))
                names = [name for name in names if kinds is None or name in kinds]
                if not names:
                    break
                found = works()
                todo = [(name, found[name], step) for name in names]
                for _, work, _ in todo:
                    for module in in_process(modules_of, work, place):
                        with contextlib.suppress(ImportError):
                            importlib.import_module(module)
            for name, work, width in todo:
                count = counts[name] = collections.Counter()
                is_command = phase == "cold" or name.startswith("command")
                needed, seen = 0.0, set()
                for more, outcome in sweep(name, work, place, width, rng, is_command, limit):
                    if outcome in ("success", "MemoryError", "OSError", "exit code 1"):
                        count[outcome] += 1
                        needed = needed if outcome == "success" else more
                        continue
                    count["found"] += 1
                    needed = more
                    if outcome[:60] not in seen:
                        say(f"{name} with {more:.2f} MB: {outcome}")
                    seen.add(outcome[:60])
                    findings.append(f"{name} with {more:.2f} MB: {outcome}")
                say(f"  {name:<26}" + ", ".join(f"{n} {what}" for what, n in sorted(count.items()))
                    + f"; the last failure with {needed:.1f} MB")
    return counts, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--step", type=float, default=0.5, help="MB")
    parser.add_argument("--cold-step", type=float, help="MB, in processes without NumPy")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", help="only these kinds of work")
    parser.add_argument("--here", action="store_true",
                        help="only with the instruction set of BERTSENT_ISA")
    args = parser.parse_args()
    if not args.here:
        codes = []
        for isa in (None, "portable"):
            environment = dict(os.environ)
            environment.pop("BERTSENT_ISA", None)
            environment |= {"BERTSENT_ISA": isa} if isa else {}
            print(f"{isa or 'best'} kernels", flush=True)
            codes.append(subprocess.run(
                [sys.executable, __file__, "--here", *sys.argv[1:]], env=environment, check=False
            ).returncode)
        return max(map(bool, codes))
    begin = time.monotonic()
    counts, findings = run(args.step, args.seed, kinds=args.kinds, cold_step=args.cold_step,
                           say=lambda line: print(line, flush=True))
    whole = sum(counts.values(), collections.Counter())
    print(", ".join(f"{n} {what}" for what, n in sorted(whole.items())))
    print(f"{len(findings)} findings in {time.monotonic() - begin:.0f} s")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
