"""Read a model while two processes replace it all the time.

    python tests/crash/readers.py --reads 1000

One saves it in float32 with two members, the other in int8 with one. Each reading must give one of
the two versions. An error is only allowed if it says that the model was replaced too often.
"""

import argparse
import collections
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

if __name__ == "__main__":
    os.environ |= {"BERTSENT_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

sys.path[:0] = [str(Path(__file__).resolve().parent)]

import kills  # noqa: E402

import bertsent  # noqa: E402
from bertsent.errors import CheckpointError  # noqa: E402


def describe(directory):
    clf = bertsent.BertClassifier.from_pretrained(directory)
    probabilities = clf.set_params(n_threads=1).predict_proba(kills.TEXTS[:4])
    return kills.hash_models(clf), clf.random_state, probabilities.tobytes()


def save_always(source, target, int8):
    """Start a process that saves a model again and again."""
    pid = os.fork()
    if pid == 0:
        try:
            clf = bertsent.BertClassifier.from_pretrained(source)
            while True:
                clf.save_pretrained(target, overwrite=True, int8=int8)
        except Exception:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    return pid


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--reads", type=int, default=1000)
    args = parser.parse_args()
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name).resolve()
        base = kills.prepare(place)
        options = kills.OPTIONS | {"epochs": 1, "random_state": 2, "members": 2}
        clf = bertsent.BertClassifier(base, **options).fit(kills.TEXTS, kills.LABELS)
        clf.save_pretrained(place / "both")
        bertsent.BertClassifier.from_pretrained(place / "one").save_pretrained(
            place / "small", int8=True
        )
        known = {describe(place / name): name for name in ("both", "small")}
        clf.save_pretrained(place / "model")
        savers = [
            save_always(place / "both", place / "model", False),
            save_always(place / "one", place / "model", True),
        ]
        begin = time.monotonic()
        try:
            for _ in range(args.reads):
                try:
                    counts[known.get(describe(place / "model"), "a mixture")] += 1
                except CheckpointError as error:
                    replaced = "replaced while it was read" in str(error)
                    counts["refused as replaced" if replaced else f"another error: {error}"] += 1
        finally:
            for pid in savers:
                os.kill(pid, signal.SIGKILL)
                if kills.finish(pid) != -signal.SIGKILL:
                    counts["a saver failed"] += 1
    print(", ".join(f"{count} {what}" for what, count in counts.most_common()))
    print(f"{args.reads} readings in {time.monotonic() - begin:.0f} s")
    return bool(counts.keys() - {"both", "small", "refused as replaced"})


if __name__ == "__main__":
    sys.exit(main())
