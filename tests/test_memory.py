"""memory_limit: it is kept, an error if it cannot be, and does not affect what is learned."""

import json
import re

import numpy as np
import pytest
from conftest import maker
from test_classifier import make_texts

import bertsent
from bertsent import _core
from bertsent.cli import main
from bertsent.errors import CheckpointError
from bertsent.model.memory import PassTokens, limit_scoring, limit_training
from bertsent.system.units import format_size, parse_size

TRAINING = [name for name in _core.precisions() if name != "int8"]
TEXTS, LABELS = make_texts(96)
TEXTS = [f"{text} " * (1 + i % 4) for i, text in enumerate(TEXTS)]


@pytest.fixture
def make(base):
    return maker(base, max_length=24, epochs=2, batch_size=64, learning_rate=1e-3, n_threads=2)


def least_of(call):
    """The smallest possible limit, from the error message."""
    with pytest.raises(ValueError, match="is too small to .* Raise the limit, or lower") as caught:
        call()
    return re.search(r"the smallest possible is memory_limit='([\w.]+)'", str(caught.value))[1]


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("500mb", 5 * 10**8), ("10 kB", 10_000),
     ("7B", 7), (" 1TB ", 10**12), (123, 123), (np.int64(5), 5)],
)
def test_sizes_are_read(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("value", ["", "2", "2G", "GB", "-1GB", "0GB", "1e9", "two GB", 0, -5, 1.5,
                                   True])
def test_what_is_no_size_is_refused(make, value):
    with pytest.raises(ValueError, match="memory_limit=.*expected None, a number of bytes"):
        make(memory_limit=value).fit(TEXTS, LABELS)


@pytest.mark.parametrize("size", [1, 999, 1_001, 45_123_456, 123_456_789, 10**9 + 1, 10**11])
def test_written_sizes_are_enough_and_hardly_more(size):
    assert size <= parse_size(format_size(size)) <= size * 1.01 + 1


@pytest.mark.parametrize("precision", TRAINING)
@pytest.mark.parametrize("freeze", [0, 1, "all"])
def test_training_stays_below_the_limit(make, freeze, precision):
    options = {"freeze_layers": freeze, "precision": precision}
    free = make(**options).fit(TEXTS, LABELS)
    core = free.model_._core
    size = 16 * free.model_._flat.size + core.packed_size(precision, backward=True)
    whole = core.reserved
    least = parse_size(least_of(lambda: make(memory_limit=size, **options).fit(TEXTS, LABELS)))
    assert size < least < size + whole
    reserved = []
    for limit in np.linspace(least, size + whole, 4).astype(int).tolist():
        clf = make(memory_limit=limit, **options).fit(TEXTS, LABELS)
        reserved.append(clf.model_._core.reserved)
        assert size + reserved[-1] <= limit
        # The same texts, dropout and updates; only the order of sums differs.
        for row, expected in zip(clf.history_, free.history_, strict=True):
            assert row["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    assert reserved[0] < reserved[-1] and reserved == sorted(reserved)


def test_a_generous_limit_changes_no_bit(make):
    free = make().fit(TEXTS, LABELS)
    limited = make(memory_limit="1GB").fit(TEXTS, LABELS)
    assert np.array_equal(free.model_._flat, limited.model_._flat)


def test_the_least_is_enough_and_less_is_not(make):
    least = parse_size(least_of(lambda: make(memory_limit=1).fit(TEXTS, LABELS)))
    make(memory_limit=least).fit(TEXTS, LABELS)
    least_of(lambda: make(memory_limit=int(least * 0.98)).fit(TEXTS, LABELS))


def test_what_comes_beside_training_counts(make):
    def least(**options):
        return parse_size(least_of(lambda: make(memory_limit="1kB", **options).fit(TEXTS, LABELS)))

    plain, scored = least(), least(validation_fraction=0.3)
    kept = least(validation_fraction=0.3, early_stopping=True)
    assert plain < scored < kept
    clf = make().fit(TEXTS, LABELS)
    # Weights that are packed only for scoring count too.
    for name in ("float32", "int8"):
        exact = {"precision": "float32", "inference_precision": name}
        more = least(validation_fraction=0.3, **exact) - least(**exact)
        assert more > 0.9 * clf.model_._core.packed_size(name)
    assert kept - scored == pytest.approx(8 * clf.model_._flat.size, rel=0.05)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("precision", _core.precisions())
def test_scoring_stays_below_the_limit(make, monkeypatch, n_threads, precision):
    clf = make(n_threads=n_threads, inference_precision=precision).fit(TEXTS, LABELS)
    own = clf.model_._core.part_tokens(precision)[1]
    fixed = 4 * clf.model_._flat.size + clf.model_._core.packed_size(precision)
    expected = clf.predict_proba(TEXTS)
    score, seen = clf.model_.score_packed, []

    def counted(ids, offsets, n_threads, name, token_type_ids, chunk_tokens):
        assert name == precision
        seen.append((np.diff(offsets), chunk_tokens))
        return score(ids, offsets, n_threads, name, chunk_tokens=chunk_tokens)

    monkeypatch.setattr(clf.model_, "score_packed", counted)
    clf.set_params(memory_limit=1)
    least = parse_size(least_of(lambda: clf.predict_proba(TEXTS)))
    assert not seen
    for limit in (least, 2 * least, "1GB"):
        seen.clear()
        clf.set_params(memory_limit=limit)
        np.testing.assert_allclose(clf.predict_proba(TEXTS), expected, atol=1e-5)
        for lengths, tokens in seen:
            assert (tokens == 0) == (limit == "1GB")
            chunks = cut(sorted(lengths.tolist(), reverse=True), tokens or own)
            largest = max(
                clf.model_._core.pass_size(
                    np.cumsum([0, *chunk]), keep=False, precision=precision
                )
                for chunk in chunks
            )
            assert fixed + n_threads * largest <= parse_size(limit)


def cut(lengths, tokens):
    parts = [[]]
    for length in lengths:
        if parts[-1] and sum(parts[-1]) + length > tokens:
            parts.append([])
        parts[-1].append(length)
    return parts


def test_plans_hold_for_every_batch_of_such_texts(make):
    model = make().fit(TEXTS, LABELS).model_
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 60, 200)
    fixed = 16 * model._flat.size
    options = {"batch_size": 48, "freeze": 0, "n_threads": 2}
    batches = [rng.choice(lengths, 48).tolist() for _ in range(20)]
    plans = set()
    for room in range(10**6, 5 * 10**6, 10**5):
        try:
            plan = limit_training(model, fixed + room, lengths, **options)
        except ValueError:
            continue
        plans.add(plan)
        for part in (part for batch in batches for part in cut(batch, plan.training or 2048)):
            assert model._core.pass_size(np.cumsum([0, *part]), n_threads=2) <= room
    assert len(plans) > 3
    assert limit_training(model, None, lengths, **options) == PassTokens()
    assert limit_scoring(model, 1, lengths[:0], n_threads=2) == PassTokens()


@pytest.mark.parametrize("precision", TRAINING)
def test_parts_the_engine_takes_by_itself_are_those_it_tells(make, precision):
    model = make().fit(TEXTS, LABELS).model_
    own = model._core.part_tokens(precision)[0]
    rng = np.random.default_rng(0)
    offsets = np.arange(161, dtype=np.int64) * 20
    assert offsets[-1] > 3000
    ids = rng.integers(5, 30, offsets[-1]).astype(np.int32)
    labels = rng.integers(0, 2, 160).astype(np.int32)

    def gradients(tokens):
        found = np.zeros_like(model._flat)
        model._core.forward_backward(
            ids, None, None, offsets, None, labels, None, found, micro_batch_tokens=tokens,
            precision=precision,
        )
        return found

    assert np.array_equal(gradients(0), gradients(own))
    assert not np.array_equal(gradients(0), gradients(own // 2))
    assert not np.array_equal(gradients(0), gradients(2 * own))


@pytest.mark.skipif("bfloat16" not in _core.precisions(), reason="no bfloat16 here")
def test_packed_weights_count(make):
    model = make().fit(TEXTS, LABELS).model_
    lengths = np.array([20])

    def least(precision):
        return parse_size(least_of(lambda: limit_training(
            model, 1, lengths, batch_size=8, freeze=0, n_threads=1, precision=precision
        )))

    packed, whole = (model._core.packed_size(p, backward=True) for p in ("bfloat16", "float32"))
    assert whole > packed > model._core.packed_size("bfloat16")
    assert model._core.packed_size("bfloat16") > model._core.packed_size("int8") > 0
    passes = [model._core.pass_size(np.array([0, 20]), precision=p)
              for p in ("float32", "bfloat16")]
    assert least("bfloat16") - least("float32") == pytest.approx(
        packed - whole + passes[1] - passes[0], abs=10_000
    )


def test_a_run_goes_on_with_the_same_parts_only(make, tmp_path):
    kept = {"checkpoint_dir": tmp_path / "run", "epochs": 1}
    least = parse_size(least_of(lambda: make(memory_limit=1).fit(TEXTS, LABELS)))
    make(memory_limit=least, **kept).fit(TEXTS, LABELS)
    make(memory_limit=least + 1, resume=True, **kept).fit(TEXTS, LABELS)
    with pytest.raises(CheckpointError, match="memory_limit"):
        make(memory_limit="1GB", resume=True, **kept).fit(TEXTS, LABELS)


def test_limit_on_the_command_line(base, tmp_path, capsys):
    args = ["train", "--sample", "--model", str(base), "--max-length", "16", "--epochs", "1",
            "--output", str(tmp_path / "out"), "--memory-limit"]
    assert main([*args, "lots"]) == 2
    assert 'or a size such as "2GB"' in capsys.readouterr().err
    assert main([*args, "10kB"]) == 1
    assert "--memory-limit 10kB is too small" in capsys.readouterr().err
    assert main([*args, "50MB"]) == 0
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["parameters"]["memory_limit"] == "50MB"
    # Another machine has other limits.
    assert bertsent.BertClassifier.from_pretrained(tmp_path / "out").memory_limit is None
