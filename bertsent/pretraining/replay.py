"""Train a run of `pretrain` again, and compare it with its log: `verify_pretraining`."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from bertsent.classifier import Comparison, Verification, read_parameters, repeat_runs
from bertsent.pretraining.parameters import PRETRAINING, check_pretraining
from bertsent.pretraining.run import pretrain_again
from bertsent.system import expand_path
from bertsent.training import PRETRAINING_TASK, read_log

if TYPE_CHECKING:
    from bertsent.texts import Texts
    from bertsent.training import RecordedRun

_DEFAULTS = {p.name: p.default for p in PRETRAINING}


def verify_pretraining(
    run: str | PathLike[str],
    texts: Texts,
    *,
    model: str | PathLike[str] | None = None,
    n_threads: int | None = None,
    verbose: int = 1,
) -> Verification:
    """Train a run of `pretrain` again, and say whether all bits agree or which step differs first.

    The run must have been trained with `hash_every`. As for `verify`, its log says everything
    else, nothing is written, and texts and initial weights are compared by their hashes first.

    Parameters
    ----------
    run : str or path-like
        The `log_file` of the run. If it contains several runs, the last one is verified.
    texts : list, Series or array of str
        The texts that were passed to `pretrain`, in the same order.
    model : str, path-like or None, default=None
        The model that the run started from. None means the name in the log.
    n_threads : int or None, default=None
        Number of threads, as for `BertClassifier`.
    verbose : int, default=1
        0 for silence, 1 for progress.

    Returns
    -------
    result : Verification
        True if all bits agree. Its string says it in words.

    Raises
    ------
    CheckpointError
        The log is damaged, has no hashes or is of another task, or texts or initial weights are
        not those of the run.
    FileNotFoundError
        There is no such log or model.
    KeyboardInterrupt
        Ctrl-C was pressed, or SIGTERM or SIGHUP received.
    ValueError
        The run was trained in a precision that this machine does not have.

    Examples
    --------
    >>> import bertsent
    >>> import pandas as pd
    >>> data = pd.read_csv("tickets.csv")
    >>> result = bertsent.pretrain(
    ...     data["text"], "hashed-bert", model="bert-base-uncased", random_state=0,
    ...     log_file="pretraining.jsonl", hash_every=2,
    ... )
    >>> bertsent.verify_pretraining("pretraining.jsonl", data["text"]).agrees
    True
    """
    return verify_pretraining_run(
        read_log(expand_path(run)), texts, model=model, n_threads=n_threads, verbose=verbose,
    )


def verify_pretraining_run(
    runs: list[RecordedRun],
    texts: Texts,
    *,
    model: str | PathLike[str] | None = None,
    n_threads: int | None = None,
    verbose: int = 1,
) -> Verification:
    """Verify what `read_log` returned. Parameters are as for `verify_pretraining`."""

    def repeat(past: RecordedRun, comparison: Comparison) -> None:
        parameters = recorded_pretraining(past)
        parameters |= {
            "callbacks": comparison, "n_threads": n_threads, "verbose": verbose,
            "model": parameters["model"] if model is None else model,
        }
        pretrain_again(texts, parameters, past)

    return repeat_runs(runs, repeat)


def recorded_pretraining(past: RecordedRun) -> dict[str, Any]:
    """Return the parameters of a run, without those of the machine, which a log must not choose."""
    past.line["task"].text(PRETRAINING_TASK)
    return _DEFAULTS | read_parameters(
        past.line["parameters"], lambda found: check_pretraining(_DEFAULTS | found)
    )
