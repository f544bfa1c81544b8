"""Open damaged directories: models, tokenizers, and runs to be resumed.

    python tests/fuzz/directories.py --mutants 100000 --seed 1

Each mutant is a small directory in which one file has been changed at random. It is opened through
the public interface, with at most 1 GB more address space than before and in at most 5 seconds.
There are three right outcomes: it is refused by an error of bertsent that names the directory; it
gives the same as the original; or it gives something else because of a place that may change it,
such as a weight (`differences.py`). Everything else is a finding, which is printed with its number:
`--only NUMBER`, with the same seed, does it again.
"""

import argparse
import collections
import contextlib
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

if __name__ == "__main__":
    # One process does one thing at a time, and asks nobody.
    for _variable in ("BERTSENT_NUM_THREADS", "OMP_NUM_THREADS", "HF_HUB_OFFLINE"):
        os.environ[_variable] = "1"

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import processes  # noqa: E402
from conftest import SPECIAL_TOKENS, write_tiny_model  # noqa: E402
from differences import differences, is_expected  # noqa: E402
from mutations import mutate  # noqa: E402

import bertsent  # noqa: E402
from bertsent.classifier import inspect_directory  # noqa: E402
from bertsent.cli.inspect import format_found  # noqa: E402
from bertsent.errors import CheckpointError, ModelNotFoundError  # noqa: E402

MEMORY = 1 << 30
SECONDS = 5.0
# Mutants that one process opens.
BATCH = 500
TEXTS = [
    "the film was a great story with fine actors [MASK] but not the best one i have ever seen",
    "dull! [unused] Ünïcode 😀 x",
]
# Errors that a text or the numbers of a model cause after it was opened. They name no file.
_IN_USE = (
    "the model only has embeddings for", "weights of the model are damaged, or too large",
    "training stopped at step",
)
LABELS = ["good" if number % 3 else "bad" for number in range(12)]
TRAINING = [
    f"the {'great' if label == 'good' else 'worst'} film {number} of the year and so on and on"
    for number, label in enumerate(LABELS)
]
OPTIONS = {
    "max_length": 12, "epochs": 2, "batch_size": 4, "learning_rate": 1e-3, "random_state": 0,
    "verbose": 0, "precision": "float32", "inference_precision": "float32", "n_threads": 1,
}


# --- the originals --------------------------------------------------------------------------


def write_base(directory, **options):
    return write_tiny_model(directory, **({
        "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2,
        "num_hidden_layers": 1, "max_position_embeddings": 24, "scale": 0.3,
        "vocabulary": [*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz0123456789!.", *(
            "##" + letter for letter in "abcdefghijklmnopqrstuvwxyz0123456789"
        ), "the", "film", "was", "great", "worst", "dull", "story", "##ed"],
    } | options))


def write_classifier(directory, base, labels=LABELS, int8=False, **options):
    clf = bertsent.BertClassifier(base, **(OPTIONS | {"validation_fraction": 0.25} | options))
    clf.fit(TRAINING, labels).save_pretrained(directory, int8=int8)


def write_all(directory, base):
    """A classifier, and a checkpoint of a run beside it."""
    write_run(directory, base)
    (checkpoint,) = directory.iterdir()
    content = checkpoint.read_bytes()
    checkpoint.unlink()
    write_classifier(directory, base, track_examples=True, members=2)
    checkpoint.write_bytes(content)


def write_foreign(directory):
    """As transformers saved it some years ago: shards, vocab.txt, and tokens in further files."""
    from safetensors import safe_open
    from safetensors.numpy import save_file

    write_base(directory, classifier=2, prefix="bert.", vocab_size=90)
    whole = directory / "model.safetensors"
    with safe_open(whole, framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    whole.unlink()
    shards = {"model-00001-of-00002.safetensors": {}, "model-00002-of-00002.safetensors": {}}
    owners = {}
    for number, (name, values) in enumerate(tensors.items()):
        owners[name] = list(shards)[number % 2]
        shards[owners[name]][name] = values
    for name, content in shards.items():
        save_file(content, directory / name, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 1}, "weight_map": owners}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    (directory / "added_tokens.json").write_text(json.dumps({"[unused]": 86, "year": 87}))
    (directory / "special_tokens_map.json").write_text(json.dumps({
        "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]",
        "mask_token": {"content": "[MASK]", "lstrip": True, "rstrip": False, "normalized": False,
                       "single_word": False},
        "additional_special_tokens": ["[unused]"],
    }))


class Stop:
    """Interrupts a run, as Ctrl-C does."""

    def __init__(self, step):
        self.step = step

    def on_step(self, facts):
        if facts["step"] == self.step:
            raise KeyboardInterrupt


def run_classifier(directory, base, **options):
    return bertsent.BertClassifier(base, **(OPTIONS | {
        "checkpoint_dir": directory, "checkpoint_every": 1, "track_examples": True,
        "validation_fraction": 0.25, "early_stopping": "loss",
    } | options))


def write_run(directory, base):
    with contextlib.suppress(KeyboardInterrupt):
        # With a single checkpoint, none before it can be taken.
        clf = run_classifier(directory, base, callbacks=Stop(5), checkpoint_keep=1)
        clf.fit(TRAINING, LABELS)


def pretrain(directory, base, output, **options):
    return bertsent.pretrain(TRAINING, output, model=base, **({
        "max_length": 12, "batch_size": 4, "random_state": 0, "verbose": 0, "epochs": 2,
        "precision": "float32", "n_threads": 1, "checkpoint_dir": directory,
        "checkpoint_every": 1,
    } | options))


def write_pretrained(directory, base):
    pretrain(None, base, directory, epochs=1, checkpoint_every=None)


def write_pretraining_run(directory, base):
    with contextlib.suppress(KeyboardInterrupt):
        pretrain(directory, base, directory.with_name("unused"), callbacks=Stop(4))


# --- opening --------------------------------------------------------------------------------


def predict(directory, base):
    clf = bertsent.BertClassifier.from_pretrained(directory).set_params(n_threads=1)
    (predictions,) = clf.predict_batches([TEXTS])
    history = clf.example_history_
    return [
        predictions.to_numpy(object).tolist(), predictions.dtypes.astype(str).tolist(),
        clf.classes_.tolist(), clf.seen_in_training([TRAINING[0], TEXTS[0]]).tolist(),
        None if history is None else history.to_numpy(object).tolist(),
    ]


def tokenize(directory, base):
    tokenizer = bertsent.WordPieceTokenizer.from_pretrained(directory)
    encoding = tokenizer.encode_batch(TEXTS)
    return [encoding.ids.tolist(), encoding.offsets.tolist(), tokenizer.tokenize(TEXTS[0])]


def run_model(directory, base):
    model = bertsent.BertForSequenceClassification.from_pretrained(directory, random_state=0)
    return [model([[2, 7, 8, 3]]).tolist(), model.id2label]


def inspect(directory, base):
    """What is shown has no right value: it says how the files are."""
    found = inspect_directory(directory)
    json.dumps(found)
    format_found(found)


def train(directory, base):
    clf = bertsent.BertClassifier(directory, **(OPTIONS | {"epochs": 1, "batch_size": 12}))
    return clf.fit(TRAINING, LABELS).predict_proba(TEXTS).tolist()


def resume(directory, base):
    clf = run_classifier(directory, base, resume=True).fit(TRAINING, LABELS)
    rows = [{key: row[key] for key in row if key != "seconds"} for row in clf.history_]
    history = clf.example_history_.to_numpy(object).tolist()
    return [rows, clf.best_step_, clf.predict_proba(TEXTS).tolist(), history]


def resume_pretraining(directory, base):
    result = pretrain(directory, base, directory.with_name("output"), resume=True, overwrite=True)
    return [row["loss"] for row in result.history]


def go_on_pretraining(directory, base):
    result = pretrain(
        None, directory, directory.with_name("output"), epochs=1, checkpoint_every=None,
        overwrite=True,
    )
    return [row["loss"] for row in result.history]


# By name: how the directory is written, how it is opened, and how often it is chosen.
TARGETS = {
    "classifier": (lambda directory, base: write_classifier(
        directory, base, track_examples=True, long_text="windows", stride=2,
        class_weight={"good": 2.0}), predict, 6),
    "members": (lambda directory, base: write_classifier(
        directory, base, [int(label == "good") for label in LABELS],
        members=[{"freeze_layers": 1}, {"max_length": 8}]), predict, 3),
    "int8": (lambda directory, base: write_classifier(
        directory, base, int8=True, inference_precision="int8"), predict, 2),
    "foreign": (lambda directory, base: write_foreign(directory), predict, 4),
    "tokenizer": (lambda directory, base: bertsent.WordPieceTokenizer.from_pretrained(
        base).save_pretrained(directory), tokenize, 4),
    "vocabulary": (lambda directory, base: write_foreign(directory), tokenize, 4),
    "model": (lambda directory, base: write_foreign(directory), run_model, 3),
    "encoder": (lambda directory, base: write_base(directory), train, 2),
    "inspected": (write_all, inspect, 1),
    "pretrained": (write_pretrained, go_on_pretraining, 1),
    "run": (write_run, resume, 2),
    "pretraining": (write_pretraining_run, resume_pretraining, 1),
}


def read_files(directory):
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


class Fuzzer:
    """Directories, what they give if nothing is changed, and their mutants by number.

    Parameters
    ----------
    root : pathlib.Path
        An empty directory.
    seed : int
    targets : dict, default=TARGETS
    """

    def __init__(self, root, seed, targets=TARGETS):
        self.root, self.seed, self.targets = root, seed, targets
        self.base = write_base(root / "base")
        self.files, self.given = {}, {}
        for name, (write, open_it, _) in targets.items():
            directory = root / name
            write(directory, self.base)
            self.files[name] = read_files(directory)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.given[name] = json.dumps(open_it(directory, self.base))

    def mutant(self, number):
        """Return the name of a target, and a `Mutant` of it."""
        draw = random.Random(f"{self.seed}-{number}")
        weights = [weight for _, _, weight in self.targets.values()]
        target = draw.choices(list(self.targets), weights)[0]
        others = [data for name in self.files for data in self.files[name].values()]
        return target, mutate(draw, self.files[target], others)

    def write(self, directory, target, mutant):
        """Write a mutant into a new directory."""
        directory.mkdir()
        for name, content in self.files[target].items():
            if name != mutant.name:
                (directory / name).write_bytes(content)
        path = directory / mutant.name
        match mutant.place:
            case "":
                path.write_bytes(mutant.content)
            case "directory":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case "link":
                outside = self.outside(directory)
                outside.write_bytes(mutant.content)
                path.symlink_to(outside)
            case "loop":
                path.symlink_to(path.name)
            case "large":
                path.write_bytes(self.files[target][mutant.name])
                os.truncate(path, 1 << 40)

    def outside(self, directory):
        """Return a file beside a directory, which nothing in the directory may change."""
        return directory.with_name("outside")

    def outcome(self, number):
        """Open a mutant; return what came of it, and what is to be said about it."""
        target, mutant = self.mutant(number)
        directory = self.root / f"mutant-{os.getpid()}" / target
        directory.parent.mkdir()
        try:
            self.write(directory, target, mutant)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found = json.dumps(self.targets[target][1](directory, self.base))
            if mutant.place == "link" and (
                self.outside(directory).read_bytes() != mutant.content
            ):
                return "finding", "a link led to writing outside of the directory"
        except BaseException as error:
            return judge_error(error, directory)
        finally:
            shutil.rmtree(directory.parent)
        for warning in caught:
            if not issubclass(warning.category, UserWarning):
                return "finding", f"{warning.category.__name__}: {warning.message}"
        if found == self.given[target]:
            return "same", ""
        old = self.files[target][mutant.name]
        places = {f"({mutant.place})"}
        if mutant.content is not None:
            places = differences(mutant.name, old, mutant.content)
        unexpected = sorted(
            place for place in places if not is_expected(target, mutant.name, place)
        )
        # A place that may change the result does not excuse the others, but explains it.
        if len(unexpected) == len(places):
            return "finding", f"another result because of {', '.join(unexpected)[:150]}"
        return "different", ""


def judge_error(error, directory):
    """Return the outcome for an exception."""
    text = str(error)
    kind = type(error)
    in_use = any(part in text for part in _IN_USE)
    if in_use or kind in (CheckpointError, ModelNotFoundError, FileNotFoundError) or (
        isinstance(error, OSError) and error.filename is not None
    ):
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "finding", "the message cannot be printed"
        if len(text) > 1500:
            return "finding", f"a message of {len(text)} characters: {text[:100]}"
        if str(directory) not in text and not in_use:
            return "finding", f"does not name the directory: {kind.__name__}: {text[:200]}"
        return "refused", ""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "bertsent" in frame.filename and "fuzz" not in
            frame.filename]
    at = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return "finding", f"{kind.__name__} in {at}: {text[:200]}"


def run(fuzzer, numbers):
    """Yield (number, outcome, text) of mutants, which are opened in child processes."""
    return processes.run(
        fuzzer.outcome, numbers, memory=MEMORY, seconds=SECONDS, batch=BATCH,
        after=lambda child: shutil.rmtree(fuzzer.root / f"mutant-{child}", ignore_errors=True),
    )


def report(fuzzer, outcomes, stream=sys.stdout):
    """Count outcomes, print the findings, each kind once; return the number of findings."""
    counts, kinds = collections.Counter(), collections.defaultdict(list)
    start = time.monotonic()
    for number, outcome, text in outcomes:
        target, mutant = fuzzer.mutant(number)
        counts[target, outcome] += 1
        if outcome == "finding":
            kinds[target, mutant.name, text.partition(" at ")[0][:120]].append(
                (number, mutant.done, text)
            )
    for (target, name, _), cases in sorted(kinds.items(), key=lambda item: -len(item[1])):
        number, done, text = cases[0]
        print(f"{len(cases):6d}  {target}/{name}: {text}  [{done}; --only {number}]", file=stream)
    total = sum(counts.values())
    seconds = time.monotonic() - start
    columns = ("same", "different", "refused", "finding")
    print(f"\n{'':12s}" + "".join(f"{column:>10s}" for column in columns), file=stream)
    for target in fuzzer.targets:
        row = "".join(f"{counts[target, column]:10d}" for column in columns)
        print(f"{target:12s}{row}", file=stream)
    print(f"{total} mutants in {seconds:.0f} s, {total / seconds:.0f} a second; seed "
          f"{fuzzer.seed}", file=stream)
    return sum(count for (_, outcome), count in counts.items() if outcome == "finding")


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="open one mutant here, and show what it raises")
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    options = parser.parse_args(arguments)
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bertsent-fuzz-", dir=memory) as root:
        fuzzer = Fuzzer(
            Path(root), options.seed, {name: TARGETS[name] for name in options.targets}
        )
        if options.only is not None:
            return show(fuzzer, options.only)
        return report(fuzzer, run(fuzzer, range(options.mutants))) > 0


def show(fuzzer, number):
    """Print what was changed in a mutant, and open it."""
    target, mutant = fuzzer.mutant(number)
    print(f"{target}/{mutant.name}: {mutant.done}")
    if mutant.content is not None:
        print("changed:", differences(
            mutant.name, fuzzer.files[target][mutant.name], mutant.content))
        print(mutant.content[:3000])
    directory = fuzzer.root / "mutant" / target
    directory.parent.mkdir()
    fuzzer.write(directory, target, mutant)
    processes.limit_memory(MEMORY)
    print(fuzzer.targets[target][1](directory, fuzzer.base))
    print("originally:", fuzzer.given[target])


if __name__ == "__main__":
    sys.exit(main())
