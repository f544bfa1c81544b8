"""Read a folder in the layout of aclImdb, which has one text a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from bertsent.wording import spell

if TYPE_CHECKING:
    from bertsent.files.sources import Source


def is_split(folder: Path) -> bool:
    """Return whether a folder has separate train and test parts."""
    return (folder / "train").is_dir() and (folder / "test").is_dir()


def read_folder(source: Source, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the labelled texts of an aclImdb folder, or of its train or test folder, in chunks."""
    assert source.folder is not None
    path, dialect = source.folder, source.dialect
    parts = ["train", "test"] if is_split(path) else [""]
    items = []
    found = False
    for part in parts:
        for folder, label in (("pos", "positive"), ("neg", "negative")):
            if not (path / part / folder).is_dir():
                raise ValueError(
                    f"{source} is not an aclImdb folder: {path / part / folder} is missing"
                )
            for file in sorted((path / part / folder).glob("*.txt")):
                found = True
                try:
                    text = file.read_text(dialect.encoding or "utf-8", dialect.errors)
                except UnicodeError as error:
                    raise ValueError(
                        f"{file} is not {dialect.encoding or 'UTF-8'} ({error}); pass "
                        f"{spell('encoding')}, or {spell('errors', 'replace')}"
                    ) from None
                items.append((text, label, part, f"{folder}/{file.name}"))
                if len(items) == rows:
                    yield _frame(items)
                    items = []
    if not found:
        raise ValueError(f"{source} contains no texts (pos/*.txt, neg/*.txt)")
    if items:
        yield _frame(items)


def _frame(items: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    return pd.DataFrame(items, columns=["review", "sentiment", "part", "file"], dtype=object)


def folder_texts(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name within the folder, and the path, of each text."""
    for file in sorted(folder.glob("**/*.txt")):
        if file.parent.name in ("pos", "neg"):
            yield file.relative_to(folder).as_posix(), file
