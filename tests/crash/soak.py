"""Use everything in one process for an hour, in random order, and watch what it takes.

    python tests/crash/soak.py --minutes 60 --output FOLDER

All kinds of work are done once in each round: training of every kind, prediction from lists,
tables and files, saving and opening, pretraining, errors, interrupts, threads, forks and, where it
is installed, the server. Between two pieces of work, when everything is freed, the program counts
memory (resident, handed out by the C library, blocks and objects of Python), open files, threads,
mappings and temporary files. None of these may be larger in the last third of the run than in the
second, beyond a bound (`BOUNDS`). What else goes wrong is a finding, too: an error that is not the
expected one, or another result than in the first round. Writes soak.json and, where matplotlib is
installed, a plot. Needs Linux with glibc.
"""

import argparse
import array
import contextlib
import copy
import ctypes
import gc
import importlib.util
import io
import json
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from pathlib import Path

if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pyarrow as pa  # noqa: E402
from conftest import write_tiny_model  # noqa: E402

import bertsent  # noqa: E402
from bertsent import _core  # noqa: E402
from bertsent.cli import main as command  # noqa: E402

# What may be added between the second and the last third of a run. A run of an hour does each kind
# of work some thousand times, so a leak of 1 KB a call is far above these.
BOUNDS = {
    "resident": 3 << 20,  # bytes of the process that are in memory
    "allocated": 384 << 10,  # bytes that malloc has handed out
    "blocks": 1000,  # small blocks that Python has handed out
    "objects": 500,  # objects that Python's garbage collector knows
    "descriptors": 0.5,
    "threads": 3.5,  # a fork ends those of NumPy's BLAS, which come back when it is used
    "mappings": 8,  # lines of /proc/self/maps
    "files": 0.5,  # in the folder of temporary files, the cache and the folder of the results
}
# In the first rounds, caches still fill, and the C library keeps more and more of what is freed.
# The bounds of a run with fewer rounds find leaks of some 100 KB a round.
WARM_ROUNDS = 100
WARM_BOUNDS = BOUNDS | {
    "resident": 24 << 20, "allocated": 2 << 20, "blocks": 10_000, "objects": 2000, "mappings": 40,
}

LABELS = np.array(["bad" if number % 3 else "good" for number in range(48)])
TEXTS = [
    f"the {'great' if label == 'good' else 'worst'} film {number} of the year, " + "and so on " * 4
    for number, label in enumerate(LABELS)
]
SCORED = _core.precisions()
TRAINED = [precision for precision in SCORED if precision != "int8"]
LONG = [text * 4 for text in TEXTS[:16]]


class Soak:
    """What the work is done with.

    Parameters
    ----------
    folder : Path
        Results, temporary files and the cache go there.
    seed : int
    """

    def __init__(self, folder, seed):
        self.rng = random.Random(seed)
        self.given = folder / "given"
        self.work = folder / "work"
        self.watched = [self.work, folder / "tmp", folder / "cache"]
        for path in (self.given, *self.watched):
            path.mkdir(parents=True)
        self.kept = {}

    def prepare(self):
        """Write models and data."""
        self.base = write_tiny_model(self.given / "base")
        self.classifier().fit(TEXTS, LABELS).save_pretrained(self.given / "model")
        frame = pd.DataFrame({"text": TEXTS * 3, "number": range(3 * len(TEXTS)),
                              "label": list(LABELS) * 3})
        frame.to_csv(self.given / "texts.csv", index=False)
        frame.to_csv(self.given / "texts.csv.gz", index=False)
        frame.to_json(self.given / "texts.jsonl", orient="records", lines=True)
        frame.to_parquet(self.given / "texts.parquet")
        self.frame = frame

    def classifier(self, **options):
        chosen = {
            "model": self.base, "max_length": 16, "epochs": 2, "batch_size": 8, "n_threads": 2,
            "learning_rate": 1e-3, "random_state": 0, "verbose": 0,
        }
        return bertsent.BertClassifier(**(chosen | options))

    def opened(self):
        return bertsent.BertClassifier.from_pretrained(self.given / "model").set_params(n_threads=2)

    def same(self, name, values):
        """Check that a result is the same in every round."""
        found = np.asarray(values).tobytes()
        if self.kept.setdefault(name, found) != found:
            raise AssertionError(f"{name} differs from that of the first round")

    def either(self, *choices):
        return self.rng.choice(choices)


def weights(clf):
    return np.concatenate([model._flat for model in clf.models_])


def fit(soak):
    precision = soak.either(*TRAINED)
    clf = soak.classifier(precision=precision, n_threads=soak.either(1, 2))
    clf.fit(soak.either(TEXTS, pd.Series(TEXTS)), soak.either(LABELS, pd.Series(LABELS)))
    soak.same(f"a model in {precision}", weights(clf))


def fit_frozen(soak):
    kind = soak.either("float32", "bfloat16")
    limit = soak.either(None, "20MB")
    clf = soak.classifier(
        freeze_layers=soak.either(1, "all"), freeze_dropout=True, frozen_cache=kind, epochs=3,
        memory_limit=limit, max_length=32,
    ).fit(LONG, LABELS[:16])
    soak.same(f"frozen {clf.freeze_layers} {kind} {limit}", weights(clf))


def fit_members(soak):
    clf = soak.classifier(members=[{"max_length": 12}, {"freeze_layers": 1}, {}], epochs=1)
    soak.same("members", weights(clf.fit(TEXTS, LABELS)))
    soak.same("probabilities of members", clf.predict_proba(TEXTS[:5]))


def fit_windows(soak):
    clf = soak.classifier(long_text="windows", stride=4, memory_limit=soak.either(None, "8MB"))
    soak.same(f"windows {clf.memory_limit}", weights(clf.fit(LONG, LABELS[:16])))


def fit_resumed(soak):
    run = {"checkpoint_dir": soak.work / "run", "checkpoint_every": 3, "checkpoint_keep": 1}
    at = soak.rng.randrange(2, 10)
    for step in (at, at + 2):
        with contextlib.suppress(KeyboardInterrupt):
            soak.classifier(**run, resume=True, callbacks=press_at(step)).fit(TEXTS, LABELS)
    clf = soak.classifier(**run, resume=True).fit(TEXTS, LABELS)
    soak.same("a resumed model", weights(clf))


class Listener:
    """Keeps the events and their classifier alive in a cycle, as callbacks of users do."""

    def __init__(self):
        self.events, self.me = [], self

    def on_step(self, event):
        self.events.append(event)

    on_epoch = on_evaluation = on_step


def fit_watched(soak):
    listener = Listener()
    clf = soak.classifier(
        callbacks=[listener, lambda event: None], log_file=soak.work / "log.jsonl", epochs=3,
        validation_fraction=0.25, early_stopping=soak.either("loss", "accuracy"), eval_every=2,
        class_weight={"bad": 1, "good": 2}, label_smoothing=0.1, layer_decay=0.9,
        time_budget=soak.either(*[None] * 9, "1min"),  # the speed is then measured for 2 seconds
    )
    listener.classifier = clf
    clf.fit(TEXTS, LABELS)
    clf.set_params(warm_start=True, callbacks=None, early_stopping=False).fit(TEXTS, LABELS)
    clf.partial_fit(TEXTS[:8], LABELS[:8])


def audit(soak):
    clf = soak.classifier(track_examples=True).fit(TEXTS, LABELS)
    found = clf.audit(TEXTS, X_test=TEXTS[:4] + ["another"], y_test=LABELS[:5])
    soak.same("an audit", found["score"])


def predict(soak):
    clf = soak.opened().set_params(inference_precision=soak.either(*SCORED))
    expected = clf.predict_proba(TEXTS)
    soak.same(f"probabilities in {clf.inference_precision}", expected)
    X = soak.either(
        tuple(TEXTS), np.array(TEXTS), pd.Series(TEXTS), pd.Series(TEXTS, dtype="category"),
        pd.DataFrame({"text": TEXTS}), pa.array(TEXTS), pa.chunked_array([TEXTS[:9], TEXTS[9:]]),
        pa.table({"text": TEXTS}), pd.Series(TEXTS, dtype=pd.ArrowDtype(pa.string())),
    )
    assert clf.predict_proba(X).tobytes() == expected.tobytes()
    clf.decision_function(X), clf.predict(X), clf.tokens_read(X), clf.predict(LONG)
    clf.seen_in_training(X)
    for part in clf.predict_batches([soak.frame[:9], soak.frame[9:30]], "text"):
        assert "confidence" in part
    next(iter(clf.predict_batches(iter([soak.frame[:9], soak.frame]), "text")))


def evaluate(soak):
    clf = soak.opened()
    result = clf.evaluate(TEXTS, LABELS)
    str(result), result._repr_html_(), clf._repr_html_(), repr(clf)
    soak.same("an accuracy", [result.accuracy, clf.score(pd.Series(TEXTS), LABELS)])


def predict_file(soak):
    source = soak.either("texts.csv", "texts.csv.gz", "texts.jsonl", "texts.parquet")
    target = soak.work / f"out.{soak.either('csv', 'tsv.gz', 'jsonl', 'parquet')}"
    done = soak.opened().predict_file(
        soak.given / source, target, text_column="text", chunk_rows=50, overwrite=True
    )
    assert done.rows == len(soak.frame) and target.exists()


def save(soak):
    clf = soak.opened()
    clf.save_pretrained(soak.work / "saved", int8=soak.either(True, False))
    clf.save_pretrained(soak.work / "saved", overwrite=True, int8=soak.either(True, False))
    again = bertsent.BertClassifier.from_pretrained(soak.work / "saved")
    assert np.allclose(again.predict_proba(TEXTS[:4]), clf.predict_proba(TEXTS[:4]), atol=0.1)
    copies = copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))
    for each in copies:
        soak.same("a copy", each.predict_proba(TEXTS[:4]))


def pretrain(soak):
    result = bertsent.pretrain(
        TEXTS[:24], soak.work / "pretrained", model=soak.base, max_length=16, batch_size=8,
        checkpoint_dir=soak.work / "run", checkpoint_every=2, random_state=0, n_threads=2,
        validation_fraction=0.2, precision=soak.either(*TRAINED), verbose=0,
    )
    assert np.isfinite(result.history[-1]["loss"])


def press_at(step):
    def press(event):
        if event["event"] == "step" and event["step"] == step:
            signal.raise_signal(signal.SIGINT)

    return press


def interrupt(soak):
    clf = soak.classifier(callbacks=press_at(soak.rng.randrange(1, 12)))
    clf = clf.set_params(members=soak.either(1, 2))
    with contextlib.suppress(KeyboardInterrupt):
        clf.fit(TEXTS, LABELS)
        raise AssertionError("the interrupt was lost")
    clf = soak.opened()

    def rows():
        yield TEXTS
        signal.raise_signal(signal.SIGINT)
        yield TEXTS

    with contextlib.suppress(KeyboardInterrupt):
        list(clf.predict_batches(rows()))
        raise AssertionError("the interrupt was lost")
    with contextlib.suppress(KeyboardInterrupt):
        bertsent.pretrain(TEXTS, soak.work / "stopped", model=soak.base, max_length=16, verbose=0,
                          batch_size=4, callbacks=press_at(2), n_threads=1)
        raise AssertionError("the interrupt was lost")


def stop_at_two(event):
    if event.get("step") == 2:
        raise RuntimeError("on purpose")


def errors(soak):
    """Do what must fail, each with its own message."""
    clf = soak.opened()
    with clf.model_.edit_parameters() as parameters:
        first = next(iter(parameters.values()))
        first[...] = np.nan
    lone = "a \ud800"
    broken = soak.work / "broken"
    shutil.copytree(soak.given / "model", broken)
    weights_file = broken / "model.safetensors"
    weights_file.write_bytes(weights_file.read_bytes()[: soak.rng.randrange(1, 20_000)])
    (soak.work / "bad.csv").write_text("text,n\nfine,1\n\"open,2\n")
    open_model = bertsent.BertClassifier.from_pretrained
    wrong = [
        lambda: clf.predict(TEXTS),
        lambda: clf.predict_proba(LONG),
        lambda: soak.opened().predict([*TEXTS, None]),
        lambda: soak.opened().predict([*TEXTS, lone]),
        lambda: soak.opened().predict(pd.Series(["a", np.nan])),
        lambda: soak.opened().predict(pa.array(["a", None])),
        lambda: soak.opened().predict("one text"),
        lambda: soak.opened().evaluate(TEXTS, LABELS[:-1]),
        lambda: soak.opened().evaluate(TEXTS, np.full(len(TEXTS), "unknown")),
        lambda: list(soak.opened().predict_batches([TEXTS, [3.5]])),
        lambda: open_model(broken),
        lambda: open_model(soak.work / "nothing here"),
        lambda: soak.opened().predict_file(soak.work / "none.csv", soak.work / "x.csv"),
        lambda: soak.opened().predict_file(soak.work / "bad.csv", soak.work / "x.csv",
                                           text_column="text"),
        lambda: soak.opened().save_pretrained(soak.given / "model"),
        lambda: soak.classifier(learning_rate=-1).fit(TEXTS, LABELS),
        lambda: soak.classifier(max_length=10**6).fit(TEXTS, LABELS),
        lambda: soak.classifier().fit([*TEXTS[:-1], 7], LABELS),
        lambda: soak.classifier().fit(TEXTS, np.full(len(TEXTS), "same")),
        lambda: soak.classifier(learning_rate=1e30, max_grad_norm=0, epochs=9).fit(TEXTS, LABELS),
        lambda: soak.classifier(callbacks=stop_at_two).fit(TEXTS, LABELS),
        lambda: soak.classifier(memory_limit="1MB").fit(TEXTS, LABELS),
        lambda: soak.classifier().predict(TEXTS),
        lambda: bertsent.pretrain(["", " "], soak.work / "no", model=soak.base, verbose=0),
    ]
    for number, call in enumerate(wrong):
        try:
            call()
        except (ValueError, TypeError, OSError, ArithmeticError, RuntimeError, AttributeError):
            continue
        raise AssertionError(f"wrong call {number} did not fail")
    assert not (soak.work / "x.csv").exists()


def in_threads(soak):
    """Predict with one classifier, and train others, in threads that end."""
    clf, failed = soak.opened(), []

    def run(work):
        try:
            work()
        except BaseException as error:
            failed.append(error)

    jobs = [
        lambda: soak.same("in a thread", clf.predict_proba(TEXTS)),
        lambda: soak.same("in a thread", clf.predict_proba(TEXTS)),
        lambda: soak.same("long in a thread", clf.predict_proba(LONG)),
        lambda: soak.same("trained in a thread", weights(soak.classifier().fit(TEXTS, LABELS))),
    ]
    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def in_child(soak):
    """Predict and train in a child that was forked with the pool running."""
    clf = soak.opened()
    expected = clf.predict_proba(TEXTS).tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there are other threads: those of the pool
        pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            same = clf.predict_proba(TEXTS).tobytes() == expected
            soak.classifier(epochs=1).fit(TEXTS, LABELS)
            code = not same
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child failed"


def tokenize(soak):
    tokenizer = bertsent.WordPieceTokenizer.from_pretrained(soak.base)
    strange = ["É\u0301 \u4e2d\u6587 \U0001f600 [MASK]", "", "x" * 500, *LONG]
    soak.same("ids", tokenizer.encode_batch(strange, max_length=20, truncation="windows").ids)
    padded = tokenizer(strange, TEXTS[: len(strange)], max_length=24, return_offsets_mapping=True)
    soak.same("padded ids", padded["input_ids"])
    tokenizer.encode_batch(pa.array(strange), n_threads=soak.either(1, 2))
    tokenizer.decode(tokenizer.encode("the film")), tokenizer.tokenize("the films"), repr(tokenizer)
    tokenizer.save_pretrained(soak.work / "tokenizer")
    pickle.loads(pickle.dumps(tokenizer))


def bare_model(soak):
    tokenizer = bertsent.WordPieceTokenizer.from_pretrained(soak.base)
    model = bertsent.BertForSequenceClassification.from_pretrained(soak.given / "model")
    soak.same("logits", model(**tokenizer(TEXTS)))
    batch = tokenizer(TEXTS[:8])
    loss, gradients = model.loss_and_gradients(**batch, labels=np.arange(8) % 2)[:2]
    assert len(gradients) == len(model.parameters)
    model.save_pretrained(soak.work / "bare")


def commands(soak):
    given = str(soak.given / "model")
    out, err = io.StringIO(), io.StringIO()
    lines = [
        (0, ["evaluate", given, str(soak.given / "texts.csv"), "--text-column", "text",
             "--label-column", "label"]),
        (0, ["predict", given, "--text", "the worst film"]),
        (0, ["inspect", given]),
        (1, ["inspect", str(soak.work / "nothing here")]),
        (0, ["predict", given, str(soak.given / "texts.jsonl"), "--text-column", "text",
             "--output", str(soak.work / "labelled.csv")]),
        (2, ["train", "--no-such-flag"]),
        (0, ["train", str(soak.given / "texts.csv"), "--text-column", "text",
             "--label-column", "label", "--model", str(soak.base), "--epochs", "1",
             "--max-length", "16", "--output", str(soak.work / "trained")]),
    ]
    expected, argv = soak.either(*lines)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = command(argv)
    assert code == expected, f"{argv[0]} ended with {code}: {err.getvalue()[-300:]}"


def serve(soak):
    """Answer requests with the application of the server, and stop it."""
    from asgi_client import Client

    from bertsent.serving import Limits, open_served

    opened = open_served(soak.given / "model", {"n_threads": 2})
    client = Client(opened, Limits(max_batch_tokens=soak.either(32, 4096)))
    asked = [("/predict", {"inputs": text}) for text in TEXTS[:8]]
    asked += [("/embed", {"inputs": LONG[:4]}), ("/predict", {"inputs": 3}), ("/metrics",)]
    *answers, told = client.all(*asked)
    assert [status for status, _, _ in answers] == [200] * 9 + [422] and told[0] == 200
    soak.same("answers", json.dumps([content for _, _, content in answers]))


WORK = {
    function.__name__: function for function in (
        fit, fit_frozen, fit_members, fit_windows, fit_resumed, fit_watched, audit, predict,
        evaluate, predict_file, save, pretrain, interrupt, errors, in_threads, in_child, tokenize,
        bare_model, commands, serve,
    ) if function is not serve or importlib.util.find_spec("starlette")
}


class _MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost",
    )]


_mallinfo = ctypes.CDLL(None).mallinfo2
_mallinfo.restype = _MallInfo


def take_stock(watched):
    """Return what the process takes, with everything freed that can be freed."""
    gc.collect()
    memory = _mallinfo()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "resident": resident,
        "allocated": memory.uordblks + memory.hblkhd,
        "blocks": sys.getallocatedblocks(),
        "objects": len(gc.get_objects()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "mappings": Path("/proc/self/maps").read_bytes().count(b"\n"),
        "files": sum(1 for folder in watched for _ in folder.rglob("*")),
    }


class Samples:
    """What was counted at each time, in one block of memory.

    A list of dictionaries would grow by eight of the blocks that are counted with each sample.
    """

    def __init__(self):
        self._names, self._values = (), array.array("d")

    def add(self, sample):
        self._names = self._names or tuple(sample)
        self._values.extend(sample.values())

    def rows(self):
        """Return a dictionary for each sample."""
        width = len(self._names)
        return [
            dict(zip(self._names, self._values[begin : begin + width], strict=True))
            for begin in range(0, len(self._values), width or 1)
        ]


def slope(values):
    """Return the median slope between two values of a series, a step (Theil and Sen)."""
    values = np.asarray(values, np.float64)[:: max(1, len(values) // 1000)]
    first, second = np.triu_indices(len(values), 1)
    step = max(1, len(values) // 1000)
    return float(np.median((values[second] - values[first]) / (second - first))) / step


def growth(values):
    """Return by how much a series grows from its second to its last third.

    The smaller one of two estimates: the difference of medians, and the median slope over both
    thirds. Neither is moved by a few values that lie outside.
    """
    third = len(values) // 3
    if third < 2:
        return 0.0
    middle, last = values[-2 * third : -third], values[-third:]
    difference = float(np.median(last) - np.median(middle))
    return min(difference, slope(values[-2 * third :]) * third)


def run(folder, *, minutes=None, rounds=None, seed=0, every=3.0, work=None, say=print):
    """Work for a number of minutes or rounds.

    Returns
    -------
    result : dict
        ``samples``, ``growth`` and ``done``, the number of calls of each kind of work.
    findings : list of str
    """
    work = dict(WORK if work is None else work)
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder))
    soak, findings, samples = Soak(scratch, seed), [], Samples()
    done = dict.fromkeys(work, 0)
    if work.keys() & WORK.keys():
        soak.prepare()
    environment = {"BERTSENT_CACHE": os.environ.get("BERTSENT_CACHE")}
    directory, tempfile.tempdir = tempfile.tempdir, str(scratch / "tmp")
    os.environ["BERTSENT_CACHE"] = str(scratch / "cache")
    begin = last = time.monotonic()
    number = 0

    def over():
        if rounds is not None:
            return number >= rounds
        return time.monotonic() - begin >= 60 * minutes

    try:
        while not over():
            names = list(work)
            soak.rng.shuffle(names)
            for name in names:
                if rounds is None and over():
                    break
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        work[name](soak)
                except (Exception, KeyboardInterrupt) as error:
                    text = "".join(traceback.format_exception(error))
                    findings.append(f"{name}: {type(error).__name__}: {error}")
                    say(f"round {number}, {name}:\n{text}")
                    del error
                done[name] += 1
                for path in soak.work.iterdir():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                if rounds is None and time.monotonic() - last >= every:
                    last = time.monotonic()
                    samples.add({"seconds": round(last - begin, 1)} | take_stock(soak.watched))
            number += 1
            if rounds is not None:
                seconds = round(time.monotonic() - begin, 1)
                samples.add({"seconds": seconds} | take_stock(soak.watched))
    finally:
        tempfile.tempdir = directory
        for key, value in environment.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
        shutil.rmtree(scratch)
    bounds = BOUNDS if number >= WARM_ROUNDS or work.keys() != WORK.keys() else WARM_BOUNDS
    rows = samples.rows()
    grown = {name: growth([row[name] for row in rows]) for name in bounds}
    findings += [
        f"{name} grow from the second to the last third by {grown[name]:,.1f}, more than {bound:,}"
        for name, bound in bounds.items() if grown[name] > bound
    ]
    result = {
        "rounds": number, "calls": sum(done.values()), "done": done, "bounds": bounds,
        "growth": grown, "findings": findings, "samples": rows,
    }
    return result, findings


def plot(result, path):
    """Draw what the process took over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    samples = result["samples"]
    minutes = np.array([sample["seconds"] for sample in samples]) / 60
    figure = plt.figure(figsize=(9, 4.2), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True).ravel()
    shown = [
        ("resident", 1e6, "resident memory, MB"), ("allocated", 1e6, "allocated by malloc, MB"),
        ("objects", 1e3, "Python objects, thousands"), ("descriptors", 1, "open files"),
        ("threads", 1, "threads"), ("mappings", 1, "mappings"),
    ]
    for axis, (name, unit, label) in zip(panels, shown, strict=True):
        values = np.array([sample[name] for sample in samples]) / unit
        axis.plot(minutes, values, color="#2f7d4f", linewidth=0.9)
        axis.set_ylim(0, 1.25 * values.max())
        axis.set_title(label, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in panels[3:]:
        axis.set_xlabel("minutes", fontsize=8)
    figure.suptitle(f"One process, {result['calls']:,} pieces of work of all kinds", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two samples")
    parser.add_argument("--only", nargs="+", choices=WORK, help="only these kinds of work")
    parser.add_argument("--output", type=Path, help="folder for soak.json and soak.png")
    args = parser.parse_args()
    work = {name: WORK[name] for name in args.only or WORK}
    with tempfile.TemporaryDirectory() as name:
        result, findings = run(
            Path(name).resolve(), minutes=args.minutes, seed=args.seed, every=args.every, work=work
        )
    result = {"command": f"tests/crash/soak.py --minutes {args.minutes:g} --seed {args.seed}",
              "python": sys.version.split()[0]} | result
    if args.output is not None:
        args.output.mkdir(parents=True, exist_ok=True)
        rows = result.pop("samples")
        text = json.dumps(result, indent=1)[:-2]
        lines = ",\n".join("  " + json.dumps(
            {name: int(value) if value.is_integer() else value for name, value in row.items()}
        ) for row in rows)
        (args.output / "soak.json").write_text(f'{text},\n "samples": [\n{lines}\n ]\n}}\n')
        result["samples"] = rows
        with contextlib.suppress(ImportError):
            plot(result, args.output / "soak.png")
    for finding in findings:
        print(finding)
    grown = ", ".join(f"{name} {value:+,.0f}" for name, value in result["growth"].items())
    print(f"from the second to the last third: {grown}")
    print(f"{result['calls']} pieces of work in {result['rounds']} rounds, "
          f"{len(result['samples'])} samples, {len(findings)} findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
