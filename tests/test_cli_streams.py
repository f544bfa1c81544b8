"""stdout and stderr that are closed, full, piped to a program that ended, or not in UTF-8."""

import io
import json
import os
import shlex
import subprocess
import sys

import pandas as pd
import pytest
from test_cli import SMALL, run, surroundings

from bertsent.cli import BROKEN_PIPE

needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")


@pytest.fixture
def shell(workshop, tmp_path):
    """Return a function that runs a shell command, in which B is bertsent.

    It is slow, as the command is another process; `printed` is for what can be seen in this one.
    """
    options = surroundings()
    options["cwd"] = tmp_path
    options["env"] = {k: v for k, v in options["env"].items() if k != "PYTHONIOENCODING"}

    def run(command, **environment):
        program = f"{shlex.quote(sys.executable)} -m bertsent"
        command = command.replace("MODEL", str(workshop / "model")).replace("B ", f"{program} ")
        command = command.replace("NEW", str(workshop / "new.csv"))
        return subprocess.run(
            ["bash", "-c", command], capture_output=True, timeout=120,
            **options | {"env": options["env"] | environment},
        )

    return run


@pytest.fixture
def printed(monkeypatch, capsys):
    """Return a function that runs a command with an encoding of stdout."""

    def call(*args, encoding="utf-8"):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding, write_through=True)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            code = run(*args)
        return code, stdout.buffer.getvalue().decode(encoding), capsys.readouterr().err

    return call


@pytest.fixture
def full(monkeypatch, capsys):
    """Return a function that runs a command with a stdout, or stderr, that is full."""

    def call(*args, names=("stdout",)):
        with monkeypatch.context() as patch:
            for name in names:
                patch.setattr(sys, name, open("/dev/full", "w", buffering=1))
            code = run(*args)
            for name in names:
                getattr(sys, name).close()  # flushes what is left, as the end of a process does
        return code, *capsys.readouterr()

    return call


def train(workshop, output="out"):
    return ["train", workshop / "train.csv", "--model", workshop / "tiny", "--epochs", 1, *SMALL,
            "--output", output]


def as_typed(words):
    return "B " + " ".join(map(shlex.quote, map(str, words)))


def no_traceback(process):
    for shown in (process.stdout, process.stderr):
        for word in (b"Traceback", b"Exception ignored", b"AttributeError", b"Errno"):
            assert word not in shown, shown


# --- nothing can be printed ---------------------------------------------------------------


@needs_full
@pytest.mark.parametrize(
    "args",
    [[], ["--help"], ["train", "--help-all"], ["doctor", "--no-speed"],
     ["doctor", "--no-speed", "--json"],
     ["evaluate", "MODEL", "NEW"], ["evaluate", "MODEL", "NEW", "--json"],
     ["predict", "MODEL", "NEW"], ["predict", "MODEL", "NEW", "--json"],
     ["predict", "MODEL", "--text", "good"], ["--print-completion", "bash"]],
    ids=" ".join,
)
def test_what_cannot_be_printed_is_an_error_in_one_line(full, workshop, args):
    places = {"MODEL": workshop / "model", "NEW": workshop / "new.csv"}
    code, _, err = full(*(places.get(arg, arg) for arg in args))
    assert code == 1
    last = err.splitlines()[-1]
    assert last == "bertsent: error: cannot write to stdout: No space left on device"
    assert "Traceback" not in err


@needs_full
def test_a_dry_run_has_nothing_but_what_it_prints(full, workshop, tmp_path):
    code, _, err = full(*train(workshop, tmp_path / "out"), "--dry-run")
    assert code == 1 and "cannot write to stdout" in err


@needs_full
def test_a_model_is_trained_and_saved_although_nothing_can_be_printed(full, workshop, tmp_path):
    code, _, err = full(*train(workshop, tmp_path / "out"))
    assert code == 0 and (tmp_path / "out" / "metrics.json").exists()
    assert err.splitlines()[-1] == (
        "bertsent: warning: the report could not be printed (stdout: No space left on device); "
        f"everything is saved in {tmp_path / 'out'}"
    )


@needs_full
@pytest.mark.parametrize("names", [("stderr",), ("stdout", "stderr")])
def test_what_goes_to_stderr_is_no_reason_to_stop(full, workshop, tmp_path, names):
    assert full(*train(workshop, tmp_path / "out"), names=names)[0] == 0
    assert (tmp_path / "out" / "metrics.json").exists()
    output = tmp_path / "p.csv"
    args = ["predict", workshop / "model", workshop / "new.csv", "-o", output]
    code, out, _ = full(*args, names=names)
    assert (code, out) == (0, "") and len(pd.read_csv(output)) == 40
    assert full("trian", names=names)[0] == 2
    assert full("predict", workshop / "model", "no.csv", names=names)[0] == 1


@pytest.mark.parametrize(
    ("closed", "code", "said"),
    [
        ("B doctor --no-speed >&-", 1, "cannot write to stdout: closed"),
        ("B predict MODEL NEW >&-", 1, "cannot write to stdout: closed"),
        ("B --help >&-", 1, "cannot write to stdout: closed"),
        ("B trian >&- 2>&-", 2, ""),
        ("B predict MODEL NEW -o p.csv >&- 2>&- <&-", 0, ""),
        ("B predict MODEL NEW -o p.csv >&-", 0, "40 labelled rows written to p.csv"),
    ],
)
def test_streams_that_are_closed(shell, tmp_path, closed, code, said):
    process = shell(closed)
    assert process.returncode == code and said in process.stderr.decode()
    no_traceback(process)
    assert (tmp_path / "p.csv").exists() is (code == 0)


def test_nothing_from_stderr_comes_into_the_data(shell, tmp_path):
    (tmp_path / "a.csv").write_text('review,n\na great film,1\n"",2\n')
    process = shell("B predict MODEL a.csv --missing skip 2>&-")
    assert process.returncode == 0
    lines = process.stdout.decode().splitlines()
    assert lines[0] == "review,n,predicted_label,confidence" and len(lines) == 2


def test_no_file_takes_the_place_of_a_closed_stream(shell, workshop, tmp_path):
    """A file that is opened gets the lowest free number, which libraries print to."""
    (tmp_path / "noisy.py").write_text(
        "import os\n\n"
        "class Print:\n"
        "    def on_step(self, row):\n"
        "        os.write(2, b'noise')\n"
    )
    typed = as_typed(train(workshop))
    process = shell(f"{typed} --callbacks noisy:Print --log-file log.jsonl >&- 2>&- <&-")
    assert process.returncode == 0
    written = [*(tmp_path / "out").iterdir(), tmp_path / "log.jsonl"]
    assert len(written) > 8 and not any(b"noise" in path.read_bytes() for path in written)


# --- a pipe -------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", ["", "--json"])
def test_the_end_of_the_reader_is_quiet(shell, tmp_path, flags):
    rows = "a fine film and a very long text that fills the pipe\n" * 5000
    (tmp_path / "big.csv").write_text("review\n" + rows)
    process = shell(
        f"B predict MODEL big.csv --chunk-rows 500 {flags} | head -n 2; exit ${{PIPESTATUS[0]}}"
    )
    assert process.returncode == BROKEN_PIPE == 141
    assert process.stderr == b"" and len(process.stdout.splitlines()) == 2


def test_a_reader_that_ends_at_once_is_quiet(shell):
    process = shell("B train --help-all | true; exit ${PIPESTATUS[0]}")
    # If all was written before the reader ended, this is a success.
    assert process.returncode in (0, BROKEN_PIPE) and process.stderr == b""


def test_training_goes_on_without_a_reader(shell, workshop, tmp_path):
    process = shell(as_typed(train(workshop)) + " | true; exit ${PIPESTATUS[0]}")
    assert process.returncode == 0 and (tmp_path / "out" / "metrics.json").exists()
    no_traceback(process)
    assert b"could not be printed (stdout: Broken pipe); everything is saved in out" in (
        process.stderr.splitlines()[-1]
    )


# --- encodings ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "text", "lacks"),
    [
        ("ascii", "tr\u00e8s bon", r"ascii, which lacks '\xe8'"),
        ("US-ASCII", "\U0001f600", r"US-ASCII, which lacks '\U0001f600'"),
        ("iso8859-1", "a \u2014 b", r"iso8859-1, which lacks '\u2014'"),
        ("cp1252", "\u4e2d", r"cp1252, which lacks '\u4e2d'"),
    ],
)
def test_what_stdout_cannot_represent_is_found_before_anything_is_printed(
    workshop, printed, tmp_path, encoding, text, lacks
):
    table = pd.DataFrame({"review": ["good", "bad", "fine"], "note": ["a", text, "b"]})
    table.to_csv(tmp_path / "a.csv", index=False)
    command = ["predict", workshop / "model", tmp_path / "a.csv", "--chunk-rows", 1]
    assert printed(*command, encoding=encoding) == (1, "", (
        f"bertsent: error: stdout is in {lacks} in row 1 of column 'note'; set "
        "PYTHONIOENCODING=utf-8 in the environment, or write to a file with --output\n"
    ))
    # JSON can be written in any encoding, and a file is always UTF-8.
    code, out, _ = printed(*command, "--json", encoding=encoding)
    assert code == 0 and out.isascii()
    assert [json.loads(line)["note"] for line in out.splitlines()] == ["a", text, "b"]
    assert printed(*command, "-o", tmp_path / "p.csv", encoding=encoding)[0] == 0
    assert pd.read_csv(tmp_path / "p.csv")["note"].tolist() == ["a", text, "b"]


def test_what_stdout_can_represent_is_printed(workshop, printed, tmp_path):
    (tmp_path / "a.csv").write_text("review,n\u00b0\n\u00e9t\u00e9,1\n", encoding="utf-8")
    for encoding in ("latin-1", "cp1252", "utf-8", "UTF8", "utf-16"):
        args = ["predict", workshop / "model", tmp_path / "a.csv"]
        code, out, err = printed(*args, encoding=encoding)
        assert code == 0 and "\u00e9t\u00e9,1," in out and "error" not in err
    code, out, _ = printed(
        "predict", workshop / "model", "--text", "bon", "--text", "tr\u00e8s", encoding="ascii"
    )
    assert code == 0 and len(out.splitlines()) == 2


def test_the_encoding_of_the_locale(shell, tmp_path):
    (tmp_path / "a.csv").write_text("review\ntr\u00e8s bon\n", encoding="utf-8")
    settings = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    process = shell("B predict MODEL a.csv", **settings)
    assert (process.returncode, process.stdout) == (1, b"")
    assert b"set PYTHONIOENCODING=utf-8" in process.stderr
    process = shell("B predict MODEL --text 'tr\u00e8s bon'", **settings)
    assert (process.returncode, process.stdout) == (1, b"")
    assert process.stderr.decode() == (
        "bertsent: error: --text 'tr\\udcc3\\udca8s bon' is not text in ascii, the encoding of "
        "arguments; set PYTHONUTF8=1 in the environment\n"
    )
    assert shell("B predict MODEL a.csv", **settings | {"PYTHONUTF8": "1"}).returncode == 0


@pytest.fixture(scope="module")
def foreign(workshop, tmp_path_factory):
    """Return the data and the command for a model one of whose classes is no ASCII."""
    root = tmp_path_factory.mktemp("foreign")
    frame = pd.read_csv(workshop / "train.csv")
    frame["sentiment"] = frame["sentiment"].replace("positive", "\u0161patn\u00fd")
    frame.to_csv(root / "a.csv", index=False)
    flags = [*train(workshop)[2:-1], root / "model", "--force"]
    return root / "a.csv", ["train", root / "a.csv", *flags]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_of_classes_and_columns_are_looked_at_too(foreign, printed, tmp_path, encoding):
    data, command = foreign
    known = encoding == "utf-8"
    # A report is printed with escapes, so that training is not lost.
    code, out, err = printed(*command, encoding=encoding)
    assert code == 0
    assert ("lacks some characters; they were printed as escapes" in err) is not known
    assert (r"\u0161patn" in out) is not known
    code, out, err = printed("predict", command[-2], "--text", "good", encoding=encoding)
    assert (code == 0) is bool(out) is known and ("in the name of class 1" in err) is not known
    (tmp_path / "b.csv").write_text("review,\u0161\ngood,1\n", encoding="utf-8")
    code, out, err = printed("predict", command[-2], tmp_path / "b.csv", encoding=encoding)
    assert (code == 0) is bool(out) is known
    code, out, err = printed("evaluate", command[-2], data, "--json", encoding=encoding)
    assert code == 0 and "\u0161patn\u00fd" in json.loads(out)["classes"]


# --- lines of JSON ------------------------------------------------------------------------


def test_json_lines_of_a_file_are_what_a_file_would_hold(workshop, tmp_path, capsys):
    table = pd.DataFrame({
        "review": ["good\nline", 'a "quoted" one', "\u00e9\u4e2d\U0001f600", " tab\there"],
        "n": [1, 2, None, 4],
    })
    table.to_csv(tmp_path / "a.csv", index=False)
    assert run("predict", workshop / "model", tmp_path / "a.csv", "--json") == 0
    printed = capsys.readouterr().out
    assert run("predict", workshop / "model", tmp_path / "a.csv", "-o", tmp_path / "p.jsonl") == 0
    assert printed == (tmp_path / "p.jsonl").read_text(encoding="utf-8")
    rows = list(map(json.loads, printed.splitlines()))
    assert [row["review"] for row in rows] == table["review"].tolist()
    assert list(rows[0]) == ["review", "n", "predicted_label", "confidence"]


def test_json_lines_of_texts(workshop, capsys):
    texts = ["a great film", "", "tr\u00e8s\nbon", "-x"]
    flags = [word for text in texts for word in ("--text", text)]
    assert run("predict", workshop / "model", *flags, "--json") == 0
    rows = list(map(json.loads, capsys.readouterr().out.splitlines()))
    assert [row["text"] for row in rows] == texts
    assert all(list(row) == ["text", "predicted_label", "confidence"] for row in rows)
    assert all(0.5 <= row["confidence"] <= 1 for row in rows)
    assert run("predict", workshop / "model", *flags) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [label for label, _ in lines] == [row["predicted_label"] for row in rows]
    for (_, shown), row in zip(lines, rows, strict=True):
        assert abs(float(shown) - row["confidence"]) < 1e-4


def test_json_and_a_file_do_not_go_together(workshop, tmp_path, capsys):
    args = [workshop / "model", workshop / "new.csv", "--json", "-o", tmp_path / "p.csv"]
    assert run("predict", *args) == 2
    assert "--json prints to stdout" in capsys.readouterr().err
    assert not (tmp_path / "p.csv").exists()


# --- a full disk --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p.csv", "p.csv.gz", "p.parquet"])
def test_a_full_disk_names_the_file(shell, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"review": [f"{hex(i**9)} a film" for i in range(3000)]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / name).write_text("the old one")
    # A limit of the size of files fails as a full disk does.
    process = shell(f"ulimit -f 20; B predict MODEL a.csv --force -o {name} --chunk-rows 500")
    assert process.returncode == 1
    no_traceback(process)
    assert process.stderr.decode().splitlines()[-1] == (
        f"bertsent: error: cannot write {tmp_path / name}: File too large; nothing there was "
        "changed"
    )
    assert (tmp_path / name).read_text() == "the old one"
    assert {path.name for path in tmp_path.iterdir()} == {"a.csv", name}
