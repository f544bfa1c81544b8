"""`Explanation`: the score of each word of a text, as data, as a page and in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from bertsent.explanation.digits import write_score
from bertsent.explanation.page import render, render_cell
from bertsent.explanation.terminal import lay_out
from bertsent.system import expand_path

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

    from bertsent.texts import Text

# Explanations that a notebook or a terminal shows of many.
MOST_SHOWN = 10
# Words whose scores are smaller than this part of the largest are not marked.
LEAST_MARKED = 0.1


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a text got its prediction: a score for each of its words.

    `BertClassifier.explain` returns these. In a notebook, the text is shown with its words
    coloured and underlined; `str` shows it in 80 columns of a terminal.

    Attributes
    ----------
    text : str or tuple of two str
        The text or pair, without tags if the classifier strips them.
    row : object
        Its number, or its index label if X had an index.
    target : str
        What is explained: the name of a class, of a label or of a number.
    prediction : dict
        The prediction and its confidence, as in `predict_batches`.
    method : str
        How the scores were computed, "integrated_gradients" or "occlusion".
    explained : str
        Unit of scores and output: "log-odds" of the target, or "prediction" for numbers.
    starts, ends : ndarray of int64, shape (n_words,)
        Where each word begins, and where it ends, in characters.
    parts : ndarray of int64, shape (n_words,)
        0 for words of the text, or of the first text of a pair; 1 for those of the second.
    scores : ndarray of float64, shape (n_words,)
        What each word adds to the output of the target. NaN for words that are not read, and for
        those in `unmasked`.
    output : float
        The output of the target that is explained.
    baseline : float
        Its output if all words are masked; NaN for occlusion.
    error : float
        Integrated gradients: how far the sum of the scores is from `output` - `baseline`, as a
        share of the sum of the scores of tokens, in each window, without their signs; the largest
        one of all members. NaN for occlusion.
    steps : int
        Number of gradients of each token; 0 for occlusion.
    unmasked : ndarray of int64
        Occlusion with `n_words`: the numbers of the words that are read, by a model or by the
        linear model of words, but were not masked. Their scores are NaN.
    """

    text: Text
    row: Any
    target: str
    prediction: dict[str, Any] = field(repr=False)
    method: str
    explained: str
    starts: npt.NDArray[np.int64] = field(repr=False)
    ends: npt.NDArray[np.int64] = field(repr=False)
    parts: npt.NDArray[np.int64] = field(repr=False)
    scores: npt.NDArray[np.float64] = field(repr=False)
    output: float
    baseline: float
    error: float
    steps: int
    unmasked: npt.NDArray[np.int64] = field(
        default_factory=lambda: np.empty(0, np.int64), repr=False
    )

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Explanations that version 0.1.0 pickled left no word out.
        vars(self).update({"unmasked": np.empty(0, np.int64)} | state)

    @property
    def texts(self) -> tuple[str, ...]:
        """The text, or both texts of a pair."""
        return (self.text,) if isinstance(self.text, str) else self.text

    @property
    def words(self) -> list[str]:
        """The words, as they are written."""
        each = zip(self.parts.tolist(), self.starts.tolist(), self.ends.tolist(), strict=True)
        return [self.texts[part][start:end] for part, start, end in each]

    @property
    def strengths(self) -> npt.NDArray[np.float64]:
        """The scores, divided by the largest one without its sign; 0 for small ones and NaN."""
        sizes = np.nan_to_num(self.scores)
        found: npt.NDArray[np.float64] = sizes / max(np.abs(sizes).max(initial=0.0), 1e-300)
        found[np.abs(found) < LEAST_MARKED] = 0.0
        return found

    def to_frame(self) -> pd.DataFrame:
        """Return the words as a table.

        Returns
        -------
        DataFrame
            One row for each word, in the order of the text: ``row``, ``target``, ``word``,
            ``start``, ``end`` and ``score``. For pairs also ``part``, 1 or 2.
        """
        import pandas as pd

        # A label of several levels is a tuple, which would be taken for a column.
        columns: dict[str, Any] = {"row": [self.row] * len(self.scores), "target": self.target}
        if len(self.texts) > 1:
            columns["part"] = self.parts + 1
        words = pd.Series(self.words, dtype=object)
        return pd.DataFrame(columns | {
            "word": words, "start": self.starts, "end": self.ends, "score": self.scores
        })

    def top(self, n: int = 10) -> npt.NDArray[np.int64]:
        """Return the numbers of the words with the largest scores, without regard to signs."""
        order = np.argsort(-np.abs(np.nan_to_num(self.scores)), kind="stable")[:n]
        found: npt.NDArray[np.int64] = order[np.nan_to_num(self.scores)[order] != 0]
        return found

    @property
    def headline(self) -> str:
        """What is explained, in a line."""
        label, *numbers = self.prediction.values()
        said = f"{label:.4g}" if isinstance(label, float) else f"{label}" or "nothing"
        output, baseline = (
            write_score(value, self.explained, 2) for value in (self.output, self.baseline)
        )
        line = f"{self.target}: {self.explained} {output}"
        if self.method == "integrated_gradients":
            line += f", {baseline} with all words masked"
        name = next(iter(self.prediction)).replace("_", " ")
        sure = f" ({numbers[0]:.2f})" if len(numbers) == 1 else ""
        return line if self.explained == "prediction" else f"{line}; {name}: {said}{sure}"

    @property
    def footnote(self) -> str:
        """How the scores were computed, in a line."""
        line = self.method.replace("_", " ")
        if self.method == "integrated_gradients":
            line += f", {self.steps} steps, error {self.error:.1%}"
        if len(self.unmasked):
            masked = int((~np.isnan(self.scores)).sum())
            line += f" of the {masked:,} strongest words by integrated gradients"
        unread = int(np.isnan(self.scores).sum()) - len(self.unmasked)
        return line + (f"; {unread:,} words are not read" if unread else "")

    def __str__(self) -> str:
        return lay_out([self])

    def _repr_html_(self) -> str:
        return render_cell([self])


class Explanations(Sequence[Explanation]):
    """The explanations of several texts, in their order.

    Parameters
    ----------
    items : iterable of Explanation
    """

    def __init__(self, items: Sequence[Explanation]) -> None:
        self._items = list(items)

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, at: int) -> Explanation: ...

    @overload
    def __getitem__(self, at: slice) -> Explanations: ...

    def __getitem__(self, at: int | slice) -> Explanation | Explanations:
        return Explanations(self._items[at]) if isinstance(at, slice) else self._items[at]

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self._items)

    def to_frame(self) -> pd.DataFrame:
        """Return the words of all texts as a table; see `Explanation.to_frame`."""
        import pandas as pd

        if not self:
            return pd.DataFrame(columns=["row", "target", "word", "start", "end", "score"])
        return pd.concat([each.to_frame() for each in self], ignore_index=True)

    def to_html(self, title: str = "Explanations") -> str:
        """Return a page of HTML without scripts, readable in light and dark.

        Parameters
        ----------
        title : str, default="Explanations"
        """
        return render(self, title)

    def save_html(
        self, path: str | PathLike[str], title: str = "Explanations", overwrite: bool = False
    ) -> None:
        """Write `to_html` to a file.

        Parameters
        ----------
        path : str or path-like
        title : str, default="Explanations"
        overwrite : bool, default=False
            Whether to replace the file if it exists.

        Raises
        ------
        FileExistsError
            The file exists, and `overwrite` is false.
        """
        from bertsent.files import atomic_write, check_output

        check_output(path, overwrite, is_table=False)
        atomic_write(expand_path(path), self.to_html(title).encode("utf-8", "replace"))

    def __repr__(self) -> str:
        return f"Explanations of {len(self)} text{'s' if len(self) != 1 else ''}"

    def __str__(self) -> str:
        return lay_out(self._items[:MOST_SHOWN], *_further(len(self)))

    def _repr_html_(self) -> str:
        return render_cell(self._items[:MOST_SHOWN], *_further(len(self)))


def _further(count: int) -> list[str]:
    more = count - MOST_SHOWN
    return [f"and {more:,} more texts"] if more > 0 else []
