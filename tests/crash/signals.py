"""Send Ctrl-C, SIGTERM and SIGHUP at random moments, again and again.

    python tests/crash/signals.py --signals 500 --seed 0

Methods run in a child process that lives for many signals, commands in one process each; --started
also sends signals to commands while Python starts and imports. Every process gets one signal per
call, sent by another process at a moment within the time that the call takes. Then

- the call was interrupted, exactly once, or it had finished;
- a classifier that was interrupted in training is that of the step which the message names;
- files are complete or not there, and no temporary ones are left;
- the same object gives the same bits, and training that is resumed gives those of a whole run
  (every interrupted call of a method, every fourth command);
- the handlers are what they were before. Handlers of the user are called once for each signal.

Everything else is a finding.
"""

import argparse
import collections
import contextlib
import gc
import json
import os
import random
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

if __name__ == "__main__":
    os.environ |= {
        "BERTSENT_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        "BERTSENT_PROGRESS": "none",
    }

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import kills  # noqa: E402
import numpy as np  # noqa: E402

import bertsent  # noqa: E402
from bertsent.cli import main as command_line  # noqa: E402
from bertsent.system import check_interrupts, interrupts  # noqa: E402

NUMBERS = {each.name: each for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
OPTIONS = kills.OPTIONS | {"epochs": 2}
TEXTS, LABELS = kills.TEXTS[:24], kills.LABELS[:24]
STEPS = 12
PATIENCE = 300  # seconds until a process is taken to hang
LOST = 60  # seconds after a call until its signal is taken to have vanished
MANY = [f"{kills.TEXTS[number % 60]} {number}" for number in range(300)]
CLASSES = [kills.LABELS[number % 60] for number in range(300)]


# --- what is interrupted ------------------------------------------------------------------


class Fit:
    """Training with checkpoints."""

    ends_quietly = False  # whether SIGTERM and SIGHUP are left to their default action

    def __init__(self, base, folder):
        self.base, self.run = base, folder / "run"
        self.known = {}
        for last in range(1, STEPS + 1):
            clf = bertsent.BertClassifier(
                base, callbacks=lambda event, last=last: event.get("step") == last, **OPTIONS
            )
            self.known[last] = kills.hash_models(clf.fit(TEXTS, LABELS))

    def call(self):
        self.clf = bertsent.BertClassifier(
            self.base, checkpoint_dir=self.run, **OPTIONS | kills.RUN
        )
        self.clf.fit(TEXTS, LABELS)

    def check(self, said):
        problem = None
        step = re.search(r"after step ([\d,]+) of", said or "")
        if step:
            found = kills.hash_models(self.clf)
            if self.known[int(step[1])] != found:
                problem = f"the model is not that of step {step[1]}"
        elif said and "before the first step" in said and hasattr(self.clf, "classes_"):
            problem = "the classifier has changed before the first step"
        if hasattr(self.clf, "classes_"):
            self.clf.predict(kills.TEXTS[:2])
        self.call()
        if kills.hash_models(self.clf) != self.known[STEPS]:
            problem = problem or "the resumed run gives other bits"
        shutil.rmtree(self.run)
        return problem


class Predict:
    """Probabilities of some hundred texts."""

    ends_quietly = True

    def __init__(self, base, folder):
        self.clf = bertsent.BertClassifier.from_pretrained(base.parent / "one")
        self.clf.set_params(verbose=0, n_threads=1)
        self.expected = self.clf.predict_proba(MANY)

    def call(self):
        self.found = None
        self.found = self.clf.predict_proba(MANY)

    def check(self, said):
        if self.found is not None and not np.array_equal(self.found, self.expected):
            return "the result is wrong"
        again = self.clf.predict_proba(MANY)
        return None if np.array_equal(again, self.expected) else "other bits afterwards"


class Evaluate(Predict):
    """A test."""

    def __init__(self, base, folder):
        super().__init__(base, folder)
        self.expected = self.test()

    def test(self):
        return {
            name: value for name, value in self.clf.evaluate(MANY, CLASSES).items()
            if "second" not in name
        }

    def call(self):
        self.found = None
        self.found = self.test()

    def check(self, said):
        if self.found is not None and self.found != self.expected:
            return "the result is wrong"
        return None if self.test() == self.expected else "other results afterwards"


class PredictFile:
    """A file that is labelled."""

    ends_quietly = False

    def __init__(self, base, folder):
        self.folder, self.source, self.turn = folder, base.parent / "many.csv", 0
        self.clf = bertsent.BertClassifier.from_pretrained(base.parent / "one")
        self.clf.set_params(verbose=0, n_threads=1)
        self.expected = {}
        for suffix in ("csv", "parquet"):
            self.output = folder / f"out.{suffix}"
            self.label()
            self.expected[suffix] = self.output.read_bytes()

    def label(self):
        self.clf.predict_file(
            self.source, self.output, text_column="text", chunk_rows=100, overwrite=True
        )

    def call(self):
        self.turn += 1
        self.output = self.folder / ("out.csv" if self.turn % 2 else "out.parquet")
        self.output.unlink(missing_ok=True)
        self.label()

    def check(self, said):
        for path in self.folder.glob("out.*"):
            if path.read_bytes() != self.expected[path.suffix[1:]]:
                return f"{path.name} is not complete"
        return None


class Pretrain:
    """Masked language modelling with checkpoints."""

    ends_quietly = False

    def __init__(self, base, folder):
        self.base, self.folder, self.run = base, folder, folder / "run"
        self.output = folder / "model"
        self.call()
        self.expected = kills.contents(folder)
        shutil.rmtree(self.output)
        shutil.rmtree(self.run)

    def call(self):
        bertsent.pretrain(
            TEXTS, self.output, model=self.base, max_length=16, epochs=2, batch_size=4,
            verbose=0, checkpoint_dir=self.run, random_state=0, n_threads=1, precision="float32",
            overwrite=True, **kills.RUN,
        )

    def check(self, said):
        problem = None
        if self.output.exists():
            bertsent.WordPieceTokenizer.from_pretrained(self.output)
        self.call()
        if kills.contents(self.folder) != self.expected:
            problem = "the resumed run gives other files"
        shutil.rmtree(self.output)
        shutil.rmtree(self.run)
        return problem


METHODS = {"fit": Fit, "predict": Predict, "predict_file": PredictFile, "evaluate": Evaluate,
           "pretrain": Pretrain}


def rubbish(folder):
    """Return the names of temporary files."""
    # A run that pretraining resumes has a hidden directory of the model in its output's place.
    return [path.name for path in folder.rglob(".*")]


# --- methods: a child process for many signals --------------------------------------------


class Handled:
    """A handler of the user's own."""

    def __init__(self):
        self.seen = []

    def __call__(self, number, frame):
        self.seen.append(number)


def serve(kind, base, folder, number, own, seconds, tell, heard):
    """Make calls, of which each gets a signal, and report them; in the child process."""

    def say(**facts):
        os.write(tell, json.dumps(facts).encode() + b"\n")

    warnings.simplefilter("ignore")
    work = METHODS[kind](base, folder)
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    times = [] if seconds is None else [seconds]
    for _ in range(3 if seconds is None else 0):
        begin = time.perf_counter()
        work.call()
        times.append(time.perf_counter() - begin)
        work.check(None)
    handler = Handled() if own else usual
    signal.signal(number, handler)
    say(seconds=statistics.median(times))
    while os.read(heard, 1):
        facts = serve_once(work, folder, number, handler, say)
        say(**facts)


def serve_once(work, folder, number, handler, say):
    """Make one call; return its outcome, and what is wrong."""
    finished, raised, said = False, 0, None
    try:
        say(begun=True)
        work.call()
        finished = True
        say(finished=True)
        until = time.monotonic() + LOST
        while time.monotonic() < until:
            time.sleep(0.001)
            if isinstance(handler, Handled) and handler.seen:
                break
    except KeyboardInterrupt as stop:
        raised, said = 1, str(stop) or "stopped"
        kind = {signal.SIGINT: KeyboardInterrupt}.get(
            number, interrupts._ENDS.get(number, KeyboardInterrupt)
        )
        if type(stop) is not kind:
            return {"outcome": "interrupted", "problem": f"{type(stop).__name__} was raised"}
    outcome = "finished" if finished else "interrupted"
    if said and "after the last step" in said:
        outcome = "finished"
    try:
        if isinstance(handler, Handled):
            if raised or not finished or handler.seen != [number]:
                return {"outcome": outcome, "problem": f"own handler: {handler.seen}, {said}"}
            handler.seen.clear()
        elif not raised:
            return {"outcome": outcome, "problem": "the signal vanished"}
        if signal.getsignal(number) is not handler:
            return {"outcome": outcome, "problem": "the handler has changed"}
        check_interrupts()
        if interrupts._open or interrupts._held or interrupts._at_once or interrupts._changing:
            return {"outcome": outcome, "problem": "the state of interrupts is not what it was"}
        left = rubbish(folder)
        problem = f"left behind: {left}" if left else work.check(None if finished else said)
        return {"outcome": outcome, "problem": problem}
    except KeyboardInterrupt:
        return {"outcome": outcome, "problem": "it was raised twice"}
    except Exception:
        return {"outcome": outcome, "problem": traceback.format_exc()}


class Child:
    """A process that makes calls until a signal ends it.

    `seconds` is the time of a call, which is measured if it is None.
    """

    def __init__(self, kind, base, folder, number, own, seconds=None):
        self.kind, self.number = kind, number
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        read, tell = os.pipe()
        heard, self.write = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if not self.pid:
            try:
                os.close(read)
                os.close(self.write)
                serve(kind, base, folder, number, own, seconds, tell, heard)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(1)
        os.close(tell)
        os.close(heard)
        self.lines = open(read, "rb", buffering=0)
        self.seconds = self.hear()["seconds"]

    def hear(self):
        """Return the next report; None if the process has ended, and "hangs" if it does."""
        if not select.select([self.lines], [], [], 2 * PATIENCE)[0]:
            return "hangs"
        line = self.lines.readline()
        return json.loads(line) if line else None

    def signal(self, rng):
        """Send a signal during a call; return the outcome, and what is wrong or None."""
        os.write(self.write, b"x")
        facts = self.hear()
        if not facts or "begun" not in facts:
            return "failed", f"no call was begun: {facts}"
        time.sleep(rng.uniform(0, 1.1 * self.seconds))
        os.kill(self.pid, self.number)
        finished = False
        while True:
            facts = self.hear()
            if facts == "hangs":
                return "failed", "the process hangs"
            if facts is None:
                code = kills.finish(self.pid)
                self.close()
                if code != -self.number:
                    return "failed", f"the process ended with {code}"
                return "finished" if finished else "ended by default", None
            if "outcome" in facts:
                return facts["outcome"], facts["problem"]
            finished = True

    @property
    def alive(self):
        return self.pid is not None

    def close(self):
        self.pid = None
        os.close(self.write)
        self.lines.close()

    def end(self):
        if self.alive:
            os.close(self.write)
            if not select.select([self.lines], [], [], PATIENCE)[0]:
                os.kill(self.pid, signal.SIGKILL)
            kills.finish(self.pid)
            self.lines.close()
            self.pid = None


def methods(kind, number, signals, rng, base, own=False):
    """Send signals to calls of a method; yield outcomes and problems."""
    folder = base.parent / f"{kind}-{number.name}-{own}"
    child = seconds = None
    try:
        for _ in range(signals):
            if child is None or not child.alive:
                left = rubbish(folder) if folder.exists() else []
                if left:
                    yield "failed", f"left behind: {left}"
                child = Child(kind, base, folder, number, own, seconds)
                seconds = child.seconds
            yield child.signal(rng)
    finally:
        if child is not None:
            child.end()


# --- commands: a process for each signal --------------------------------------------------


def arguments(base, folder):
    """Return the arguments of all commands, and what they are called with to resume them."""
    place = base.parent
    train = [
        "train", str(place / "train.csv"), "--model", str(base), "--max-length", "16", "--epochs",
        "1", "--batch-size", "4", "--checkpoint-every", "3", "--precision", "float32",
        "--inference-precision", "float32", "--text-column", "text", "--label-column", "label",
        "--checkpoint-dir", str(folder / "run"), "--output", str(folder / "model"), "--force",
    ]
    pretrain = [
        "pretrain", str(place / "train.csv"), "--text-column", "text", "--model", str(base),
        "--max-length", "16", "--epochs", "1", "--batch-size", "4", "--checkpoint-every", "3",
        "--precision", "float32", "--checkpoint-dir", str(folder / "run"), "--output",
        str(folder / "model"), "--force",
    ]
    return {
        "bertsent train": train,
        "bertsent predict": [
            "predict", str(place / "one"), str(place / "many.csv"), "--text-column", "text",
            "--output", str(folder / "out.csv"), "--chunk-rows", "100", "--force",
        ],
        "bertsent evaluate": [
            "evaluate", str(place / "one"), str(place / "train.csv"), "--text-column", "text",
            "--label-column", "label",
        ],
        "bertsent pretrain": pretrain,
    }


COMMANDS = ("bertsent train", "bertsent predict", "bertsent evaluate", "bertsent pretrain")


def start(given, folder, ready=None, *, anew=False):
    """Start a command; return the number of its process."""
    stderr = folder.parent / f"{folder.name}.err"
    stdout = folder.parent / f"{folder.name}.out"
    if anew:
        with open(stderr, "wb") as err, open(stdout, "wb") as out:
            return subprocess.Popen(
                [sys.executable, "-m", "bertsent", *given], stdout=out, stderr=err
            ).pid
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        for path, number in ((stdout, 1), (stderr, 2)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        if ready is not None:
            os.write(ready, b"x")
        code = command_line(given)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    except KeyboardInterrupt:  # outside of the command
        os._exit(77)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(1)


_TIMES = re.compile(rb'"(started|seconds|time)": [^,\n]*|[0-9.]+ (s|min)\b')


def files_of(folder):
    """Return the contents of the files of a command, without times."""
    found = kills.contents(folder)
    for name, content in found.items():
        if name.endswith(("run.json", "metrics.json")):
            found[name] = _TIMES.sub(b"", content)
        if name.endswith("history.csv"):
            found[name] = b"\n".join(
                re.sub(rb",[0-9.e-]+$", b"", row) for row in content.split(b"\n")
            )
    return found


def commands(kind, number, signals, rng, base, *, anew=False):
    """Send signals to a command; yield outcomes and problems."""
    folder = base.parent / f"command-{kind.split()[1]}-{number.name}-{anew}"
    folder.mkdir()
    given = arguments(base, folder)[kind]
    times = []
    for _ in range(3):
        begin = time.monotonic()
        pid = start(given, folder, anew=anew)
        if kills.finish_within(pid, PATIENCE) != 0:
            raise RuntimeError((folder.parent / f"{folder.name}.err").read_text())
        times.append(time.monotonic() - begin)
        expected = files_of(folder)
        shutil.rmtree(folder)
        folder.mkdir()
    seconds = statistics.median(times)
    for _ in range(signals):
        read, ready = os.pipe()
        pid = start(given, folder, ready, anew=anew)
        if not anew:
            os.read(read, 1)
        os.close(read)
        os.close(ready)
        time.sleep(rng.uniform(0, 1.05 * seconds))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        code = kills.finish_within(pid, PATIENCE)
        err = (folder.parent / f"{folder.name}.err").read_text()
        resumes = rng.random() < 0.25
        outcome = judge(code, err, number, anew)
        problem = examine(kind, given, folder, expected, outcome, code, err, anew, resumes)
        yield outcome, problem
        shutil.rmtree(folder)
        folder.mkdir()


def judge(code, err, number, anew):
    if code == 0:
        return "finished"
    if code == 128 + number and "Traceback" not in err:
        return "interrupted"
    if code in (-number, 77) or (anew and code == 130):
        return "before or after the command"
    return "failed"


def examine(kind, given, folder, expected, outcome, code, err, anew, resumes):
    """Return what is wrong after a command, or None."""
    if outcome == "failed":
        return f"exit code {code}: {err}"
    if "Traceback" in err and not (anew and "bertsent: " not in err):
        return err
    left = rubbish(folder)
    if left:
        return f"left behind: {left}"
    if outcome == "finished":
        return None if files_of(folder) == expected else "the files are not complete"
    if kind == "bertsent evaluate":
        return None if not list(folder.iterdir()) else "files were written"
    if kind == "bertsent predict":
        found = files_of(folder)
        return None if found in ({}, expected) else "the file is not complete"
    model = folder / "model"
    if model.exists():
        opener = bertsent.BertClassifier if "train" in given[:1] else bertsent.WordPieceTokenizer
        opener.from_pretrained(model)
    if not resumes:
        return None
    again = [*given, "--resume"]
    code = kills.finish_within(start(again, folder), PATIENCE)
    if code != 0:
        return f"resumed: exit code {code}: " + (folder.parent / f"{folder.name}.err").read_text()
    found = files_of(folder)
    differing = [
        name for name in sorted(found.keys() | expected.keys())
        if found.get(name) != expected.get(name) and not name.endswith("run.json")
    ]
    return f"resumed: {', '.join(differing)} differ from a whole run" if differing else None


# --- all of it ----------------------------------------------------------------------------


def prepare(place):
    """Write what all kinds work on, and import what commands do, so that a fork has it."""
    base = kills.prepare(place)
    rows = [f"{text},{label}" for text, label in zip(MANY[:60], kills.LABELS, strict=True)]
    (place / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
    (place / "many.csv").write_text("\n".join(["text", *MANY]) + "\n")
    (place / "warm").mkdir()
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), \
            contextlib.redirect_stderr(nowhere):
        for given in arguments(base, place / "warm").values():
            shutil.rmtree(place / "warm")
            (place / "warm").mkdir()
            if command_line(given):
                raise RuntimeError(f"{given[0]} fails")
    return base


def run(signals, seed, kinds=(*METHODS, *COMMANDS), names=tuple(NUMBERS), own=0, started=0,
        say=print):
    """Send so many signals of each name to each kind; own and started are further ones.

    Returns
    -------
    counts : dict of str to Counter
        Outcomes by kind and signal.
    findings : list of str
    """
    counts, findings = {}, []
    with tempfile.TemporaryDirectory() as name:
        base = prepare(Path(name).resolve())
        gc.freeze()  # a fork then copies less
        for kind in kinds:
            for number in (NUMBERS[each] for each in names):
                rng = random.Random(f"{seed}-{kind}-{number}")
                parts = {f"{kind}, {number.name}": (
                    methods(kind, number, signals, rng, base) if kind in METHODS
                    else commands(kind, number, signals, rng, base)
                )}
                if kind in METHODS:
                    parts[f"{kind}, {number.name}, own handler"] = methods(
                        kind, number, own, rng, base, own=True
                    ) if own else ()
                else:
                    parts[f"{kind}, {number.name}, from the start"] = commands(
                        kind, number, started, rng, base, anew=True
                    ) if started else ()
                for part, outcomes in parts.items():
                    count = collections.Counter()
                    for outcome, problem in outcomes:
                        count[outcome] += 1
                        if problem is not None:
                            count["found"] += 1
                            findings.append(f"{part}: {problem}")
                            say(findings[-1])
                    if count:
                        counts[part] = count
                        say(describe(part, count), flush=True) if say is print else None
    return counts, findings


def describe(part, count):
    return f"{part:<45}" + ", ".join(f"{n} {what}" for what, n in sorted(count.items()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--signals", type=int, default=500, help="of each name, to each kind")
    parser.add_argument("--own", type=int, default=100, help="to methods under own handlers")
    parser.add_argument("--started", type=int, default=20, help="to commands from their start on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=(*METHODS, *COMMANDS),
                        default=(*METHODS, *COMMANDS))
    parser.add_argument("--names", nargs="+", choices=NUMBERS, default=list(NUMBERS))
    args = parser.parse_args()
    for number in NUMBERS.values():  # they are ignored below nohup and in the background
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )
    begin = time.monotonic()
    counts, findings = run(
        args.signals, args.seed, args.kinds, args.names, args.own, args.started
    )
    total = sum(sum(count.values()) - count["found"] for count in counts.values())
    print(f"{total} signals, {len(findings)} findings in {time.monotonic() - begin:.0f} s")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
