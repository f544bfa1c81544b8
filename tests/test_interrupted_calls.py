"""The first Ctrl-C is answered within a call of the engine, and between small parts of other work.

A signal that `Interrupts` has recorded is raised by nobody but the work itself. Each call would
take much longer than the time after which the engine looks for signals, so it raises or returns.
"""

import contextlib
import signal

import numpy as np
import pytest
from cases import arrays, engine_config, flatten, random_batch, random_params
from conftest import tiny_vocabulary
from test_classifier import make_texts

from bertsent import BertForSequenceClassification, WordPieceTokenizer, _core
from bertsent.audit import word_model
from bertsent.files import readers
from bertsent.hub import tensors
from bertsent.system import (
    Interrupts,
    check_interrupts,
    checking_interrupts,
    hold_interrupts,
)


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture
def pending():
    """Ctrl-C was pressed, and is recorded."""
    with Interrupts():
        press()
        yield
        with contextlib.suppress(KeyboardInterrupt):  # if nobody raised it
            check_interrupts()


@pytest.fixture(scope="module")
def model():
    config = engine_config(hidden_size=192, intermediate_size=768, num_hidden_layers=4)
    table = _core.parameter_table(config)
    return _core.Model(config, flatten(table, random_params(config, np.random.default_rng(0), 0.1)))


def make_batch(sequences):
    return arrays(random_batch(
        engine_config(), np.random.default_rng(1), [40] * sequences, types=False
    ))


@pytest.fixture(scope="module")
def large():
    return make_batch(6_000)  # ten seconds


@pytest.mark.parametrize("n_threads", [1, 2])
def test_scoring(model, large, n_threads, pending):
    with pytest.raises(KeyboardInterrupt):
        model.score(*large, n_threads=n_threads)
    small = make_batch(3)
    first = model.score(*small, n_threads=n_threads)
    assert np.array_equal(first, model.score(*small, n_threads=1))


def test_scoring_a_chunk_on_which_all_threads_work(model, large, pending):
    with pytest.raises(KeyboardInterrupt):
        model.score(*large, n_threads=2, chunk_tokens=10**9)


def test_frozen_rows(model, large, pending):
    rows = np.zeros(len(large[0]) * 192, np.float32)
    with pytest.raises(KeyboardInterrupt):
        model.frozen_rows(*large, 3, rows, n_threads=2)
    small = make_batch(3)
    model.frozen_rows(*small, 3, rows[: 120 * 192], n_threads=2)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_tokenizing(n_threads, pending):
    tokenizer = WordPieceTokenizer(tiny_vocabulary())
    texts = ["the worst unknownword " * 10_000] * 4_000  # half a minute
    with pytest.raises(KeyboardInterrupt):
        tokenizer.encode_batch(texts, n_threads=n_threads)
    assert tokenizer.encode_batch(texts[:1], max_length=9, n_threads=n_threads).ids.size == 9


def test_a_handler_that_raises_stops_a_call(model, large):
    """That of others, which bertsent does not replace."""

    class Stop(Exception):
        pass

    def handler(number, frame):
        raise Stop

    earlier = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(Stop):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            model.score(*large, n_threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)


def test_a_handler_may_use_the_model(model, large):
    small, found = make_batch(3), []
    expected = model.score(*small)

    def handler(number, frame):
        found.append(model.score(*small, n_threads=2))
        raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGALRM, handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            model.score(*large, n_threads=2)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    assert np.array_equal(found[0], expected)


def test_held_interrupts_wait_for_the_end(model, pending):
    with hold_interrupts():
        model.score(*make_batch(150), n_threads=1)


def test_hashing_data(tmp_path, pending):
    (tmp_path / "a.csv").write_bytes(bytes(3 << 20))
    with pytest.raises(KeyboardInterrupt):
        readers.hash_data(tmp_path / "a.csv")


def test_loading_weights(tiny_model_dir, monkeypatch):
    read, plain = [], tensors._read_piece

    def read_one(*args):
        read.append(press() if not read else None)
        plain(*args)

    monkeypatch.setattr(tensors, "_read_piece", read_one)
    directory = tiny_model_dir()
    with pytest.raises(KeyboardInterrupt), Interrupts():
        BertForSequenceClassification.from_pretrained(directory, num_labels=2)
    assert len(read) == 1


def test_the_word_model(monkeypatch):
    texts, labels = make_texts(40)
    codes = np.unique(labels, return_inverse=True)[1]
    with pytest.raises(KeyboardInterrupt), Interrupts():
        press()
        word_model.cross_validate(texts, codes)
    begun = []

    def fit(self, X, y):
        begun.append("begun")
        press()
        begun.append("went on")

    monkeypatch.setattr(word_model.LogisticRegression, "fit", fit)
    with pytest.raises(KeyboardInterrupt), Interrupts():
        word_model.cross_validate(texts, codes)
    assert begun == ["begun"]


def test_items_are_checked_now_and_then():
    seen = []
    with pytest.raises(KeyboardInterrupt), Interrupts():
        for number in checking_interrupts(range(1000)):
            seen.append(number)
            if number == 250:
                press()
    assert seen[-1] == 299
