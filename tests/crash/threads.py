"""Score, copy and save a model from many threads while it is trained, and train in two at once.

    python tests/crash/threads.py --operations 20000 --seed 0

First, a classifier is trained alone, and everything that the threads may find is noted after each
step. Then equal classifiers are trained again, each by one thread, while 16 others score, copy and
save it, and while another model is trained. Every result must be that of one of the steps, no
thread may see a step and then an earlier one, and training must end with the same bits as alone.
Everything else, also an exception and a thread that waits for ever, is a finding.
"""

import argparse
import collections
import copy
import faulthandler
import hashlib
import os
import pickle
import random
import shutil
import sys
import tempfile
import threading
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
from sklearn.base import clone  # noqa: E402

import bertsent  # noqa: E402

PATIENCE = 120  # seconds until a thread is taken to wait for ever
TEXTS, LABELS = kills.TEXTS[:32], kills.LABELS[:32]
ASKED, TRUE = kills.TEXTS[40:48], kills.LABELS[40:48]
# The update of a smaller model is over before another thread could look.
SIZE = {"hidden_size": 96, "intermediate_size": 384, "num_hidden_layers": 3}
BETWEEN = "of these between the first and the last step"
OPTIONS = kills.OPTIONS | {"batch_size": 4}


def digest(*arrays):
    return hashlib.blake2b(b"".join(np.ascontiguousarray(a).data for a in arrays)).hexdigest()


def describe_model(clf):
    """Return a hash of parameters and moments, and the number of steps."""
    moments = clf._fitted.moments
    flat = clf.model_._settled()
    return digest(flat, moments.exp_avg, moments.exp_avg_sq), moments.step


# --- what threads do ----------------------------------------------------------------------


def predict(clf, folder):
    return clf.predict(ASKED).tolist()


def predict_proba(clf, folder):
    return digest(clf.predict_proba(ASKED))


def decision_function(clf, folder):
    return digest(clf.decision_function(ASKED))


def forward(clf, folder):
    tokens = clf.tokenizer_.encode_batch(ASKED)
    return digest(clf.model_.score_packed(tokens.ids, tokens.offsets, n_threads=2))


def encode(clf, folder):
    return digest(*clf.tokenizer_.encode_batch(TEXTS, n_threads=2)[:2])


def predict_file(clf, folder):
    output = folder / f"{threading.get_ident()}.csv"
    clf.predict_file(folder / "asked.csv", output, text_column="text", overwrite=True)
    return output.read_bytes()


def evaluate(clf, folder):
    found = clf.evaluate(ASKED, TRUE)
    return {name: value for name, value in found.items() if "second" not in name}


def gradients(clf, folder):
    loss, found = clf.model_.loss_and_gradients(
        *(clf.tokenizer_(ASKED, max_length=16, truncation=True)[name]
          for name in ("input_ids", "attention_mask")), [0, 1] * 4,
    )
    return loss, digest(*found.values())


def pickled(clf, folder):
    return describe_model(pickle.loads(pickle.dumps(clf)))


def deep(clf, folder):
    return describe_model(copy.deepcopy(clf))


def pickled_model(clf, folder):
    return digest(pickle.loads(pickle.dumps(clf.model_))._flat)


def saved(clf, folder):
    directory = folder / f"{threading.get_ident()}"
    clf.save_pretrained(directory, overwrite=True)
    return digest(bertsent.BertClassifier.from_pretrained(directory).model_._flat)


def saved_small(clf, folder):
    directory = folder / f"{threading.get_ident()}"
    clf.save_pretrained(directory, overwrite=True, int8=True)
    return digest(bertsent.BertClassifier.from_pretrained(directory).model_._flat)


def cloned(clf, folder):
    return repr(clone(clf))


def shown(clf, folder):
    return repr(clf), repr(clf.model_), list(clf.get_params())


SCORING = (predict, predict_proba, decision_function, forward, encode, predict_file, evaluate,
           gradients)
COPYING = (pickled, deep, pickled_model, saved, saved_small, cloned, shown)


# --- the model that they share ------------------------------------------------------------


class Case:
    """A classifier to be trained by `partial_fit`, and what is found after each of its steps."""

    def __init__(self, place, steps=8):
        base = kills.write_tiny_model(place / "larger", **SIZE)
        self.folder = place / "shared"
        self.folder.mkdir()
        (self.folder / "asked.csv").write_text("\n".join(["text", *ASKED]) + "\n")
        clf = bertsent.BertClassifier(base, **OPTIONS)
        clf.partial_fit(TEXTS[:8], LABELS[:8], classes=["bad", "good"])
        self.start = pickle.dumps(clf)
        # Results by operation, each with the steps after which it is found.
        self.known = {each: collections.defaultdict(list) for each in (*SCORING, *COPYING)}
        self.note(clf, 0)
        clf.callbacks = lambda event: event["event"] == "step" and self.note(clf, event["step"])
        clf.partial_fit(TEXTS[: 4 * steps], LABELS[: 4 * steps])
        self.steps, self.end = steps, clf._fitted.moments.step
        self.last = digest(clf.model_._flat)

    def note(self, clf, step):
        callbacks, clf.callbacks = clf.callbacks, None
        for action, results in self.known.items():
            results[repr(action(clf, self.folder))].append(step)
        clf.callbacks = callbacks

    def make(self):
        return pickle.loads(self.start)

    def train(self, clf):
        clf.partial_fit(TEXTS[: 4 * self.steps], LABELS[: 4 * self.steps])


def run_threads(functions, findings, names):
    """Run functions, each in a thread; note exceptions and threads that do not end."""

    def guarded(function, name):
        try:
            function()
        except BaseException:
            findings.append(f"{name}: {traceback.format_exc()}")

    threads = [
        threading.Thread(target=guarded, args=(function, name), daemon=True)
        for function, name in zip(functions, names, strict=True)
    ]
    for thread in threads:
        thread.start()
    until = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            faulthandler.dump_traceback()
            findings.append("a thread waits for ever")
            return False
    return True


def share(case, rng, counts, findings, actions, n_threads=16):
    """Train one classifier while many threads use it, until training ends."""
    clf, over = case.make(), threading.Event()
    clf.predict(ASKED)

    def train():
        try:
            case.train(clf)
        finally:
            over.set()
        if digest(clf.model_._flat) != case.last:
            findings.append("training beside other threads gives other bits")
        counts["training of the shared model"] += 1

    def use(draw):
        seen = 0
        while not over.is_set():
            action = draw.choice(actions)
            found = repr(action(clf, case.folder))
            steps = [step for step in case.known[action].get(found, ()) if step >= seen]
            if not steps:
                earlier = "of an earlier step" if found in case.known[action] else "of no step"
                findings.append(f"{action.__name__} gives the result {earlier}")
            elif len(case.known[action]) > 1:
                seen = min(steps)  # a result that several steps share says the least
            counts[action.__name__] += 1
            if 0 < seen < case.end:
                counts[BETWEEN] += 1

    draws = [random.Random(rng.random()) for _ in range(n_threads)]
    return run_threads(
        [train, *(lambda draw=draw: use(draw) for draw in draws)], findings,
        ["training", *["using"] * n_threads],
    )


# --- several models at once ---------------------------------------------------------------


def fit(base, seed, **options):
    clf = bertsent.BertClassifier(base, **OPTIONS | {"random_state": seed, "epochs": 2} | options)
    return kills.hash_models(clf.fit(TEXTS, LABELS))


def fit_at_once(base, place, alone, counts, findings):
    """Train different models in threads at the same time, one with checkpoints."""
    found = {}

    def train(seed):
        options = {"checkpoint_dir": place / f"run-{seed}"} if seed == 0 else {}
        found[seed] = fit(base, seed, resume=False, **options)

    ended = run_threads(
        [lambda seed=seed: train(seed) for seed in alone], findings, ["fitting"] * len(alone)
    )
    shutil.rmtree(place / "run-0", ignore_errors=True)
    counts["fits at once"] += len(alone)
    if ended and found != alone:
        findings.append("fits at the same time give other bits than alone")
    return ended


# --- all of it ----------------------------------------------------------------------------


def run(operations, seed, say=print, steps=8):
    """Do at least so many operations.

    Returns
    -------
    counts : Counter
        Numbers of operations by name.
    findings : list of str
    """
    rng, counts, findings = random.Random(seed), collections.Counter(), []
    warnings.simplefilter("ignore")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # threads take turns more often
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Path(name).resolve()
        base = kills.write_tiny_model(place / "base")
        case = Case(place, steps)
        alone = {number: fit(base, number) for number in range(2)}
        going = True
        try:
            while going and sum(counts.values()) - counts[BETWEEN] < operations:
                for actions in (SCORING, COPYING, SCORING + COPYING):
                    other = threading.Thread(target=fit, args=(base, 5), daemon=True)
                    other.start()  # another model
                    going = going and share(case, rng, counts, findings, actions)
                    other.join(PATIENCE)
                    going = going and not other.is_alive()
                going = going and fit_at_once(base, place, alone, counts, findings)
        finally:
            sys.setswitchinterval(interval)
    for finding, number in collections.Counter(findings).items():
        say(f"{number} times: {finding}")
    return counts, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--operations", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begin = time.monotonic()
    counts, findings = run(args.operations, args.seed)
    print(", ".join(f"{count} {what}" for what, count in counts.most_common()))
    total = sum(counts.values()) - counts[BETWEEN]
    print(f"{total} operations, {len(findings)} findings in {time.monotonic() - begin:.0f} s")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
