"""The readers of data files, and what is right for each.

A table is written by an independent program (Python's csv and json, pyarrow, openpyxl) in a dialect
that is drawn at random. Half of the files are then damaged. What is not damaged must be read
exactly, in chunks of any size; what is damaged must give the same rows or the same error in chunks
of 1 and of 1,000 rows. Where Python's csv module, in its strict mode, or json reads a damaged file,
bertsent must read the same rows or refuse it. Some files are also labelled: as many rows must be
written as were read, with the same texts.
"""

import bz2
import csv
import functools
import gzip
import io
import itertools
import json
import lzma
import math
import os
import re
import shutil
import zipfile

from directories import judge_error
from further_mutations import double_pair, replace_raw, wrap_text
from mutations import change_bytes, change_json, change_lines

from bertsent.files import Dialect, find_source, label_file, read_chunks

_WORDS = ("a", "text", "good", "bad", "0", "1.5", "NA", "nan", "None", "null", "", " ", "-", "\\N",
          "it's", "x,y", "a;b", 'say "yes"', '"', '""', "two\nlines", "tab\there", "end\\",
          "é", "日本", "😀", "\u2028", "\x85", "\x0b", "\x1c", "\uffff", "\ufffd", "\ufeff", "#",
          "=1+1", "{}", "[1]", "<b>", "'", "  two  ", "a\r\nb", "\r", "\\", '\\"', "|",
          "long " * 40)
_NAMES = ("text", "label", "id", "a b", "na,me", 'q"', "é", "X;Y", "two\nlines", "'", "0", "tab\t")
# What a message says about a whole file, in which no line or row is to blame.
_WHOLE = re.compile(
    r"is empty|has no rows|no row is left|has no columns|has no column |not text, but|looks like|"
    r"begins with the byte order mark|damaged or (cut short|hostile)|"
    r"is (compressed|a |an old|protected)|"
    r"is not compressed|cannot be read as|has no sheet|contains no file|contains \d+ files|"
    r"is encrypted|unpack it|two columns called|already; rename|for each column|not (utf|UTF)|"
    r"columns called|unlike|only in objects"
)
_PLACE = re.compile(r"line [\d,]+|row [\d,]+|item [\d,]+|offset [\d,]+|line of")
_BOMB = 400 << 20


def draw_text(draw):
    """Return the text of a cell."""
    kind = draw.random()
    if kind < 0.6:
        return draw.choice(_WORDS)
    return "".join(draw.choice(_WORDS) for _ in range(draw.randrange(1, 6)))


def draw_table(draw):
    """Return different names of columns, and rows of texts."""
    names = draw.sample(_NAMES, draw.choice((1, 2, 2, 3, 5)))
    rows = [[draw_text(draw) for _ in names] for _ in range(draw.choice((1, 2, 3, 5, 8, 12)))]
    return names, rows


class File:
    """A data file, and how it is to be read.

    Attributes
    ----------
    content : bytes
    name : str
        Its extension tells the format.
    options : dict
        Options of `Dialect`.
    names : list of str or None
        Names of the columns; None if they are not known.
    rows : list of list or None
        What must be read; None if the file was damaged.
    is_bomb : bool
        Whether only the memory of the first rows counts.
    may_doubt : bool
        Whether the reader may suspect that quotes are part of the texts.
    done : str
        How it was damaged.
    """

    def __init__(self, content, name, options=None, names=None, rows=None, may_doubt=False):
        self.content, self.name, self.options = content, name, options or {}
        self.names, self.rows, self.may_doubt = names, rows, may_doubt
        self.is_bomb, self.done = False, ""


class DataKind:
    """Files of one format.

    Parameters
    ----------
    seeds : Seeds
        Says where files are written.
    """

    # In how many of 100 files are the rows labelled.
    labelled = 4
    # Whether an error is the same in chunks of any size.
    same_error = True
    chunks = (1, 1000)

    def __init__(self, seeds):
        self.root = seeds.root

    def valid(self, draw):
        """Return a `File` that is not damaged."""
        raise NotImplementedError

    def damage(self, draw, content):
        """Return changed content, and how it was changed."""
        raise NotImplementedError

    def bomb(self, draw):
        """Return a `File` of some kB that stands for much more, or None."""
        del draw

    def file(self, draw):
        """Return the `File` that an input is."""
        if draw.random() < 0.003 and (bomb := self.bomb(draw)) is not None:
            bomb.is_bomb = True
            return bomb
        file = self.valid(draw)
        if draw.random() < 0.5:
            damaged, file.done = self.damage(draw, file.content)
            if damaged != file.content:
                file.content, file.names, file.rows = damaged, None, None
        return file

    def mutant(self, draw):
        """Return what is to be shown of an input."""
        file = self.file(draw)
        return file.name, file.options, file.names, file.rows, file.done, file.content[:3000]

    def outcome(self, draw):
        """Read a file; return "loaded", "refused" or "finding", and a text."""
        file = self.file(draw)
        folder = self.root / f"process-{os.getpid()}"
        folder.mkdir(exist_ok=True)
        path = folder / file.name
        path.write_bytes(file.content)
        try:
            if file.is_bomb:
                return self.look(file, path)
            found = [self.read(file, path, size) for size in self.chunks]
        except BaseException as error:
            return judge(error, path)
        first = found[0]
        if any(self.plain(other) != self.plain(first) for other in found) and (
            self.same_error or not all(isinstance(other, Exception) for other in found)
        ):
            return "finding", f"chunks differ: {first!s:.120} / {found[-1]!s:.120}"
        if isinstance(first, Exception):
            if file.rows is not None and not self.may_refuse(file, str(first)):
                return "finding", f"refuses a file that is right: {first}"
            return judge(first, path)
        wrong = self.wrong(file, path, first)
        if wrong is None and draw.random() < self.labelled / 100:
            try:
                wrong = label(draw, file, path, first)
            except BaseException as error:
                return judge(error, path)
        return ("loaded", "") if wrong is None else ("finding", wrong[:300])

    def plain(self, found):
        """Return what `read` returned in a form that can be compared."""
        return str(found)

    def may_refuse(self, file, message):
        """Return whether a file may be refused although it is right."""
        return (
            file.may_doubt and "looks like a row of its own" in message
            # A row that repeats the header is one too many in most files.
            or file.names in file.rows and "the header again" in message
        )

    def look(self, file, path):
        """Read the beginning of a file."""
        for _ in itertools.islice(read_chunks(find_source(path, Dialect(**file.options))), 2):
            pass
        return "loaded", ""

    def read(self, file, path, size):
        """Return names and rows, or the error that ends them."""
        source = find_source(path, Dialect(**file.options))
        rows, names = [], []
        try:
            for frame in read_chunks(source, size):
                if len(frame) > size:
                    raise AssertionError(f"{path}: a chunk of {len(frame)} rows, line 0")
                names = list(frame.columns)
                rows += frame.to_numpy(object).tolist()
        except (ValueError, OSError) as error:
            return error
        return names, rows

    def wrong(self, file, path, found):
        """Return what is wrong with what was read, or None."""
        del path
        if file.rows is None:
            return None
        names, rows = found
        right = [[cell or None for cell in row] for row in file.rows]
        if file.names is not None and names != file.names:
            return f"names {names} and not {file.names}"
        if rows != right:
            return f"rows {rows!r:.120} and not {right!r:.120}"
        return None

    def remove(self, process):
        """Remove what a process has written."""
        shutil.rmtree(self.root / f"process-{process}", ignore_errors=True)


def judge(error, path):
    """Return the outcome for an exception: ours have one of Python's classes, and name a place."""
    text = str(error)
    if isinstance(error, MemoryError) or re.search(r"malloc|out of memory|MemoryError", text):
        return "finding", f"too much memory: {type(error).__name__}: {text[:150]}"
    if type(error) not in (ValueError, TypeError):
        return judge_error(error, path)
    try:
        text.encode()
    except UnicodeEncodeError:
        return "finding", "the message cannot be printed"
    if not text.startswith(str(path)):
        _, where = judge_error(error, path)
        return "finding", f"does not begin with the file: {where}"
    text = text.replace(str(path), "")
    if len(text) > 1500:
        return "finding", f"a message of {len(text)} characters: {text[:100]}"
    if not _PLACE.search(text) and not _WHOLE.search(text):
        return "finding", f"names no place: {text[:200]}"
    return "refused", ""


# --- labelling ------------------------------------------------------------------------------


def label(draw, file, path, found):
    """Label a file that was read; return what is wrong with the output, or None."""
    names, rows = found
    if not names:
        return None
    column = draw.choice(names)
    place = names.index(column)
    texts = [row.get(column) if isinstance(row, dict) else row[place] for row in rows]
    missing = draw.choice(("error", "skip"))
    target = path.with_name("labelled." + draw.choice(("csv", "tsv", "jsonl", "parquet", "csv.gz")))

    def predict(texts, report=None, decimals=None):
        return {"length": [len(text) for text in texts]}

    try:
        done = label_file(
            predict, ("length",), find_source(path, Dialect(**file.options)), target,
            text_column=column, possible=(), chunk_rows=draw.choice((1, 2, 5, 4096)),
            missing=missing, overwrite=True, verbose=0,
        )
    except (ValueError, TypeError) as error:
        outcome, text = judge(error, target if str(target) in str(error) else path)
        return text if outcome == "finding" else None
    kept = [text for text in texts if text is not None and text == text]
    if done.rows != len(kept) or done.rows + done.rows_left_out != len(texts):
        return f"{done.rows} rows of {len(texts)} with {len(kept)} texts"
    # A column of bytes stays one in Parquet.
    written, kept = (
        [text.decode() if isinstance(text, bytes) else text for text in texts]
        for texts in (read_output(target, str(column)), kept)
    )
    target.unlink()
    if written != kept:
        return f"{target.name}: the texts {written!r:.100} were written, and not {kept!r:.100}"
    return None


def read_output(path, column):
    """Return a column of a file, as other programs read it."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path).column(column).to_pylist()
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        if ".jsonl" in path.name:
            return [json.loads(line)[column] for line in file.read().split("\n") if line]
        header, *rows = csv.reader(
            file, delimiter="\t" if path.suffix == ".tsv" else ",", strict=True
        )
    return [row[header.index(column)] for row in rows]


# --- CSV and TSV ----------------------------------------------------------------------------

_PIECES = ('"', '""', ",", "\t", ";", "\n", "\r", "\r\n", "\n\n", "\\", "\\N", "\0", "\ufeff", "é",
           "a", "1", " ", "sep=;\n", ',"', '",', '"\n', '\n"', "x" * 1000, "\u2028", "\x0c")


def change_table(draw, content):
    """Insert, remove or repeat what matters in tables of text."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randrange(len(data) + 1)
        marks = [i for i, byte in enumerate(data) if byte in b'",\n\r\t']
        match draw.randrange(4):
            case 0 | 1:
                data[place:place] = draw.choice(_PIECES).encode()
            case 2 if marks:
                del data[draw.choice(marks)]
            case 3 if marks:
                i, j = sorted((draw.choice(marks), draw.choice(marks)))
                data[place:place] = data[i:j]
    return bytes(data)


class Csv(DataKind):
    """CSV in all dialects."""

    delimiters = (",", ",", ",", ";", "|", "\t", ":")
    suffix = "csv"
    default = ","

    def valid(self, draw):
        names, rows = draw_table(draw)
        header = draw.random() < 0.85
        options = {} if header else {"header": False}
        encoding = draw.choice(
            ("utf-8",) * 8 + ("utf-8-sig", "utf-16", "utf-32", "cp1252", "utf-16-le")
        )
        if encoding == "cp1252":
            names, rows = (_only(encoding, part) for part in (names, rows))
            names = list(dict.fromkeys(name or "x" for name in names))
            rows = [row[:len(names)] for row in rows]
        if encoding in ("cp1252", "utf-16-le"):
            options["encoding"] = encoding
        ends = draw.choice(("\n", "\n", "\r\n", "\r"))
        if ends == "\r":
            names = list(dict.fromkeys(name.replace("\n", " ") for name in names))
            rows = [[cell.replace("\n", " ") for cell in row[:len(names)]] for row in rows]
        delimiter = draw.choice(self.delimiters)
        quoting = csv.QUOTE_MINIMAL
        whole = names + [cell for row in rows for cell in row]
        begins = names[0] if header else rows[0][0]
        if draw.random() < 0.2 or any("\r" in cell for cell in whole) or begins[:1] == "\ufeff":
            # Before Python 3.11.9, it leaves a carriage return without quotes.
            quoting = csv.QUOTE_ALL
        escapes = draw.random() < 0.15
        if escapes:
            options["escapechar"] = "\\"
        told = draw.random() < 0.5
        if told:
            options["quoting"] = draw.choice(("minimal", csv.QUOTE_ALL))
        if delimiter != self.default or draw.random() < 0.3 or len(names) == 1:
            options["delimiter"] = delimiter
        written = io.StringIO()
        writer = csv.writer(
            written, delimiter=delimiter, quoting=quoting, lineterminator=ends,
            doublequote=not escapes, escapechar="\\" if escapes else None,
        )
        writer.writerows([names, *rows] if header else rows)
        if not header:
            names = list(map(str, range(len(names))))
            if rows[0][0].startswith("sep="):
                options["delimiter"] = delimiter
        text = written.getvalue()
        may_doubt = not told or "\t" in (options.get("delimiter"), delimiter)
        file = File(
            text.encode(encoding), f"table.{self.suffix}", options, names, rows, may_doubt
        )
        if not self.is_certain(file, text, delimiter):
            file.rows = file.names = None
        return file

    def is_certain(self, file, text, delimiter):
        """Return whether there is one right way to read a file."""
        first = text.split("\n")[0].split("\r")[0]
        guessed = "delimiter" not in file.options and not any(
            character in first for character in self.default
        )
        return not guessed and "quoting" in file.options or (
            # A tab or no quotes: what quotes mean is decided by the rows.
            not guessed and delimiter != "\t" or '"' not in text
        )

    def damage(self, draw, content):
        change = draw.choice((change_table,) * 5 + (change_bytes, change_bytes, change_lines))
        return change(draw, content), change.__name__

    def wrong(self, file, path, found):
        wrong = super().wrong(file, path, found)
        if wrong is not None or file.rows is not None:
            return wrong
        names, rows = found
        right = self.by_python(file, path)
        if isinstance(right, str):
            return f"loaded {rows!r:.80}, but {right}"
        header, right = right
        if len(set(header)) == len(header) and all(header) and names != header:
            return f"names {names} and not {header}"
        right = [[cell or None for cell in row] for row in right]
        if b"\r\r\n" in file.content:
            # The first carriage return ends a line for Python, and belongs to the end of it here.
            rows, right = ([row for row in part if any(row)] for part in (rows, right))
        if rows != right:
            return f"rows {rows!r:.120} and not {right!r:.120}"
        return None

    def by_python(self, file, path):
        """Return names and rows as Python's csv module reads them, or why it does not."""
        source = find_source(path, Dialect(**file.options))
        next(read_chunks(source, 1))
        layout = source.files[0].layout
        text = file.content.decode(layout.encoding)
        lines = io.StringIO(text, newline="")
        for _ in range(layout.skipped):
            next(lines)
        reader = csv.reader(
            _without_null(lines, layout), delimiter=layout.delimiter, escapechar=layout.escapechar,
            strict=True, quoting=csv.QUOTE_NONE if layout.quoting == "none" else csv.QUOTE_MINIMAL,
        )
        try:
            rows = list(reader)
        except csv.Error as error:
            return f"Python's csv: {error}"
        first = next(number for number, row in enumerate(rows) if row)
        width = len(rows[first])
        if layout.header or width > 1:
            rows = rows[first:]
        while not rows[-1]:
            rows.pop()
        rows = [row or [""] for row in rows if row or width == 1]
        if not layout.header:
            return list(map(str, range(width))), rows
        return rows[0], rows[1:]


def _without_null(lines, layout):
    """Yield lines, in which a missing cell of MySQL is empty."""
    between = re.escape(layout.delimiter)
    for line in lines:
        if layout.escapechar == "\\":
            line = re.sub(rf"(^|(?<={between}))\\N(?={between}|[\r\n]|$)", "", line)
        yield line


def _only(encoding, value):
    if isinstance(value, list):
        return [_only(encoding, item) for item in value]
    return value.encode(encoding, "ignore").decode(encoding)


class Tsv(Csv):
    """TSV: quoted like CSV, or with quotes that are part of the texts."""

    delimiters = ("\t",) * 6 + (",", ";")
    suffix = "tsv"
    default = "\t"

    def valid(self, draw):
        if draw.random() < 0.5:
            return super().valid(draw)
        names, rows = draw_table(draw)
        clean = str.maketrans("\t\r\n", "   ")
        names = list(dict.fromkeys(name.translate(clean) for name in names))
        rows = [[cell.translate(clean) for cell in row[:len(names)]] for row in rows]
        ends = draw.choice(("\n", "\r\n"))
        # An empty line is no row in most files.
        rows = [row if len(row) > 1 or row[0] else ["-"] for row in rows]
        text = "".join("\t".join(row) + ends for row in [names, *rows])
        options = {}
        if draw.random() < 0.5:
            options = {"quoting": draw.choice(("none", csv.QUOTE_NONE))}
        file = File(text.encode(), "table.tsv", options, names, rows)
        if not options and '"' in text or text.startswith("\ufeff"):
            file.rows = file.names = None
        return file


# --- JSON and lines -------------------------------------------------------------------------


def _draw_value(draw, depth=2):
    kind = draw.randrange(14)
    if kind < 8 or not depth:
        return draw_text(draw)
    if kind == 8:
        return draw.choice((None, True, False))
    if kind in (9, 10):
        return draw.choice((0, -1, 2**31, 2**53, 2**63 - 1, 2**63, -2**63 - 1, 10**30, 0.5, 1e300,
                            -0.0, math.inf))
    if kind == 11:
        return [_draw_value(draw, depth - 1) for _ in range(draw.randrange(3))]
    return {draw.choice(_NAMES): _draw_value(draw, depth - 1) for _ in range(draw.randrange(3))}


class JsonLines(DataKind):
    """JSON Lines."""

    name = "rows.jsonl"

    def valid(self, draw):
        keys = draw.sample(_NAMES, draw.choice((1, 2, 3, 5)))
        same = draw.random() < 0.5
        rows = []
        for _ in range(draw.choice((1, 2, 3, 5, 8))):
            chosen = keys if same else draw.sample(keys, draw.randrange(1, len(keys) + 1))
            rows.append({key: _draw_value(draw) for key in chosen})
        text = self.write(draw, rows)
        encoding = draw.choice(("utf-8",) * 8 + ("utf-8-sig", "utf-16", "utf-32"))
        if text.startswith("\ufeff"):
            text = " " + text
        return File(text.encode(encoding), self.name, {}, None, rows)

    def write(self, draw, rows):
        ends = draw.choice(("\n", "\r\n", "\n\n"))
        options = {
            "ensure_ascii": draw.random() < 0.3,
            "separators": draw.choice(((",", ":"), (", ", ": "), (" ,\t", " : "))),
        }
        text = ends.join(json.dumps(row, **options) for row in rows)
        return text + ends * draw.randrange(2)

    def damage(self, draw, content):
        changes = (change_bytes, change_lines, double_pair, replace_raw, wrap_text, change_table)
        change = draw.choice((*changes, self.change_line, self.change_line))
        try:
            return change(draw, content), change.__name__
        except (IndexError, ValueError):
            return change_bytes(draw, content), "change_bytes"

    def change_line(self, draw, content):
        lines = content.split(b"\n")
        i = draw.randrange(len(lines))
        lines[i] = change_json(draw, lines[i])
        return b"\n".join(lines)

    def may_refuse(self, file, message):
        # A single object of objects or arrays is a table by columns.
        return len(file.rows) == 1 and "for each column" in message

    def read(self, file, path, size):
        source = find_source(path, Dialect(**file.options))
        rows = []
        try:
            for frame in read_chunks(source, size):
                if len(frame) > size:
                    raise AssertionError(f"{path}: a chunk of {len(frame)} rows, line 0")
                for row in frame.to_dict("records"):
                    # A key that a row lacks is NaN, which JSON can also say.
                    rows.append({k: v for k, v in row.items() if not _is_nan(v)})
        except (ValueError, OSError) as error:
            return error
        return list(dict.fromkeys(key for row in rows for key in row)), rows

    def plain(self, found):
        # A chunk has the columns of all its rows, so their order may be another one.
        return str(found) if isinstance(found, Exception) else str(_sorted(found[1]))

    def wrong(self, file, path, found):
        right = file.rows
        if right is None:
            try:
                right = self.by_python(file, path)
            except ValueError as error:
                return f"loaded {found[1]!r:.80}, but Python's json: {error}"
        if self.plain(found) != str(_sorted(right)):
            return f"rows {found[1]!r:.120} and not {right!r:.120}"
        return None

    def by_python(self, file, path):
        """Return rows as Python's json module reads them, or raise a ValueError."""
        source = find_source(path, Dialect(**file.options))
        next(read_chunks(source, 1))
        text = file.content.decode(source.files[0].layout)
        if text.lstrip().startswith("["):
            rows = json.loads(text.lstrip(), object_pairs_hook=_each_once)
        else:
            lines = filter(str.strip, io.StringIO(text, newline=None))
            rows = [json.loads(line, object_pairs_hook=_each_once) for line in lines]
        return [{k: v for k, v in row.items() if not _is_nan(v)} for row in rows]


def _each_once(pairs):
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key appears twice")
    return dict(pairs)


def _is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def _sorted(rows):
    """Return rows with their keys in order."""
    return [dict(sorted(row.items())) for row in rows]


class Json(JsonLines):
    """An array of objects."""

    name = "rows.json"

    def write(self, draw, rows):
        return json.dumps(
            rows, ensure_ascii=draw.random() < 0.3, indent=draw.choice((None, 1, "\t"))
        )

    def change_line(self, draw, content):
        return change_json(draw, content)


class Lines(DataKind):
    """One text a line."""

    def valid(self, draw):
        lines = [
            draw_text(draw).replace("\r", "").replace("\n", " ")
            for _ in range(draw.choice((1, 2, 5, 9)))
        ]
        ends = draw.choice(("\n", "\n", "\r\n", "\r"))
        text = ends.join(lines) + ends * draw.randrange(2)
        while lines and not lines[-1]:
            lines.pop()
        file = File(text.encode(), "lines.txt", {}, ["text"], [[line] for line in lines])
        if not lines or text.startswith("\ufeff"):
            file.rows = None
        return file

    def damage(self, draw, content):
        change = draw.choice((change_bytes, change_lines, change_table))
        return change(draw, content), change.__name__


# --- Parquet --------------------------------------------------------------------------------


class Parquet(DataKind):
    """Parquet of many types."""

    same_error = False

    def valid(self, draw):
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = draw.sample(_NAMES, draw.choice((1, 2, 3)))
        count = draw.choice((1, 2, 5, 9))
        columns = [_draw_column(draw, count, first=not i) for i in range(len(names))]
        table = pa.table(columns, names=names)
        sink = io.BytesIO()
        pq.write_table(
            table, sink, row_group_size=draw.choice((1, 2, 100)),
            compression=draw.choice(("none", "snappy", "gzip", "zstd", "lz4")),
            use_dictionary=draw.random() < 0.5, data_page_version=draw.choice(("1.0", "2.0")),
            write_page_checksum=draw.random() < 0.3,
        )
        rows = [list(row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]
        return File(sink.getvalue(), "table.parquet", {}, names, rows)

    def damage(self, draw, content):
        if draw.random() < 0.5:
            return change_bytes(draw, content), "change_bytes"
        # The description of the file is at its end.
        data = bytearray(content)
        size = min(len(data) - 8, int.from_bytes(data[-8:-4], "little")) + 8
        for _ in range(draw.choice((1, 1, 2, 5))):
            place = len(data) - 1 - draw.randrange(size)
            data[place] = draw.choice((data[place] ^ 1 << draw.randrange(8), 0, 255, 127, 1))
        return bytes(data), "change_footer"

    def read(self, file, path, size):
        source = find_source(path, Dialect(**file.options))
        rows, names = [], []
        try:
            for frame in read_chunks(source, size, as_stored=True):
                names = list(frame.columns)
                columns = [
                    _to_list(frame[name].array.__arrow_array__()) for name in frame.columns
                ]
                rows += map(list, zip(*columns, strict=True))
        except (ValueError, OSError) as error:
            return error
        return names, rows

    def wrong(self, file, path, found):
        if file.rows is not None and repr(found) != repr((file.names, file.rows)):
            return f"{found!r:.120} and not {(file.names, file.rows)!r:.120}"
        return None


def _to_list(column):
    """Return the values of an array; dates beyond those of Python as whole numbers."""
    try:
        return column.to_pylist()
    except OverflowError:
        return column.cast("int64").to_pylist()


def _draw_column(draw, count, first):
    import datetime

    import pyarrow as pa

    texts = [draw.choice((None, draw_text(draw), draw_text(draw))) for _ in range(count)]
    if first or draw.random() < 0.4:
        kind = draw.choice((pa.string(), pa.string(), pa.large_string()))
        column = pa.array(texts, kind)
        return column.dictionary_encode() if draw.random() < 0.2 else column
    match draw.randrange(6):
        case 0:
            return pa.array([None if t is None else t.encode() for t in texts], pa.binary())
        case 1:
            return pa.array([draw.randrange(-2**63, 2**63) for _ in range(count)], pa.int64())
        case 2:
            return pa.array([draw.choice((0.5, None, -1e300, math.inf)) for _ in range(count)],
                            pa.float64())
        case 3:
            return pa.array([draw.choice((True, False, None)) for _ in range(count)])
        case 4:
            return pa.array([[t] for t in texts], pa.list_(pa.string()))
        case _:
            return pa.array(
                [datetime.datetime(2020, 1, draw.randrange(1, 28)) for _ in range(count)],
                pa.timestamp("us"),
            )


# --- Excel ----------------------------------------------------------------------------------


class Excel(DataKind):
    """Workbooks."""

    labelled = 1

    @functools.cached_property
    def books(self):
        """Workbooks with the rows that are in them."""
        import random

        import openpyxl

        draw, books = random.Random(0), []
        for _ in range(20):
            names, rows = draw_table(draw)
            names, rows = (_for_excel(part) for part in (names, rows))
            if len(set(names)) < len(names) or not all(names):
                continue
            book = openpyxl.Workbook()
            for number, row in enumerate([names, *rows], 1):
                for column, cell in enumerate(row, 1):
                    if cell:
                        place = book.active.cell(number, column, cell)
                        place.data_type = "s"  # also if it looks like a formula
            file = io.BytesIO()
            book.save(file)
            while rows and not any(rows[-1]):
                rows.pop()
            if rows:
                books.append((names, rows, file.getvalue()))
        return books

    def valid(self, draw):
        names, rows, content = draw.choice(self.books)
        return File(content, "book.xlsx", {}, names, rows)

    def damage(self, draw, content):
        if draw.random() < 0.3:
            return change_bytes(draw, content), "change_bytes"
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        name = draw.choice([
            "xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml",
            "xl/workbook.xml", "xl/_rels/workbook.xml.rels", "[Content_Types].xml",
            "xl/styles.xml",
        ])
        name = name if name in entries else "xl/worksheets/sheet1.xml"
        data = entries[name]
        match draw.randrange(6):
            case 0:
                entries[name] = change_bytes(draw, data)
            case 1:
                del entries[name]
            case 2:
                places = list(re.finditer(rb'"[^"]*"', data))
                place = draw.choice(places)
                value = draw.choice((b'""', b'"A1"', b'"XFD1048576"', b'"ZZZZZZZ1"', b'"-1"',
                                     b'"s"', b'"n"', b'"inlineStr"', b'"99999999999"', b'"1E9"'))
                entries[name] = data[:place.start()] + value + data[place.end():]
            case 3:
                places = list(re.finditer(rb">[^<]*<", data))
                place = draw.choice(places)
                value = draw.choice((b"><", b">99999999<", b">-1<", b">x<", b">NaN<", b"><v>1</v><",
                                     b">1e999<", b">&amp;<", b">&a;<", b">_x000D_<"))
                entries[name] = data[:place.start()] + value + data[place.end():]
            case 4:
                bomb = (b'<!DOCTYPE x [<!ENTITY a "' + b"a" * 10_000 + b'"><!ENTITY b "'
                        + b"&a;" * 10_000 + b'"><!ENTITY c "' + b"&b;" * 1000 + b'">]>')
                head, _, tail = data.partition(b"?>") if b"?>" in data else (b"", b"", data)
                body = tail.replace(b"<t>", b"<t>&c;", 1)
                entries[name] = (head + b"?>" if head else b"") + bomb + body
            case 5:
                tags = list(re.finditer(rb"<[^>]*>", data))
                i, j = draw.choice(tags), draw.choice(tags)
                entries[name] = data[:i.start()] + j[0] * draw.choice((0, 1, 2)) + data[i.end():]
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, value in entries.items():
                archive.writestr(key, value)
        return written.getvalue(), f"changed {name}"

    def bomb(self, draw):
        _, _, content = draw.choice(self.books)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        name, before, much, after = draw.choice((
            ("xl/sharedStrings.xml", b"<t>", b"a" * (1 << 20), b""),
            ("xl/sharedStrings.xml", b"<si>", b"<t>a</t></si><si>" * (1 << 16), b""),
            ("xl/styles.xml", b"<cellXfs", b"", b" " * (1 << 20)),
            ("xl/worksheets/sheet1.xml", b"<sheetData>", b'<row r="%d"><c r="A1"/></row>', b""),
            ("xl/worksheets/sheet1.xml", b"<sheetData>", b"<row>" + b"<c/>" * (1 << 16)
             + b"</row>", b""),
            ("docProps/core.xml", b"<", b"!--" + b"a" * (1 << 20) + b"--><", b""),
        ))
        times = _BOMB >> 20
        data = entries.get(name, b"<sst><si><t>a</t></si></sst>")
        place = data.find(before) + len(before)
        if b"%d" in much:
            much, times = much % draw.choice((10**6, 10**9, 2**31, 10**18)), 1
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for key, value in entries.items():
                if key != name:
                    archive.writestr(key, value)
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(data[:place])
                for _ in range(times):
                    entry.write(much + after)
                entry.write(data[place:])
        return File(written.getvalue(), "book.xlsx")


def _for_excel(value):
    if isinstance(value, list):
        return [_for_excel(item) for item in value]
    # XML has no such characters, and its readers change line ends.
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\r\uffff]", "", value)


# --- compressed files -----------------------------------------------------------------------


def _zst(content):
    import zstandard

    return zstandard.ZstdCompressor().compress(content)


# What is repeated, and how it begins. Empty lines would be read to the end, which takes long.
_BOMBS = {
    "csv": ((b"", b"a"), (b"", b"a,b\n"), (b"", b'"'), (b"", b","), (b"", b" "),
            (b"text,label\n", b'"a\n'), (b"text\n", b"a"), (b"text\n", b'"a""'),
            (b"a,b\n", b"1,\n"), (b'a,b\n1,"', b"b\n")),
    "jsonl": ((b"", b"["), (b"", b'{"a":'), (b'{"a": "', b"a"), (b"[", b'{"a": 1},'), (b"", b"1"),
              (b"", b'{"a": 1}\n'), (b'{"a": [', b"1,"), (b'{"a": [', b"{},"), (b"", b" "),
              (b"[", b" "), (b"[", b"[],")),
    "txt": ((b"", b"a"), (b"", b"a\n"), (b"", b"a\r")),
    "tsv": ((b"", b"a"), (b"", b"\t"), (b"a\tb\n", b'"\t'), (b'a\tb\n"1\t"', b"\t1\n")),
}


class Compressed(DataKind):
    """CSV, TSV, JSON Lines and lines of text that are compressed in one way."""

    compression = ""
    pack = None

    def __init__(self, seeds):
        super().__init__(seeds)
        self.inner = {kind.__name__: kind(seeds) for kind in (Csv, Csv, JsonLines, Lines, Tsv)}
        self.bombs = {}

    def valid(self, draw):
        kind = draw.choice(list(self.inner.values()))
        file = kind.valid(draw)
        self.kind = kind
        file.content = self.packed(file.content, file.name)
        file.name += f".{self.compression}"
        return file

    def packed(self, content, name):
        """Return compressed content; `name` is that of the file without compression."""
        del name
        return type(self).pack(content)

    def damage(self, draw, content):
        if draw.random() < 0.2:
            return content + draw.choice((content, b"\0", b"x", content[:9])), "more"
        return change_bytes(draw, content), "change_bytes"

    def bomb(self, draw):
        suffix = draw.choice(list(_BOMBS))
        number = draw.randrange(len(_BOMBS[suffix]))
        if (suffix, number) not in self.bombs:
            self.bombs[suffix, number] = self.write_bomb(
                f"bomb.{suffix}", *_BOMBS[suffix][number]
            )
        # Without being told what quotes mean, the whole of a .tsv is read, which takes long.
        options = {"quoting": "minimal"} if suffix == "tsv" else {}
        return File(self.bombs[suffix, number], f"bomb.{suffix}.{self.compression}", options)

    def write_bomb(self, name, before, much):
        # Compressed files can be put together.
        piece = much * ((4 << 20) // len(much))
        return self.packed(before, name) + self.packed(piece, name) * (_BOMB // len(piece))

    def read(self, file, path, size):
        return self.kind.read(file, path, size)

    def plain(self, found):
        return self.kind.plain(found)

    def wrong(self, file, path, found):
        if file.rows is None:
            return None  # what it contains is not known
        return self.kind.wrong(file, path, found)

    def may_refuse(self, file, message):
        return self.kind.may_refuse(file, message)


class Gzip(Compressed):
    compression, pack = "gz", staticmethod(lambda content: gzip.compress(content, 5, mtime=0))


class Bzip2(Compressed):
    compression, pack = "bz2", staticmethod(bz2.compress)


class Xz(Compressed):
    compression = "xz"
    pack = staticmethod(lambda content: lzma.compress(content, preset=0))


class Zstandard(Compressed):
    compression, pack = "zst", staticmethod(_zst)


class Zip(Compressed):
    compression = "zip"

    def packed(self, content, name):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
        return file.getvalue()

    def write_bomb(self, name, before, much):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            with archive.open(name, "w", force_zip64=True) as entry:
                entry.write(before)
                for _ in range(_BOMB >> 20):
                    entry.write(much * ((1 << 20) // len(much)))
        return file.getvalue()


KINDS = {
    "csv": Csv,
    "tsv": Tsv,
    "jsonl": JsonLines,
    "json": Json,
    "txt": Lines,
    "parquet": Parquet,
    "xlsx": Excel,
    "gz": Gzip,
    "bz2": Bzip2,
    "xz": Xz,
    "zst": Zstandard,
    "zip": Zip,
}
