"""``bertsent doctor``: its description of the machine, and its estimates for a job."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from test_data import make_imdb_folder

import bertsent
from bertsent import _core
from bertsent.cli import doctor, main
from bertsent.model import speed
from bertsent.system import machine
from bertsent.system.threads import explain_n_threads, resolve_n_threads
from bertsent.system.units import format_seconds


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    for name in ("BERTSENT_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "SECONDS", 0.02)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture
def reviews(tmp_path):
    texts = [("a great film " * (i % 9 + 1)).strip() for i in range(50)]
    path = tmp_path / "a.csv"
    pd.DataFrame({"body": texts}).to_csv(path, index=False)
    return path, texts


def run_json(capsys, *args):
    assert main(["doctor", "--json", *map(str, args)]) == 0
    return json.loads(capsys.readouterr().out)


def fake_rates(monkeypatch, rows):
    def measure(config, lengths, **options):
        fake_rates.asked = {"config": config, "lengths": lengths, **options}
        return rows

    monkeypatch.setattr(doctor, "measure", measure)


RATE = {"precision": "float32", "scoring": 4000.0, "training": 900.0, "gradients": 1000.0,
        "update": 0.25}


# --- the machine --------------------------------------------------------------------------


def test_says_what_is_in_use(capsys, monkeypatch):
    monkeypatch.setenv("BERTSENT_NUM_THREADS", "3")
    monkeypatch.setattr(doctor, "measure", None)  # would fail if it were called
    assert main(["doctor", "--no-speed"]) == 0
    out = capsys.readouterr().out
    for part in (
        f"bertsent {bertsent.__version__}", f"numpy {np.__version__}",
        f"kernels     {_core.isa()}; available: {', '.join(_core.isa_list())}", _core.blas_info(),
        "threads     3 (BERTSENT_NUM_THREADS=3)", "available of",
        f"{', '.join(_core.precisions())}; faster in training: {_core.preferred_precision()}",
    ):
        assert part in out
    assert "tokens/s" not in out and "problem" not in out
    found = run_json(capsys, "--no-speed", "--threads", 2)
    assert found["threads"] == {"number": 2, "from": "as requested"}
    assert found["engine"]["kernels"] == _core.isa() and found["problems"] == []
    assert "speed" not in found


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("BERTSENT_ISA", "portable", None),
        ("BERTSENT_ISA", "quantum", "BERTSENT_ISA=quantum is not one"),
        ("BERTSENT_NUM_THREADS", "many", "BERTSENT_NUM_THREADS='many'"),
    ],
)
def test_environment_is_told_and_what_is_wrong_with_it(name, value, message):
    package = Path(bertsent.__file__).resolve().parent.parent
    process = subprocess.run(
        [sys.executable, "-m", "bertsent", "doctor", "--no-speed"], capture_output=True,
        text=True, timeout=120, cwd=os.sep,
        env={**os.environ, "PYTHONPATH": str(package), name: value},
    )
    if message is None:
        assert process.returncode == 0
        assert "kernels     portable; available: " in process.stdout
        assert "(BERTSENT_ISA=portable)" in process.stdout
    else:
        assert process.returncode == 1 and message in process.stdout
        assert "memory" in process.stdout and process.stderr == ""


def test_processor_and_its_features(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\nflags\t\t: fpu fma avx2 avx512_bf16x\n"
        "\nprocessor\t: 1\nmodel name\t: Another\nflags\t\t: amx_int8\n"
    )
    assert machine.read_processor(path) == ("Some CPU @ 3 GHz", ["AVX2", "FMA"])
    assert machine.feature_names().items() >= {
        "fma": "FMA", "avx512f": "AVX512-F", "avx512_bf16": "AVX512-BF16", "amx_tile": "AMX-TILE"
    }.items()
    path.write_text("processor\t: 0\nBogoMIPS\t: 48.00\n")
    assert machine.read_processor(path)[1] is None
    assert machine.read_processor(tmp_path / "none")[1] is None


def write_cgroup(root, membership, files):
    (root / "cgroup").write_text(membership)
    for name, content in files.items():
        path = root / "mount" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return {"cgroup_file": root / "cgroup", "mount": root / "mount"}


@pytest.mark.parametrize(
    ("membership", "files", "limit", "available"),
    [
        ("0::/\n", {}, None, 6000 * 1024),
        ("0::/\n", {"memory.max": "max\n"}, None, 6000 * 1024),
        ("0::/a\n", {"memory.max": "max\n", "a/memory.max": "4096000\n",
                     "a/memory.current": "96000\n"}, 4096000, 4000000),
        # The machine has less memory left than the cgroup allows.
        ("0::/\n", {"memory.max": "8000000\n", "memory.current": "0\n"}, 8000000, 6000 * 1024),
        ("3:memory:/j\n", {"memory/j/memory.limit_in_bytes": "3000000\n",
                           "memory/j/memory.usage_in_bytes": "1000000\n"}, 3000000, 2000000),
        ("3:memory:/\n", {"memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"}, None, 6000 * 1024),
    ],
)
def test_memory_is_that_of_machine_and_cgroup(tmp_path, membership, files, limit, available):
    (tmp_path / "meminfo").write_text("MemTotal:  8000 kB\nMemFree: 1 kB\nMemAvailable: 6000 kB\n")
    where = write_cgroup(tmp_path, membership, files)
    assert machine.read_memory(tmp_path / "meminfo", **where) == {
        "total": 8000 * 1024, "available": available, "cgroup_limit": limit,
    }


def test_where_the_number_of_threads_comes_from(monkeypatch):
    assert explain_n_threads(5) == (5, "as requested")
    monkeypatch.setattr("bertsent.system.threads._affinity", lambda: 8)
    monkeypatch.setattr("bertsent.system.threads.cgroup_quota", lambda: None)
    assert explain_n_threads() == (8, "affinity to 8 CPUs")
    monkeypatch.setattr("bertsent.system.threads.cgroup_quota", lambda: 2.5)
    assert explain_n_threads() == (3, "cgroup quota of 2.5 CPUs, affinity to 8")
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert explain_n_threads() == (4, "OMP_NUM_THREADS=4")
    monkeypatch.setenv("BERTSENT_NUM_THREADS", "6")
    assert explain_n_threads() == (6, "BERTSENT_NUM_THREADS=6")
    assert resolve_n_threads() == 6


# --- speed and jobs -----------------------------------------------------------------------


def test_speed_is_measured_on_the_shape_of_the_model(tiny, capsys):
    found = run_json(capsys, "--model", tiny, "--max-length", 20, "--threads", 1)
    rates = {row["precision"]: row for row in found["speed"]["rates"]}
    assert list(rates) == found["engine"]["precisions"] == _core.precisions()
    for precision, row in rates.items():
        assert row["scoring"] > 0
        if precision == "int8":
            assert row["training"] is None and row["update"] is None
        else:
            assert row["gradients"] > row["training"] > 0 and row["update"] > 0
    assert found["speed"]["tokens_a_text"] == 20
    assert main(["doctor", "--model", str(tiny), "--max-length", "20"]) == 0
    out = capsys.readouterr().out
    assert "texts of 20 tokens" in out and "training   scoring" in out


def test_texts_are_drawn_from_the_lengths_of_the_job():
    model = bertsent.BertForSequenceClassification.from_config(
        {**speed.MINILM, "vocab_size": 30, "hidden_size": 12, "num_hidden_layers": 1}
    )
    lengths = np.array([3, 7])
    ids, _, _, offsets = speed._draw(np.random.default_rng(0), lengths, model, 200)
    assert set(np.diff(offsets)) == {3, 7} and 200 <= len(ids) == offsets[-1] < 207
    assert ids.max() < 30 and ids.dtype == np.int32
    model(ids[None, :5])  # the engine takes them


def test_job_is_counted_as_training_counts_it(tiny, reviews, capsys, monkeypatch):
    path, texts = reviews
    fake_rates(monkeypatch, [RATE])
    found = run_json(capsys, "--data", path, "--text-column", "body", "--model", tiny,
                     "--max-length", 16, "--epochs", 2, "--batch-size", 8, "--test-size", 0.3,
                     "--inference-long-text", "head")
    tokenizer = bertsent.WordPieceTokenizer.from_pretrained(tiny)
    lengths = np.diff(tokenizer.encode_batch(texts, max_length=16).offsets)
    job = found["job"]
    assert (job["texts"], job["tokens"]) == (50, lengths.sum())
    assert job["texts_cut"] == tokenizer.encode_batch(texts, max_length=16).truncated.sum() > 0
    assert job["tokens_estimated"] is False and job["note"] is None
    assert (job["train_texts"], job["test_tokens"]) == (35, round(lengths.sum() * 0.3))
    asked = fake_rates.asked
    assert asked["lengths"].tolist() == lengths.tolist()
    assert (asked["batch_size"], asked["freeze"]) == (8, 0)
    assert asked["config"]["hidden_size"] == 32
    # Two epochs of 35 texts in steps of 8, with an update each; then the test.
    seconds = 2 * (job["train_tokens"] / 1000 + 5 * 0.25) + job["test_tokens"] / 4000
    assert job["estimates"]["float32"]["train"] == pytest.approx(seconds)
    assert job["estimates"]["float32"]["predict"] == pytest.approx(lengths.sum() / 4000)


def test_words_are_counted(tiny, reviews, capsys, monkeypatch):
    path, texts = reviews
    fake_rates(monkeypatch, [RATE])
    monkeypatch.setattr("bertsent.classifier.words._RATE", 0.01)
    flags = ["--data", path, "--text-column", "body", "--model", tiny, "--test-size", 0.3]
    without, with_ = (run_json(capsys, *flags, *more)["job"] for more in ([], ["--words"]))
    assert without["characters"] == with_["characters"] == sum(map(len, texts))
    assert without["words"] == 0.0
    assert with_["words"] == pytest.approx(0.01 * sum(map(len, texts)) * 35 / 50)
    seconds = [job["estimates"]["float32"] for job in (without, with_)]
    assert seconds[1]["train"] == pytest.approx(seconds[0]["train"] + with_["words"])
    assert main(["doctor", *map(str, flags), "--words"]) == 0
    assert "of which the words take" in " ".join(capsys.readouterr().out.split())


def test_job_in_windows_is_counted_as_training_counts_it(tiny, reviews, capsys, monkeypatch):
    path, texts = reviews
    fake_rates(monkeypatch, [RATE])
    monkeypatch.setattr("bertsent.classifier.job.MOST_TOKENS", 25)
    flags = ["--data", path, "--text-column", "body", "--model", tiny, "--max-length", 16,
             "--long-text", "windows", "--stride", 3, "--epochs", 2, "--batch-size", 8]
    found = run_json(capsys, *flags)
    tokenizer = bertsent.WordPieceTokenizer.from_pretrained(tiny)
    encoding = tokenizer.encode_batch(texts, max_length=16, truncation="windows", stride=3)
    lengths, first = np.diff(encoding.offsets), encoding.windows
    of_texts = np.add.reduceat(lengths, first[:-1])
    job, asked = found["job"], fake_rates.asked
    assert asked["lengths"].tolist() == lengths.tolist() and len(lengths) > 50
    assert asked["batch_size"] == pytest.approx(8 * len(lengths) / 50)
    assert (job["texts"], job["tokens"]) == (50, lengths.sum())
    assert job["texts_cut"] == encoding.truncated.sum() > 0
    again = round(of_texts[of_texts > 25].sum() * job["train_tokens"] / lengths.sum())
    assert job["train_tokens_twice"] == again > 0
    seconds = 2 * (job["train_tokens"] / 1000 + 5 * 0.25 + again / 4000)
    seconds += job["test_tokens"] / 4000
    assert job["estimates"]["float32"]["train"] == pytest.approx(seconds)
    flags[flags.index("windows")] = "tail"
    job = run_json(capsys, *flags, "--inference-long-text", "windows")["job"]
    assert job["tokens"] == np.minimum(np.diff(tokenizer.encode_batch(texts).offsets), 16).sum()
    assert job["predicted_tokens"] == lengths.sum() > job["tokens"]
    assert job["test_tokens"] == round(lengths.sum() * 0.2)
    assert job["estimates"]["float32"]["predict"] == pytest.approx(lengths.sum() / 4000)
    flags[flags.index("tail")] = "windows"
    assert main(["doctor", *map(str, flags)]) == 0
    assert "of the texts into windows" in capsys.readouterr().out
    flags = ["--stride", "3", "--inference-long-text", "tail"]
    assert main(["doctor", "--no-speed", *flags]) == 1
    assert "--stride 3 needs --long-text windows" in capsys.readouterr().err


def test_estimates_are_printed(tiny, reviews, capsys, monkeypatch):
    path, texts = reviews
    low = {"precision": "int8", "scoring": 1.0, "training": None, "update": None}
    fake_rates(monkeypatch, [RATE, low])
    args = ["doctor", "--data", str(path), "--text-column", "body", "--model", str(tiny),
            "--max-length", "16", "--freeze-layers", "all", "--inference-long-text", "tail"]
    assert main(args) == 0
    out, err = capsys.readouterr()
    tokenizer = bertsent.WordPieceTokenizer.from_pretrained(tiny)
    tokens = int(np.diff(tokenizer.encode_batch(texts, max_length=16).offsets).sum())
    assert f"50 texts, {tokens:,} tokens" in out
    assert "float32: training on 40 texts, --epochs 3, and testing: " in out
    assert f"int8: predicting all: {format_seconds(tokens)}" in out
    assert fake_rates.asked["freeze"] == 2 and err == ""


def test_tokens_are_estimated_where_there_is_no_tokenizer(tmp_path, reviews, capsys, monkeypatch):
    path, texts = reviews
    fake_rates(monkeypatch, [RATE])
    args = ["doctor", "--data", str(path), "--text-column", "body",
            "--model", str(tmp_path / "none"), "--max-length", "16"]
    assert main(args) == 0
    out = capsys.readouterr().out
    assert "estimated at 4.2 characters" in out and "there is no directory" in out
    assert fake_rates.asked["config"] == speed.MINILM
    expected = [min(16, 2 + round(len(text) / 4.2)) for text in texts]
    assert fake_rates.asked["lengths"].tolist() == expected
    assert f"about {sum(expected):,} tokens" in out


def test_folder_brings_its_split(tmp_path, tiny, capsys):
    folder = make_imdb_folder(tmp_path / "aclImdb")
    job = run_json(capsys, "--no-speed", "--data", folder, "--model", tiny,
                   "--max-length", 16)["job"]
    assert (job["texts"], job["train_texts"]) == (12, 6)
    assert "estimates" not in job


def test_bad_jobs_end_in_one_line(tmp_path, tiny, reviews, capsys):
    path, _ = reviews
    for args, message in (
        (["--data", path, "--text-column", "review"],
         "no column 'review'; its columns are: body"),
        (["--data", tmp_path / "none.csv"], "no such file"),
        (["--max-length", 65], "64 positions"),
        (["--freeze-layers", 3], "2 layers"),
    ):
        assert main(["doctor", "--no-speed", "--model", str(tiny), "--max-length", "16",
                     *map(str, args)]) == 1
        assert message in capsys.readouterr().err
