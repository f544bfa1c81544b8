"""Vectors in a file, by the hash of their text, so that no text is computed twice.

The file is a database of SQLite, which several threads and processes may use at once. It contains
hashes and numbers: nothing in it is executed, and no text can be read from it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING

import numpy as np

from bertsent.system import expand_path, warn
from bertsent.wording import spell

if TYPE_CHECKING:
    import numpy.typing as npt

# What SQLite stores in the header for us, so that files of other programs are never written to.
_APPLICATION, _VERSION = 0x42534E54, 1
# Keys of one query; SQLite allowed 999 values before version 3.32.
_AT_ONCE = 900
# Seconds to wait for another process. It holds the file while it writes one batch of vectors.
_PATIENCE = 60.0
_TABLE = "CREATE TABLE vectors (key BLOB PRIMARY KEY NOT NULL, vector BLOB NOT NULL)"


class VectorCache:
    """Vectors of texts by their keys.

    A file that may not be written is read, and nothing is stored in it.

    Parameters
    ----------
    path : str or path-like
        The file, which is created if it does not exist.
    size : int
        Number of values of a vector.

    Raises
    ------
    OSError
        The file cannot be opened, or it may not be written and has no vectors yet.
    ValueError
        The file belongs to another program, or is damaged.
    """

    def __init__(self, path: str | PathLike[str], size: int) -> None:
        self.path, self.size = expand_path(path), size
        where, folder = spell("cache", str(self.path)), self.path.absolute().parent
        if self.path.is_dir():
            raise IsADirectoryError(f"{where} is a directory; choose the name of a file in it")
        if not folder.is_dir():
            raise FileNotFoundError(f"{where}: there is no directory {folder}; create it first")
        # A write also needs a journal beside the file.
        self.read_only = self.path.exists() and not (
            os.access(self.path, os.W_OK) and os.access(folder, os.W_OK)
        )
        if self.read_only:
            with self._connection() as connection:
                if self._is_empty(connection):
                    raise PermissionError(f"{where} has no vectors yet, and may not be written")
            return
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")  # one process creates the table
            if self._is_empty(connection):
                connection.execute(_TABLE)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            connection.execute("COMMIT")

    def _is_empty(self, connection: sqlite3.Connection) -> bool:
        """Return whether the table is still missing; raise if the file is none of ours."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if (application, version, tables) == (0, 0, 0):
            return True
        if (application, version) != (_APPLICATION, _VERSION):
            raise ValueError(
                f"{spell('cache', str(self.path))} is a database of another program, or of "
                "another version of bertsent; choose another name"
            )
        return False

    def get(self, keys: Sequence[bytes]) -> dict[bytes, npt.NDArray[np.float32]]:
        """Return the vectors (float32, little-endian) of those keys that are there."""
        found: dict[bytes, npt.NDArray[np.float32]] = {}
        with self._connection() as connection:
            for begin in range(0, len(keys), _AT_ONCE):
                some = keys[begin : begin + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = connection.execute(
                    f"SELECT key, vector FROM vectors WHERE key IN ({marks})", some
                )
                for key, content in rows:
                    if not isinstance(content, bytes) or len(content) != 4 * self.size:
                        raise self._damaged("a vector has another size")
                    found[key] = np.frombuffer(content, "<f4")
        return found

    def put(self, vectors: Mapping[bytes, npt.NDArray[np.float32]]) -> None:
        """Store vectors, all or none. Those whose keys are there already stay as they are.

        Nothing is stored in a file that may not be written, and a warning says so once.
        """
        if self.read_only:
            warn(
                f"{spell('cache', str(self.path))} may not be written; its vectors are used, but "
                "new ones are not added"
            )
            return
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT OR IGNORE INTO vectors VALUES (?, ?)",
                ((key, vector.astype("<f4").tobytes()) for key, vector in vectors.items()),
            )
            connection.execute("COMMIT")

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open the file for some statements; what is not committed when they fail is undone."""
        where = spell("cache", str(self.path))
        try:
            # Of its own for each call: threads and child processes must not share one. Some
            # relative names have a meaning for SQLite, such as :memory:.
            with contextlib.closing(sqlite3.connect(
                self.path.absolute().as_uri() + ("?mode=ro" if self.read_only else ""), uri=True,
                timeout=_PATIENCE, isolation_level=None,
            )) as connection:
                yield connection
        except sqlite3.OperationalError as error:
            raise OSError(f"{where} cannot be used: {error}") from None
        except sqlite3.DatabaseError as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, why: str) -> ValueError:
        return ValueError(
            f"{spell('cache', str(self.path))} is damaged or no cache of vectors ({why}); delete "
            "it, or choose another name"
        )
