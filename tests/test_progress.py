"""Which display is used where, and bars in terminals of any width."""

import fcntl
import io
import os
import pty
import re
import signal
import struct
import sys
import termios
import time
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import launch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import GridSearchCV, cross_validate, learning_curve
from sklearn.pipeline import make_pipeline
from terminal import Terminal
from test_classifier import make_texts
from test_cli import SMALL, surroundings

import bertsent
from bertsent.classifier.repeated import is_one_of_many
from bertsent.system import make_progress, notice, row_progress
from bertsent.system.bars import Bar, FittingBar, RowBar
from bertsent.system.display import display_kind, text_stream, write_line
from bertsent.system.lines import Brief, Lines, RowLines
from bertsent.system.notebook import RowOutput, Table
from bertsent.system.progress import Silent, SilentRows


class Screen(io.StringIO):
    def isatty(self):
        return True


class Publisher:
    """A front end: keeps the outputs that it shows, by their names."""

    def __init__(self):
        self.outputs, self.calls = {}, []

    def publish(self, data, metadata=None, *, transient=None, update=False, **others):
        assert not others and update == (transient["display_id"] in self.outputs)
        self.outputs[transient["display_id"]] = data
        self.calls.append(data)

    @property
    def text(self):
        return "\n".join(data["text/plain"] for data in self.outputs.values())


def enter_shell(monkeypatch, name="ZMQInteractiveShell", **attributes):
    """Run in a shell of IPython."""
    shell = type(name, (), {})()
    shell.display_pub = Publisher()
    for key, value in attributes.items():
        setattr(shell, key, value)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return shell


# --- which display ------------------------------------------------------------------------


# Jupyter, Colab, Databricks, and any other: the name does not matter, the kernel does.
@pytest.mark.parametrize(
    "name", ["ZMQInteractiveShell", "Shell", "PythonShell", "DatabricksShell", "LiteShell"]
)
def test_any_shell_with_a_kernel_is_a_notebook(monkeypatch, name):
    enter_shell(monkeypatch, name, kernel=object())
    assert display_kind() == "notebook"
    assert type(make_progress(1)) is Table and type(row_progress(1)) is RowOutput
    assert text_stream() is sys.stdout


def test_a_shell_that_publishes_in_its_own_way_is_a_notebook(monkeypatch):
    enter_shell(monkeypatch)  # of a front end without a kernel object
    assert display_kind() == "notebook"


def test_ipython_in_a_terminal_is_a_terminal(monkeypatch):
    displaypub = pytest.importorskip("IPython.core.displaypub")
    interactive = pytest.importorskip("IPython.core.interactiveshell")
    shell = interactive.InteractiveShell()
    assert isinstance(shell.display_pub, displaypub.DisplayPublisher)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.setenv("TERM", "xterm")
    assert display_kind() == "bar" and type(make_progress(1)) is Bar


@pytest.mark.parametrize("ipython", [
    None, SimpleNamespace(), SimpleNamespace(get_ipython=lambda: None),
    SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=None)),
])
def test_without_a_shell(monkeypatch, ipython):
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setenv("TERM", "xterm")
    assert display_kind(io.StringIO()) == "lines" and display_kind(Screen()) == "bar"
    assert text_stream() is sys.stderr
    monkeypatch.setenv("TERM", "dumb")
    assert display_kind(Screen()) == "lines"


def test_without_stderr_a_line_is_written_nowhere(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", None)
    assert display_kind() == "lines"
    write_line("nobody reads this")
    assert capsys.readouterr().out == ""


def test_a_line_is_written_in_one_piece():
    # Or the lines of two processes could mix in a file.
    pieces = []
    stream = SimpleNamespace(write=pieces.append, flush=lambda: None)
    write_line("a line", stream)
    assert pieces == ["a line\n"]


def test_a_line_longer_than_those_of_a_terminal_is_wrapped_at_words(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    path = "/a/long-path/" + 10 * "abcdefghi/"
    line = "\n" + 12 * "some words, " + f"and {path} with-a-hyphen  and  spaces\n\n  indented"
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    with open(child, "w") as screen:
        write_line(line, screen)
        shown = os.read(parent, 65536).decode().replace("\r\n", "\n")
        write_line("short", screen)
        assert os.read(parent, 65536) == b"short\r\n"
    os.close(parent)
    assert shown.split() == line.split() and shown.startswith("\nsome words")
    assert shown.endswith("spaces\n\n  indented\n")
    lines = shown.split("\n")
    assert len(lines) > 5 and path in lines
    assert all(len(each) < 60 for each in lines if each != path)
    stream = io.StringIO()  # files keep lines whole
    write_line(line, stream)
    assert stream.getvalue() == line + "\n"


def test_a_stream_is_written_to_in_a_notebook_too(monkeypatch):
    shell = enter_shell(monkeypatch, kernel=object())
    stream = io.StringIO()
    with make_progress(1, stream) as progress:
        progress.announce("a line")
    assert stream.getvalue() == "a line\n" and shell.display_pub.calls == []


CHOICES = {"bar": (Bar, RowBar), "lines": (Lines, RowLines), "none": (Silent, SilentRows)}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("place", ["notebook", "terminal", "file"])
def test_people_can_choose(monkeypatch, choice, place):
    monkeypatch.setattr(sys, "stderr", Screen() if place == "terminal" else io.StringIO())
    if place == "notebook":
        enter_shell(monkeypatch, kernel=object())
    monkeypatch.setenv("BERTSENT_PROGRESS", f" {choice.upper()} ")
    assert (type(make_progress(1)), type(row_progress(1))) == CHOICES[choice]
    assert type(make_progress(0)) is Silent and type(row_progress(0)) is SilentRows


def test_the_choice_of_a_notebook_needs_one(monkeypatch):
    monkeypatch.setenv("BERTSENT_PROGRESS", "notebook")
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert display_kind() == display_kind(Screen()) == "lines"
    enter_shell(monkeypatch, kernel=object())
    assert display_kind() == "notebook"


def test_a_wrong_choice_is_named_before_training(monkeypatch, base):
    monkeypatch.setenv("BERTSENT_PROGRESS", "fancy")
    with pytest.raises(ValueError, match="BERTSENT_PROGRESS='fancy'.*\"bar\", \"notebook\", \"c"):
        bertsent.BertClassifier(base, max_length=16).fit(["good", "bad"], [1, 0])
    bertsent.BertClassifier(base, max_length=16, verbose=0).fit(["good", "bad"], [1, 0])


def test_text_in_a_notebook_goes_to_stdout(monkeypatch, capsys):
    enter_shell(monkeypatch, kernel=object())
    monkeypatch.setenv("BERTSENT_PROGRESS", "lines")
    notice("reads 512 tokens")
    with make_progress(1) as progress:
        progress.announce("training")
    assert capsys.readouterr() == ("reads 512 tokens\ntraining\n", "")


def test_a_worker_of_a_notebook_has_no_front_end(monkeypatch, capsys):
    enter_shell(monkeypatch, kernel=object())
    monkeypatch.setattr("multiprocessing.process.parent_process", lambda: object())
    assert display_kind() == "lines" and text_stream() is sys.stderr
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    assert text_stream() is sys.stdout


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("closed file")])
def test_a_terminal_that_is_gone_stops_nothing(error, monkeypatch):
    class Gone(Screen):
        def write(self, text):
            raise error

    monkeypatch.setattr(sys, "stderr", Gone())
    for progress in (Lines(every=0), Bar(), Brief()):
        with progress:
            progress.announce("a line")
            progress.start(2, 2, 10)
            progress.step(0, 5, {"loss": 0.5, "accuracy": 0.5})
            progress.epoch({"epoch": 1, "loss": 0.5, "tokens": 10, "seconds": 1.0})
            progress.end("finished")
    with RowBar() as rows:
        rows.look("a.csv")
        rows.start(10)
        rows.begin(10)
        rows.part(0.5)


# --- one line a fit -----------------------------------------------------------------------


@pytest.fixture
def make(base):
    def factory(**options):
        settings = {
            "model": base, "max_length": 16, "epochs": 2, "batch_size": 8, "random_state": 0,
            "n_threads": 1,
        }
        return bertsent.BertClassifier(**(settings | options))

    return factory


LINE = r"trained 2 epochs, \d+ steps in \S+ \w+: loss 0\.\d{4}, accuracy 0\.\d{3}"


def fit_lines(capfd):
    out, err = capfd.readouterr()
    assert out == ""
    return err.splitlines()


SEARCHES = {
    "GridSearchCV": (5, lambda clf, X, y: GridSearchCV(
        clf, {"learning_rate": [1e-3, 2e-3]}, cv=2).fit(X, y)),
    "cross_validate": (3, lambda clf, X, y: cross_validate(clf, X, y, cv=3)),
    "learning_curve": (4, lambda clf, X, y: learning_curve(
        clf, X, y, cv=2, train_sizes=[0.5, 1.0], error_score="raise")),
    "VotingClassifier": (2, lambda clf, X, y: VotingClassifier(
        [("one", clf), ("two", clf)], voting="soft").fit(X, y)),
    "CalibratedClassifierCV": (3, lambda clf, X, y: CalibratedClassifierCV(
        clf, ensemble=False, cv=2).fit(X, y)),
    "in a pipeline": (2, lambda clf, X, y: cross_validate(make_pipeline(clf), X, y, cv=2)),
    "n_jobs=2": (2, lambda clf, X, y: cross_validate(clf, X, y, cv=2, n_jobs=2)),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_scikit_learns_searches_show_one_line_a_fit(make, capfd, name):
    number, search = SEARCHES[name]
    search(make(), *make_texts(32))
    lines = fit_lines(capfd)
    assert len(lines) == number
    for line in lines:
        assert re.fullmatch(LINE, line), line


def test_members_share_the_line(make, capfd):
    cross_validate(make(members=2, epochs=1), *make_texts(16), cv=2)
    lines = fit_lines(capfd)
    assert len(lines) == 2 and lines[0].startswith("trained 2 models, 2 epochs, 2 steps in ")


def test_verbose_2_shows_all_and_0_nothing(make, capfd):
    X, y = make_texts(16)
    cross_validate(make(verbose=2), X, y, cv=2)
    assert sum("epoch 2/2 done" in line for line in fit_lines(capfd)) == 2
    cross_validate(make(verbose=0), X, y, cv=2)
    assert fit_lines(capfd) == []


def test_a_search_does_not_use_up_what_is_said_once(make, capfd):
    X, y = make_texts(16)
    cross_validate(make(), X, y, cv=2)
    capfd.readouterr()
    make().fit(X, y)
    assert "gets a new classification layer" in capfd.readouterr().err


def test_runs_that_were_finished_before_have_no_line(make, capfd, tmp_path):
    X, y = make_texts(16)
    done = make(checkpoint_dir=tmp_path / "run", resume=True, verbose=0).fit(X, y)
    cross_validate(done.set_params(verbose=1), [*X, *X], [*y, *y], cv=[(range(16), range(16))])
    assert fit_lines(capfd) == []


def test_a_fit_of_ones_own_is_shown_whole(make, capfd):
    X, y = make_texts(16)
    for fit in (make().fit, make_pipeline(make()).fit):
        fit(X, y)
        assert any("epoch 2/2 done" in line for line in fit_lines(capfd))
    assert not is_one_of_many()


def test_a_fit_that_fails_says_only_its_error(make, capfd):
    with pytest.raises(FloatingPointError):
        cross_validate(
            make(learning_rate=1e30, max_grad_norm=0.0, epochs=40), *make_texts(16), cv=2,
            error_score="raise",
        )
    assert not any(line.startswith("trained") for line in fit_lines(capfd))


# --- bars of any width --------------------------------------------------------------------


def bar_of(columns, monkeypatch, steps=3450):
    monkeypatch.setattr("bertsent.system.bars._screen", lambda s: {"ncols": columns, "nrows": 24})
    stream = Screen()
    bar = Bar(stream)
    bar.start(3, steps, 10**6)
    bar.means = {"loss": 0.6931, "accuracy": 0.512}
    bar.steps_done, bar.tokens_done, bar._began = 2 * steps, 10**6, bar._began - 185
    return bar, str(bar.bar)


@pytest.mark.parametrize("columns", [*range(30, 141, 5), 80])
@pytest.mark.parametrize("steps", [12, 3450, 999_999])
def test_a_bar_fits_and_says_what_matters(columns, steps, monkeypatch):
    bar, shown = bar_of(columns, monkeypatch, steps)
    assert len(shown) < columns
    assert "0.6931" in shown
    if columns >= 40:
        assert "0.512" in shown
    if columns >= 50:
        assert len(shown.split("|")[1]) >= 8 and "6:10 min" in shown
    if columns >= 70:
        assert "loss 0.6931, accuracy 0.512, " in shown and "6:10 min left" in shown
        assert "epoch 1/3" in shown
    if columns >= 110:
        assert f"step {2 * steps}/{3 * steps}" in shown and "tokens/s" in shown
    bar.close()


def test_what_is_done_between_steps_is_shown(monkeypatch):
    for columns in (120, 80, 60, 40):
        bar, _ = bar_of(columns, monkeypatch)
        bar.evaluating(0.43)
        assert "evaluation 43%" in str(bar.bar)
        bar.evaluating(1.0)
        assert "loss" in str(bar.bar)
        bar.prepared(0.07)
        assert "frozen layers 7%" in str(bar.bar)
        bar.close()


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 120])
def test_bars_of_rows_fit(columns, monkeypatch):
    monkeypatch.setattr("bertsent.system.bars._screen", lambda s: {"ncols": columns, "nrows": 24})
    with RowBar(Screen()) as rows:
        rows.look("/a/very/long/{path}/to/the/file/of/which/the/rows/are/read/reviews.csv")
        rows.looked(4096)
        assert len(str(rows.bar)) < columns and "4,096 rows" in str(rows.bar) or columns < 30
        rows.start(1_000_000)
        rows.begin(1_000_000)
        rows.part(0.25)
        shown = str(rows.bar)
        assert len(shown) < columns and "left" in shown
        if columns >= 80:
            assert "scoring |" in shown and "250,000 of 1,000,000 rows" in shown


def test_the_terminal_may_change_its_size(monkeypatch):
    widths = [120, 40]
    bar = FittingBar(lambda: iter([("long " * 10, "text " * 8), ("a", "b")]), Screen(), total=4)
    bar.dynamic_ncols = lambda file: (widths[0], 24)
    assert str(bar).startswith("long long")
    del widths[0]
    assert str(bar).startswith("a |")
    bar.close()


@pytest.fixture
def program(base, tmp_path):
    """A function that starts a command in a terminal."""
    texts, labels = make_texts(120)
    frame = pd.DataFrame({"review": [f"{t} {i}" for i, t in enumerate(texts)], "sentiment": labels})
    frame.to_csv(tmp_path / "a.csv", index=False)
    started = []

    def start(*arguments, columns=80, **environment):
        environment = surroundings()["env"] | environment
        command = [sys.executable, "-m", "bertsent", *arguments]
        started.append(Terminal(command, columns, environment))
        return started[-1]

    start.train = ["train", tmp_path / "a.csv", "--model", base, *SMALL, "--output", tmp_path / "m"]
    yield start
    for terminal in started:
        terminal.close()


@pytest.mark.parametrize("columns", [80, 60])
def test_training_in_a_terminal(program, columns):
    terminal = program(*program.train, "--epochs", "10", "--validation-fraction", "0.2",
                       columns=columns)
    terminal.read()
    assert terminal.code == 0
    bars = [frame for frame in terminal.frames if "|" in frame and "loss" in frame]
    assert bars
    for frame in bars:
        assert len(frame) < columns
        _, bar, after = frame.split("|")
        assert len(bar) >= 8 and "acc" in after and frame.endswith(("s left", "n left", " s"))
    assert any("epoch 10/10 done: loss" in frame for frame in terminal.frames)


def test_ctrl_c_in_a_terminal(program, tmp_path):
    terminal = program(*program.train, "--epochs", "100000")
    assert terminal.read(until="epoch 2/100000 done")
    terminal.type("\x03")
    terminal.read()
    assert terminal.code == 130
    last = " ".join(terminal.frames[-4:])
    assert "bertsent: training was interrupted after step " in last
    assert "the model trained so far is saved in" in last
    assert "Traceback" not in terminal.shown
    history = pd.read_csv(tmp_path / "m" / "history.csv")
    assert history["epoch"].tolist() == list(range(1, len(history) + 1))
    if "part" in history:  # not if the last step of an epoch was the last one
        assert history["part"].isna()[:-1].all() and 0 < history["part"].iloc[-1] < 1


def test_a_terminal_that_is_closed_ends_training_but_saves_it(program, tmp_path):
    terminal = program(*program.train, "--epochs", "100000")
    assert terminal.read(until="epoch 2/100000 done")
    terminal.hang_up()
    terminal.wait()
    assert terminal.code == 129
    clf = bertsent.BertClassifier.from_pretrained(tmp_path / "m")
    assert len(clf.history_) >= 2 and clf.predict(["a great film"]).shape == (1,)


def test_lines_in_a_terminal_for_those_who_want_them(program):
    terminal = program(*program.train, "--epochs", "2", BERTSENT_PROGRESS="lines")
    terminal.read()
    assert terminal.code == 0 and "epoch 2/2 done" in terminal.shown
    assert "|" not in terminal.shown and "\r" not in terminal.shown.replace("\r\n", "")


def test_a_log_file_has_lines_that_end(program, tmp_path):
    command = [sys.executable, "-m", "bertsent", *map(str, program.train), "--epochs", "100000"]
    path = tmp_path / "log.txt"
    with path.open("wb") as log:
        running = launch(command, stderr=log, stdout=log, **surroundings())
        deadline = time.monotonic() + 120
        while "epoch 2/100000 done" not in path.read_text():
            assert running.poll() is None and time.monotonic() < deadline, path.read_text()
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        assert running.wait(120) == 130
    text = path.read_text()
    assert "\r" not in text and "\x1b" not in text and "%|" not in text and text.endswith("\n")
    said = " ".join(text.split())
    assert said.count("training was interrupted after step ") == 1 and "Traceback" not in said
    assert "the model trained so far is saved in" in said.partition("interrupted after step")[2]
