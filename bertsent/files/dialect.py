"""How a text file is written: what separates and quotes its cells, and its encoding."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypedDict

from bertsent.files.formats import Format, recognise
from bertsent.wording import spell


class DialectOptions(TypedDict, total=False):
    """The options of `Dialect` as keywords."""

    delimiter: str | None
    quoting: Literal["minimal", "none"] | int | None
    escapechar: str | None
    encoding: str | None
    errors: Literal["strict", "replace"]
    header: bool | None
    format: str | None


@dataclass(frozen=True)
class Dialect:
    r"""How a text file is written, as far as its name and content do not tell.

    Formats ignore what does not concern them: JSON Lines have no delimiter, and Parquet has no
    encoding.

    Parameters
    ----------
    delimiter : str or None, default=None
        The character between cells. None means a comma in .csv and a tab in .tsv. If a .csv has
        another character in place of commas in its header, that one is used, with a warning.
    quoting : {"minimal", "none"}, a constant of `csv`, or None, default=None
        "minimal": a cell may be enclosed in double quotes, and may then contain delimiters, line
        breaks and doubled quotes. "none": quotes are characters of the text. None means "minimal",
        or "none" where the delimiter is a tab, unless the file is evidently quoted.
    escapechar : str or None, default=None
        A character that makes the next one literal, such as a backslash in ``\"``.
    encoding : str or None, default=None
        None means UTF-8, or UTF-16 or UTF-32 if the file begins with their byte order mark.
    errors : {"strict", "replace"}, default="strict"
        What to do with bytes that are invalid in the encoding, and with halves of surrogate pairs:
        raise an error, or put U+FFFD in their place.
    header : bool, default=True
        Whether the first row has the names of the columns. Otherwise, columns are called by their
        number, counted from 0. None is the same as False, as in pandas.
    format : str or None, default=None
        The format of a file whose name does not tell it, as an extension such as "csv" or "tsv.gz".
    """

    delimiter: str | None = None
    quoting: Any = None
    escapechar: str | None = None
    encoding: str | None = None
    errors: str = "strict"
    header: Any = True
    format: str | None = None

    def __post_init__(self) -> None:
        for name in ("delimiter", "escapechar"):
            value = getattr(self, name)
            if value is not None and (
                not isinstance(value, str) or len(value) != 1 or value in '"\r\n\0'
            ):
                raise ValueError(
                    f"{spell(name, value)}: expected one character, which is not a quote or a "
                    "line break"
                )
        if self.delimiter is not None and self.delimiter == self.escapechar:
            raise ValueError(f"{spell('delimiter')} and {spell('escapechar')} must differ")
        # The constants of the csv module; what differs between the first three is how files are
        # written.
        quoting = {0: "minimal", 1: "minimal", 2: "minimal", 3: "none"}.get(
            self.quoting if isinstance(self.quoting, int) else -1, self.quoting
        )
        if quoting not in (None, "minimal", "none"):
            raise ValueError(f"{spell('quoting', quoting)}: expected 'minimal' or 'none'")
        object.__setattr__(self, "quoting", quoting)
        if self.errors not in ("strict", "replace"):
            raise ValueError(f"{spell('errors', self.errors)}: expected 'strict' or 'replace'")
        if self.header is not None and not isinstance(self.header, bool):
            raise ValueError(
                f"{spell('header', self.header)}: expected True (the first row has the names of "
                "the columns) or False"
            )
        object.__setattr__(self, "header", bool(self.header))
        if self.encoding is not None:
            _check_encoding(self.encoding)
        _ = self.told_format

    @classmethod
    def of(cls, options: Mapping[str, Any], caller: str) -> Dialect:
        """Return a dialect from the keyword arguments of a function."""
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                alias = {"sep": "delimiter", "encoding_errors": "errors"}.get(name)
                near = [alias] if alias else difflib.get_close_matches(name, known, 1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                raise TypeError(f"{caller}() got an unexpected keyword argument {name!r}{meant}")
        return cls(**options)

    @property
    def is_table(self) -> bool:
        """Whether the dialect describes a table: only tables have what is set."""
        told = (self.delimiter, self.quoting, self.escapechar)
        return any(value is not None for value in told) or not self.header

    @property
    def told_format(self) -> Format | None:
        """The format that `format` tells."""
        if self.format is None:
            return None
        found = isinstance(self.format, str) and recognise(f"x.{self.format.lstrip('.')}")
        if not found or not found.kind:
            raise ValueError(
                f"{spell('format', self.format)}: expected an extension such as 'csv', 'tsv', "
                "'jsonl', 'txt', 'parquet', 'xlsx' or 'csv.gz'"
            )
        return found


def _check_encoding(name: object) -> None:
    try:
        # Not every codec is an encoding: "hex" and "zip" are codecs too.
        if isinstance(name, str) and codecs.lookup(name)._is_text_encoding:
            "".encode(name)
            return
    except (LookupError, UnicodeError, ValueError):
        pass
    raise ValueError(
        f"{spell('encoding', name)}: Python knows no such encoding of text; common ones are "
        "'utf-8', 'utf-16', 'cp1252' and 'latin-1'"
    )
