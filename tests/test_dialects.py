"""CSV and TSV as programs and people write them: as many rows as the file has, or an error."""

import csv
import io
import re
import sys
import threading

import numpy as np
import pandas as pd
import pytest
from conftest import write_tiny_model
from hypothesis import example, given, settings, strategies as st
from test_classifier import make_texts

import bertsent
from bertsent.cli import main
from bertsent.errors import ReadingWarning
from bertsent.files import Dialect, find_source, readers
from bertsent.files.delimited import MOST_LINES

HEADER = "review,sentiment\n"


def read(path, **dialect):
    """Return the rows of a file as lists, with None for empty cells."""
    frame = readers.read_table(find_source(path, Dialect(**dialect)))
    return frame.astype(object).where(frame.notna(), None).to_numpy().tolist()


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def error_of(path, content, **dialect):
    with pytest.raises(ValueError) as caught:
        read(written(path, content), **dialect)
    message = str(caught.value)
    assert message.startswith(str(path)), message
    return message.removeprefix(str(path))


# --- rows are neither lost nor made -------------------------------------------------------


@pytest.mark.filterwarnings("ignore::bertsent.errors.ReadingWarning")
@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ('sentence\tlabel\n"Twas brillig\t1\nand slithy\t0\ntoves"\t1\nmimsy\t0\n',
         ['"Twas brillig', "and slithy", 'toves"', "mimsy"]),
        ('sentence\tlabel\n"so" she says\t1\n\'tis "fine"\t0\n', ['"so" she says', '\'tis "fine"']),
        ('sentence\tlabel\n"all of it"\t1\nplain\t0\n', ['"all of it"', "plain"]),
        ('sentence\tlabel\n"never closed\t1\nplain\t0\n', ['"never closed', "plain"]),
        ('sentence\tlabel\n""\t1\n"\t0\n', ['""', '"']),
        ('sentence\tlabel\na "" b\t1\n""" c\t0\n', ['a "" b', '""" c']),
        ('sentence\n"two\nlines"\n', ['"two', 'lines"']),
    ],
)
def test_quotes_in_tsv_are_text(tmp_path, content, texts):
    assert [row[0] for row in read(written(tmp_path / "a.tsv", content))] == texts


@pytest.mark.parametrize("quote", ["minimal", "all", "header"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tsv_of_programs_that_quote_is_read_as_they_wrote_it(tmp_path, quote, end):
    rows = [["two\nlines", "1"], ['she said "no"', "0"], ["a\ttab", "1"], ["plain", "0"]]
    text = io.StringIO()
    if quote == "header":
        text.write(f'"review"\t"n"{end}')
    how = csv.QUOTE_ALL if quote == "all" else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter="\t", lineterminator=end, quoting=how)
    writer.writerows(rows if quote == "header" else [["review", "n"], *rows])
    path = written(tmp_path / "a.tsv", text.getvalue())
    if quote == "minimal":
        with pytest.warns(ReadingWarning, match="quoting='minimal', because"):
            assert read(path) == rows
    else:
        assert read(path) == rows


def test_a_row_with_a_tab_too_many_does_not_join_others(tmp_path):
    content = 'review\tn\n"a\t1\nb\tc\t0\nd"\t1\n'
    assert error_of(tmp_path / "a.tsv", content).startswith(", line 3: 3 cells, but the header has")


def test_what_is_guessed_about_quotes_is_told(tmp_path):
    path = written(tmp_path / "a.tsv", 'review\tn\n"she said ""no"""\t1\nplain\t0\n')
    with pytest.warns(ReadingWarning, match="quoting='minimal'.*in quotes where they must be"):
        assert read(path)[0] == ['she said "no"', "1"]
    assert read(path, quoting="none")[0] == ['"she said ""no"""', "1"]
    path = written(tmp_path / "b.tsv", 'review\tn\n"a\t1\nb"\t0\n')
    with pytest.warns(ReadingWarning, match="quoting='none', a row in each line"):
        assert len(read(path)) == 2
    assert read(path, quoting="minimal") == [["a\t1\nb", "0"]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_empty_lines_are_rows_where_a_line_is_a_cell(tmp_path, end, kind):
    lines = ["review", "one", "", "  ", "two", "", ""]
    path = written(tmp_path / f"a.{kind}", end.join(lines) + end)
    assert read(path) == [["one"], [None], ["  "], ["two"]]
    with pytest.raises(ValueError, match=r"line 3: row 1 \(counted from 0\) has an empty cell"):
        readers.read_rows(path, {"text_column": "review"}, "error")
    assert readers.read_rows(path, {"text_column": "review"}, "skip")[1] == 1
    with_quotes = written(tmp_path / f"b.{kind}", 'review\none\n""\ntwo\n')
    if kind == "csv":
        assert read(with_quotes) == [["one"], [None], ["two"]]


def test_empty_lines_between_rows_of_several_cells_are_no_rows(tmp_path):
    path = written(tmp_path / "a.csv", HEADER + "a,1\n\n\r\nb,2\n\n")
    assert read(path) == [["a", "1"], ["b", "2"]]
    path = written(tmp_path / "b.csv", "\n\n" + HEADER + ",\n")
    assert read(path) == [[None, None]]


@pytest.mark.parametrize("tail", ["", "\n", "\n\n", "\r\n"])
def test_the_last_line_may_lack_its_end(tmp_path, tail):
    assert read(written(tmp_path / "a.csv", HEADER + "a,1\nb,2" + tail))[1] == ["b", "2"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + "a,1\nb\rc,2\n", r"line 3: a carriage return"),
        (HEADER + '"He said \\"hi\\" to me",1\n', r"line 2: .* goes on .*escapechar='\\\\'"),
        (HEADER + 'a,1\n"b" c,2\n', "line 3: .* goes on after its closing quote"),
        (HEADER + 'a,1\n"b\nc" d,2\n', "line 3: a cell, which ends in line 4, goes on"),
        (HEADER + 'a,1\nb,2\n"c,3\nd,4\n', "line 4: a cell begins with a quote that is never"),
        (HEADER + 'a,1\nb\n', r"line 3: 1 cell, but the header has 2 \(review, sentiment\)"),
        (HEADER + 'a,1\n   \nb,2\n', "line 3: 1 cell"),
        (HEADER + "a,1,x\n", "line 2: 3 cells, .* a comma must be in quotes"),
        (HEADER + '"a\n\nb",1\nc\nd,2\n', "line 5: 1 cell"),
        (HEADER + 'a, "b, c"\n', "line 2: 3 cells.*no space"),
        (HEADER + "a,1\n" + HEADER + "b,2\n", "line 3: the header again"),
        (HEADER + '"a,1\nb,2\nc",3\n', "line 2: a cell in quotes extends to line 4"),
        (HEADER + 'x,pos\n"a,neg\nb",pos\ny,neg\n', "line 3: a cell in quotes extends to line"),
        ('v1,v2\nham,x\nspam,"a\nham,b"\n', "line 3: a cell in quotes extends to line 4"),
        (HEADER + '"x, y",pos\n"a,neg\nb",pos\ny,neg\n', "line 3: a cell in quotes extends to"),
        (HEADER + '"a,neg\nb, c,pos\nd",neg\ny,pos\n', "line 2: a cell in quotes extends to"),
        ("review\nso, so\n", "line 2: 2 cells, .*if each line is one text, pass delimiter="),
    ],
)
def test_what_could_join_or_cut_rows_is_an_error_that_names_the_line(tmp_path, content, message):
    found = error_of(tmp_path / "a.csv", content)
    assert re.search(message, found), found


def test_a_cell_of_too_many_lines_is_an_open_quote(tmp_path):
    text = "line\n" * (MOST_LINES + 5)
    path, content = tmp_path / "a.csv", f'{HEADER}a,1\n"{text}",2\n'
    assert "line 3: a cell begins with a quote that is not closed within" in error_of(path, content)
    assert read(path, quoting="minimal")[1][0] == text
    long = "line\n" * (MOST_LINES - 5)
    written(path, f'{HEADER}a,1\n"{long}",2\n')
    assert read(path)[1][0] == long


def test_whole_cells_are_read_however_long_they_are(tmp_path):
    text, limit = "word " * 100_000, csv.field_size_limit()
    path = written(tmp_path / "a.csv", f'{HEADER}{text},1\n"{text}",2\n')
    assert [row[0] for row in read(path)] == [text, text]
    chunks = readers.read_chunks(path, 1)
    next(chunks)
    assert csv.field_size_limit() == limit  # also between chunks
    chunks.close()
    threads = [threading.Thread(target=read, args=(path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert csv.field_size_limit() == limit


def test_nul_is_a_character_or_named(tmp_path):
    path = written(tmp_path / "a.csv", HEADER + "a,1\nb\0c,2\n")
    if sys.version_info >= (3, 11):
        assert read(path)[1] == ["b\0c", "2"]
    else:
        with pytest.raises(ValueError, match="line 3: a NUL character"):
            read(path)


def test_lines_of_texts_with_breaks_are_not_mistaken_for_rows(tmp_path):
    rows = [["Hello,\nno internet", "tech"], ["three\n\nfour", "bill"], ["a,\nb, c\nd", "tech"]]
    for size in (1, 3):
        frame = pd.DataFrame(rows[:size], columns=["review", "team"])
        frame.to_csv(tmp_path / "a.csv", index=False)
        assert read(tmp_path / "a.csv") == rows[:size]
        frame.to_csv(tmp_path / "a.csv")
        assert [row[1:] for row in read(tmp_path / "a.csv")] == rows[:size]
    # By chance, a few texts of many look like rows.
    text = HEADER + '"so\nso",1\n' * 5 + '"Costs 3,5\neuros",3\nx,5\n'
    assert len(read(written(tmp_path / "a.csv", text))) == 7
    # What looks like rows all the same is read if the header is in quotes.
    text = '"review","team"\n"a,tech\nb",bill\nc,tech\n'
    assert read(written(tmp_path / "a.csv", text))[0] == ["a,tech\nb", "bill"]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
awkward = st.text('a",;\t\r\n\'\\ ', max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 3).flatmap(
        lambda width: st.lists(
            st.lists(cells | awkward, min_size=width, max_size=width), min_size=1, max_size=6
        )
    ),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@example([["\r"]], ",", csv.QUOTE_ALL, "\n", "utf-8")
@example([[",\n", "1"]], ",", csv.QUOTE_ALL, "\n", "utf-8")
@pytest.mark.filterwarnings("ignore::bertsent.errors.ReadingWarning")
def test_every_cell_of_a_program_that_quotes_is_read_as_written(
    tmp_path_factory, rows, delimiter, quoting, end, encoding
):
    text = io.StringIO(newline="")
    names = [f"c{number}" for number in range(len(rows[0]))]
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator=end).writerow(names)
    # Before 3.11.9 and 3.12.3, Python did not quote a cell for a "\r" unless it ends lines.
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")
    writer.writerows(rows)
    path = tmp_path_factory.mktemp("cells") / ("a.tsv" if delimiter == "\t" else "a.csv")
    path.write_bytes(text.getvalue().encode(encoding))
    assert read(path, delimiter=delimiter) == [[cell or None for cell in row] for row in rows]


# --- as databases write -------------------------------------------------------------------


@pytest.mark.parametrize(("name", "between"), [("a.csv", ","), ("a.tsv", "\t")])
def test_null_of_databases_is_a_missing_cell(tmp_path, name, between):
    lines = [["review", "n"], [r"\N", "1"], ["N", r"\N"], [r"a\Nb", r"\N"], [r"\N", r"\N"]]
    path = written(tmp_path / name, "\n".join(map(between.join, lines)))
    expected = [[None, "1"], ["N", None], ["aNb", None], [None, None]]
    assert read(path, escapechar="\\") == expected
    # Without the escape character, it is a text like any other.
    assert read(path)[0] == [r"\N", "1"]
    quoted = written(tmp_path / "b.csv", 'review,n\r\n"a,\\N,b",\\N\r\n')
    assert read(quoted, escapechar="\\") == [["a,N,b", None]]


@pytest.mark.parametrize(
    ("name", "content", "advice"),
    [
        ("a.tsv", "review\tn\nso\\\nso\t1\n", r"escapechar='\\'"),
        ("a.tsv", "review\tn\nso\\\tso\t1\n", r"escapechar='\\'"),
        ("a.csv", "review,n\nso\\, so,1\n", r"escapechar='\\'"),
        ("a.csv", "review,n\n1,so,1\n2,good,0\n", "a name for it"),
        ("a.csv", "review,n\nso,1,\ngood,0,\n", "ends with a comma"),
        ("a.tsv", "review\tn\nso\tso\t1\n", "take the tab out"),
        ("a.csv", "review,n\nso,1\n  \nso,1\n", "the line is blank; remove it"),
        ("a.tsv", 'review\tn\n"so\tso"\t1\n"\t1\n', "quoting='minimal'"),
    ],
)
def test_advice_about_a_ragged_row_fits_what_was_seen(tmp_path, name, content, advice):
    assert advice in error_of(tmp_path / name, content)


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("header", ["review,n", '"review","n"'])
def test_files_that_were_put_together_with_their_marks(tmp_path, mark, header):
    content = f"{mark}{header}\na,1\n"
    assert "line 3: the header again" in error_of(tmp_path / "a.csv", content * 2)


# --- what separates cells -----------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_seen_in_the_header_and_told(tmp_path, delimiter):
    lines = [["review", "sentiment"], ["so, so", "1"], ["good", "2"]]
    path = written(tmp_path / "a.csv", "\n".join(map(delimiter.join, lines)))
    message = re.escape(f"a.csv is read with delimiter={delimiter!r}")
    with pytest.warns(ReadingWarning, match=message) as told:
        assert read(path) == lines[1:]
    assert len(told) == 1
    assert read(path, delimiter=delimiter) == lines[1:]


def test_a_guessed_delimiter_must_fit_every_row(tmp_path):
    path = written(tmp_path / "a.csv", "review;sentiment\na;b;1\n")
    with pytest.warns(ReadingWarning), pytest.raises(ValueError, match="line 2: 3 cells"):
        read(path)


@pytest.mark.parametrize(
    "content", ["review\nso; so\n", "review,x\nso; so,1\n", '"review; in full"\nso; so\n']
)
def test_nothing_is_guessed_without_need(tmp_path, content, recwarn):
    assert read(written(tmp_path / "a.csv", content))[0][0] == "so; so"
    assert not recwarn.list


def test_the_first_line_of_excel_names_the_delimiter(tmp_path, recwarn):
    path = written(tmp_path / "a.csv", "sep=;\r\nreview;n\r\na, b;1\r\nc\r\n")
    with pytest.raises(ValueError, match="line 4: 1 cell"):
        read(path)
    path = written(tmp_path / "a.csv", "sep=;\r\nreview;n\r\na, b;1\r\n")
    assert read(path) == [["a, b", "1"]]
    assert not recwarn.list


def test_a_dialect_can_be_told(tmp_path):
    path = written(tmp_path / "a.csv", "review|n\n'a' \\| \"b|1\n")
    assert read(path, delimiter="|", escapechar="\\", quoting="none") == [["'a' | \"b", "1"]]
    path = written(tmp_path / "b.csv", 'review,n\n"He said \\"hi\\" to me",1\n')
    assert read(path, escapechar="\\") == [['He said "hi" to me', "1"]]
    assert read(path, quoting=csv.QUOTE_NONE) == [['"He said \\"hi\\" to me"', "1"]]
    path = written(tmp_path / "c.dat", "review\tn\nx\t1\n")
    assert read(path, format="tsv") == [["x", "1"]]


@pytest.mark.parametrize(
    ("dialect", "message"),
    [
        ({"delimiter": ""}, "delimiter='': expected one character"),
        ({"delimiter": "||"}, "one character"),
        ({"delimiter": '"'}, "one character"),
        ({"delimiter": 5}, "delimiter=5"),
        ({"escapechar": "\n"}, "escapechar"),
        ({"delimiter": "\\", "escapechar": "\\"}, "must differ"),
        ({"quoting": "all"}, "quoting='all': expected 'minimal' or 'none'"),
        ({"quoting": 9}, "quoting=9"),
        ({"encoding": "no-such"}, "encoding='no-such': Python knows no such"),
        ({"encoding": "base64"}, "no such encoding of text"),
        ({"errors": "ignore"}, "errors='ignore': expected 'strict' or 'replace'"),
        ({"header": 3}, "header=3"),
        ({"format": "docx"}, "format='docx'"),
        ({"format": "zip"}, "format='zip'"),
    ],
)
def test_options_are_checked(dialect, message):
    with pytest.raises(ValueError, match=message):
        Dialect(**dialect)


def test_unknown_options_are_named():
    with pytest.raises(TypeError, match=r"predict_file\(\) .*'sep'; did you mean 'delimiter'"):
        Dialect.of({"sep": ";"}, "predict_file")
    with pytest.raises(TypeError, match="'encodin'; did you mean 'encoding'"):
        Dialect.of({"encodin": "utf-8"}, "predict_file")
    assert Dialect.of({"header": None}, "predict_file").header is False


# --- names of columns ---------------------------------------------------------------------


def missing_column(path, content, column="sentiment", **dialect):
    source = find_source(written(path, content), Dialect(**dialect))
    with pytest.raises(ValueError) as caught:
        readers.read_rows(source, {"text_column": "review", "label_column": column}, "error")
    return str(caught.value)


def test_a_missing_column_gets_a_hint_of_what_was_seen(tmp_path):
    path = tmp_path / "a.csv"
    found = missing_column(path, "review, sentiment\na, b\n")
    assert "columns are: review, ' sentiment'" in found
    assert found.endswith("is it ' sentiment' (with a space)?")
    assert missing_column(path, "review,Sentiment\na,b\n").endswith("is it 'Sentiment'?")
    assert missing_column(path, "review,sentment\na,b\n").endswith("is it 'sentment'?")
    found = missing_column(path, "What a film!,pos\nbad,neg\n")
    assert "header=False and text_column='0'" in found
    found = missing_column(path, "a,b\n1,2\n", header=False)
    assert "its columns are: 0, 1" in found and "by their numbers, from 0" in found
    found = missing_column(tmp_path / "a.tsv", "review,sentiment\na,b\n")
    assert "',' separated the cells; if it does, pass delimiter=','" in found
    assert "Numbers choose columns with header=False" in missing_column(path, "review\na\n", "1")
    found = missing_column(path, "review;sentiment;notes, if any\na;b;c,\n")
    assert "pass delimiter=';'" in found
    for delimiter in "\x01^:~ ":
        names = delimiter.join(["review", "sentiment"])
        found = missing_column(path, f"{names}\n{delimiter.join('ab')}\n")
        assert f"pass delimiter={delimiter!r}" in found
    assert missing_column(path, "text,target\na,1\n").endswith("is it 'text'?")
    assert missing_column(path, "review,target\na,1\n", "topic").endswith("is it 'target'?")
    # What was chosen as the column of texts is not the column of labels.
    assert "is it" not in missing_column(path, "review,year\na,1\n", "views")
    # The header is there: one of the columns was found.
    assert "header=False" not in missing_column(path, "review,score\na,1\n")


def test_columns_without_a_header_are_called_by_numbers(tmp_path):
    path = written(tmp_path / "a.csv", "a film,pos\nbad,neg\n")
    source = find_source(path, Dialect(header=False))
    frame, _ = readers.read_rows(source, {"text_column": "0", "label_column": "1"}, "error")
    assert frame.to_numpy().tolist() == [["a film", "pos"], ["bad", "neg"]]
    assert read(written(path, "\n\none\n\ntwo\n"), header=False) == [
        [None], [None], ["one"], [None], ["two"]
    ]
    assert "the first row has 2" in error_of(path, "a,b\nc\n", header=False)


def test_names_are_made_unique_as_pandas_does(tmp_path):
    path = written(tmp_path / "a.csv", ",a,a,,a.1\n1,2,3,4,5\n")
    with pytest.warns(ReadingWarning, match="several columns called 'a'; one is read as 'a.2'"):
        names = list(readers.read_table(path))
    assert names == list(pd.read_csv(path)) == ["Unnamed: 0", "a", "a.2", "Unnamed: 3", "a.1"]


# --- on the command line and in Python ----------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small model that was trained."""
    folder = tmp_path_factory.mktemp("model")
    texts, labels = make_texts(64)
    base = write_tiny_model(folder / "tiny")
    classifier = bertsent.BertClassifier(
        base, max_length=16, epochs=1, batch_size=8, random_state=0, verbose=0
    )
    classifier.fit(texts, labels).save_pretrained(folder / "model")
    return folder / "model"


def test_flags_and_parameters_read_alike(model, tmp_path, capsys):
    rows = "fürchterlich;neg\nschön \\\"und\\\" gut;pos\n"
    path = written(tmp_path / "a.txt", rows.encode("cp1252"))
    flags = ["--format", "csv", "--delimiter", ";", "--escapechar", "\\", "--encoding", "cp1252",
             "--no-header", "--text-column", "0"]
    assert main(["predict", str(model), str(path), *flags, "-o", str(tmp_path / "b.csv")]) == 0
    classifier = bertsent.BertClassifier.from_pretrained(model)
    classifier.predict_file(
        path, tmp_path / "c.csv", text_column=0, format="csv", delimiter=";", escapechar="\\",
        encoding="cp1252", header=None,
    )
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()
    labelled = pd.read_csv(tmp_path / "b.csv")
    assert list(labelled) == ["0", "1", "predicted_label", "confidence"]
    assert labelled["0"].tolist() == ["fürchterlich", 'schön "und" gut']
    with pytest.raises(TypeError, match="did you mean 'delimiter'"):
        classifier.predict_file(path, tmp_path / "d.csv", sep=";")


def test_each_command_speaks_of_its_flags(model, tmp_path, capsys):
    path = written(tmp_path / "a.csv", (HEADER + "café noir,positive\n").encode("cp1252"))
    commands = [
        ["predict", model, path], ["evaluate", model, path],
        ["train", path, "--output", tmp_path / "out"],
        ["pretrain", path, "--output", tmp_path / "out"],
        ["doctor", "--no-speed", "--data", path, "--model", model],
    ]
    for command in commands:
        assert main(list(map(str, command))) == 1
        error = capsys.readouterr().err
        assert "line 2: byte 0xe9 at offset 20 is not UTF-8" in error
        assert "with --encoding cp1252, this place reads 'café noir" in error
        assert "--errors replace" in error and "encoding=" not in error
    assert main(["evaluate", str(model), str(path), "--encoding", "cp1252"]) == 0


def test_train_and_evaluate_read_what_flags_tell(model, tmp_path, capsys):
    texts, labels = make_texts(60)
    lines = [f'"{text}\t{label}' for text, label in zip(texts, labels, strict=True)]
    path = written(tmp_path / "a.data", "\n".join(lines))
    flags = ["--format", "tsv", "--no-header", "--text-column", "0", "--label-column", "1"]
    base = model.parent / "tiny"
    code = main(["train", str(path), *flags, "--model", str(base), "--epochs", "1",
                 "--max-length", "16", "--output", str(tmp_path / "out")])
    assert code == 0
    split = pd.read_csv(tmp_path / "out" / "split.csv")
    assert len(split) == 60 and split["row"].nunique() == 60
    assert main(["evaluate", str(tmp_path / "out"), str(path), *flags]) == 0
    assert "60 texts" in capsys.readouterr().out
    assert np.unique(labels).tolist() == ["negative", "positive"]


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", 'review,n\n\n"one\nline",1\n"a\n\nb",2\n,3\n', 8),
        ("a.csv", "review\none\n\n\ntwo\n", 3),
        ("a.tsv", "sep=\t\nreview\tn\n\tx\n", 3),
        ("a.jsonl", '\n{"review": "a"}\n\n{"review": null}\n', 4),
        ("a.txt", "a\n\nb\n", 2),
    ],
)
def test_a_row_is_named_with_its_line(tmp_path, name, content, line):
    path = written(tmp_path / name, content)
    with pytest.raises(ValueError, match=rf"{name}, line {line}: row \d+ \(counted from 0\) has"):
        readers.read_rows(path, {"text_column": "review"}, "error")


def test_an_escape_in_the_first_row_is_seen_without_a_header(tmp_path):
    message = error_of(tmp_path / "a.tsv", "so\\\tso\t1\ngood\t0\n", header=False)
    assert "escapechar" in message


def test_a_delimiter_that_keyboards_lack_can_be_told(model, tmp_path, capsys):
    path = written(tmp_path / "a.csv", "review\x01n\ngood\x011\n")
    predict = ["predict", str(model), str(path), "--text-column", "review"]
    assert main([*predict]) == 1
    message = capsys.readouterr().err
    assert r"pass --delimiter '\x01'" in message and "\x01" not in message.split("pass")[1]
    assert main([*predict, "--delimiter", r"\x01"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("good,1,")
