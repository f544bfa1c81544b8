"""Fork while threads score, train, edit, read and write, and use models in all kinds of processes.

    python tests/crash/forks.py --forks 300 --seed 0

One thread trains a classifier, others score it, read and edit parameters, read files and start
processes that need an import; the main thread forks at random moments. Each child must find the
shared model as it is between two steps, score it, train it further, train another model, label a
file, and end, with the same bits as the parent. Then spawn, forkserver, multiprocessing's fork,
joblib and concurrent.futures score and train in their workers. A wrong result, an exception and a
process that does not end are findings.
"""

import argparse
import collections
import concurrent.futures
import faulthandler
import multiprocessing
import os
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

import joblib  # noqa: E402
import kills  # noqa: E402
import threads  # noqa: E402

PATIENCE = 300  # seconds until a process is taken to hang


# --- forks beside threads -----------------------------------------------------------------


class Busy:
    """Threads that use a classifier until they are stopped."""

    def __init__(self, case):
        self.case, self.over, self.findings = case, threading.Event(), []
        self.clf = case.make()
        self.other = case.make()  # whose parameters are edited
        self.threads = [
            threading.Thread(target=self.again, args=(action,), daemon=True)
            for action in (self.train, self.score, self.score, self.edit, self.look, self.label)
        ]
        for thread in self.threads:
            thread.start()

    def again(self, action):
        try:
            while not self.over.is_set():
                action()
                time.sleep(0.002)  # so that children get their share of the processor
        except BaseException:
            self.findings.append(f"a thread of the parent: {traceback.format_exc()}")

    def train(self):
        self.clf = clf = self.case.make()
        self.case.train(clf)

    def score(self):
        self.clf.predict_proba(threads.ASKED)
        self.other.predict_proba(threads.ASKED)

    def edit(self):
        with self.other.model_.edit_parameters() as parameters:
            parameters["classifier.bias"][:] = parameters["classifier.bias"][::-1].copy()

    def look(self):
        for name in self.other.model_.parameters:
            self.other.model_.parameters[name].sum()

    def label(self):
        threads.predict_file(self.clf, self.case.folder)

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(PATIENCE)
            if thread.is_alive():
                self.findings.append("a thread of the parent waits for ever")


def in_child(case, clf, other, base, alone):
    """Return what is wrong in a child process, or None."""
    steps = case.known[threads.predict_proba].get(repr(threads.predict_proba(clf, None)))
    if steps is None:
        return "scores are of no step"
    state = repr(threads.describe_model(clf)[0])
    if state not in {repr(eval(found)[0]) for found in case.known[threads.deep]}:
        return "parameters and moments are of no step"
    if threads.forward(clf, None) not in map(eval, case.known[threads.forward]):
        return "scores of two threads are of no step"
    for name in other.model_.parameters:
        other.model_.parameters[name].sum()
    with other.model_.edit_parameters() as parameters:
        parameters["classifier.bias"][:] = 0.0
    other.predict(threads.ASKED)
    clf.partial_fit(threads.TEXTS[:4], threads.LABELS[:4])
    if threads.fit(base, 0) != alone:
        return "training gives other bits"
    fresh = case.make()
    found = repr(threads.predict_file(fresh, case.folder))
    if 0 not in case.known[threads.predict_file].get(found, ()):
        return "a labelled file is wrong"
    return None


def fork(case, busy, base, alone, exits):
    """Fork once; return the number of the child."""
    clf, other = busy.clf, busy.other
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        faulthandler.dump_traceback_later(PATIENCE - 10, exit=True)
        problem = in_child(case, clf, other, base, alone)
        if problem is not None:
            print(problem, file=sys.stderr)
        code = 0 if problem is None else 2
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    if exits and code == 0:
        faulthandler.cancel_dump_traceback_later()
        sys.exit(0)  # through all of Python's clean-up
    os._exit(code)


def fork_beside_threads(case, base, alone, forks, rng, counts, findings, exits=False):
    """Fork at random moments, two children at a time."""
    busy, children = Busy(case), []
    try:
        for number in range(forks):
            time.sleep(rng.uniform(0, 0.05))
            children.append(fork(case, busy, base, alone, exits and number % 4 == 0))
            counts["os.fork beside threads"] += 1
            if len(children) == 2 or number == forks - 1:
                for pid in children:
                    code = kills.finish_within(pid, PATIENCE)
                    if code != 0:
                        findings.append(f"a forked child ended with {code}")
                children = []
    finally:
        busy.stop()
    findings.extend(busy.findings)


# --- processes of all kinds ---------------------------------------------------------------


def work(clf, base):
    """Score and train in a worker."""
    warnings.simplefilter("ignore")
    return threads.predict_proba(clf, None), threads.fit(base, 0)


def tell(queue, clf, base):
    queue.put(work(clf, base))


def of_multiprocessing(method, clf, base):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=tell, args=(queue, clf, base))
    child.start()
    found = queue.get(timeout=PATIENCE)
    child.join(PATIENCE)
    if child.exitcode != 0:
        raise RuntimeError(f"the process ended with {child.exitcode}")
    return [found]


def of_futures(method, clf, base):
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
        return list(pool.map(work, [clf] * 4, [base] * 4, timeout=PATIENCE))


def of_thread_futures(clf, base):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(work, [clf] * 4, [base] * 4, timeout=PATIENCE))


def of_joblib(backend, clf, base):
    return joblib.Parallel(2, backend=backend, timeout=PATIENCE)(
        joblib.delayed(work)(clf, base) for _ in range(4)
    )


WAYS = {
    f"multiprocessing, {method}": lambda clf, base, method=method: of_multiprocessing(
        method, clf, base
    ) for method in ("fork", "spawn", "forkserver")
} | {
    f"ProcessPoolExecutor, {method}": lambda clf, base, method=method: of_futures(
        method, clf, base
    ) for method in ("fork", "spawn", "forkserver")
} | {"ThreadPoolExecutor": of_thread_futures} | {
    f"joblib, {backend}": lambda clf, base, backend=backend: of_joblib(backend, clf, base)
    for backend in ("loky", "multiprocessing", "threading")
}


def use_workers(case, base, alone, rounds, counts, findings, ways=tuple(WAYS)):
    clf = case.make()
    expected = threads.predict_proba(clf, None), alone
    for _ in range(rounds):
        for way in ways:
            try:
                found = WAYS[way](clf, base)
            except Exception:
                findings.append(f"{way}: {traceback.format_exc()}")
                continue
            counts[way] += len(found)
            if any(each != expected for each in found):
                findings.append(f"{way}: other bits than in the parent")
    if (threads.predict_proba(clf, None), threads.fit(base, 0)) != expected:
        findings.append("other bits in the parent afterwards")


# --- all of it ----------------------------------------------------------------------------


def run(forks, rounds, seed, say=print, ways=tuple(WAYS), exits=False):
    """Fork `forks` times, and use workers of all kinds in `rounds` rounds.

    With `exits`, every fourth child ends by `sys.exit`, which runs what the caller has to clean up.

    Returns
    -------
    counts : Counter
        Processes, and tasks of workers, by kind.
    findings : list of str
    """
    rng, counts, findings = random.Random(seed), collections.Counter(), []
    warnings.simplefilter("ignore")
    place, owner = Path(tempfile.mkdtemp()).resolve(), os.getpid()
    try:
        base = kills.write_tiny_model(place / "base")
        case = threads.Case(place)
        alone = threads.fit(base, 0)
        fork_beside_threads(case, base, alone, forks, rng, counts, findings, exits)
        use_workers(case, base, alone, rounds, counts, findings, ways)
    finally:
        if os.getpid() == owner:  # children that end as Python does come here too
            shutil.rmtree(place, ignore_errors=True)
    for finding, number in collections.Counter(findings).items():
        say(f"{number} times: {finding}")
    return counts, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--forks", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3, help="of workers of all kinds")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begin = time.monotonic()
    counts, findings = run(args.forks, args.rounds, args.seed, exits=True)
    print(", ".join(f"{count} {what}" for what, count in counts.most_common()))
    print(f"{len(findings)} findings in {time.monotonic() - begin:.0f} s")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
