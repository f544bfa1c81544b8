"""Write parameters.md, beside this file, from the tables in the package.

    python docs/make_parameters.py
"""

import textwrap
from pathlib import Path

from bertsent.classifier import PARAMETERS
from bertsent.pretraining import PRETRAINING

TARGET = Path(__file__).with_name("parameters.md")


def render():
    """The page."""
    own = [p for p in PRETRAINING if p not in PARAMETERS]
    aliases = ", ".join(
        f"`{alias}` is short for `{p.flags[-1]}`" for p in PARAMETERS for alias in p.aliases
    )
    parts = [
        "<!-- Made by docs/make_parameters.py from the tables in the package; edit those. -->",
        "# Parameters",
        _fill(
            "`BertClassifier` takes these as keywords. `bertsent train` takes them as flags, with "
            "dashes for underscores: `max_length` is `--max-length`. A parameter that is True or "
            "False is a flag without a value. [Training](training.md) explains how they work "
            "together, and [terms](usage.md#terms) what a step, a layer or the pooler is. "
            f"`BertRegressor` has the same, without {_only('classification')} and with "
            f"{_only('regression')}; the classifier does not have the latter."
        ),
        _table(PARAMETERS),
        "\n".join(_fill(text, "- ") for text in (
            f"**Flags.** {aliases}. On the command line, the seed is 0 by default. There is no "
            f"flag for {_names(p for p in PARAMETERS if not p.on_command_line)}.",
            "**Members.** If `members` is a list, each member may have its own "
            f"{_names(p for p in PARAMETERS if p.per_member)}.",
            "**Resumed runs.** These may have new values in a run that is resumed: "
            f"{_names(p for p in PARAMETERS if p.resume == 'any')}. "
            f"{_names(p for p in PARAMETERS if p.resume == 'resolved')} may be written in another "
            "way, if the effect is the same: for example, another name for the same model. All "
            "other parameters must have the same values as before; if not, the error names those "
            "that differ.",
            "**Saved models.** `bertsent evaluate` and `bertsent predict` have flags for "
            f"{_names(p for p in PARAMETERS if p.at_prediction is not None)}. All other "
            "parameters keep the values that they had in training.",
        )),
        "## Pretraining",
        _fill(
            "`bertsent.pretrain` and `bertsent pretrain` share "
            f"{_names(p for p in PRETRAINING if p in PARAMETERS)} with the classifier. These "
            "parameters are specific to pretraining, or have another default or meaning there:"
        ),
        _table(own),
    ]
    return "\n\n".join(parts) + "\n"


def _fill(text, bullet=""):
    return textwrap.fill(
        text, 100, initial_indent=bullet, subsequent_indent=" " * len(bullet),
        break_long_words=False, break_on_hyphens=False,
    )


def _table(parameters):
    rows = ["| parameter | default | allowed values | meaning |", "| --- | --- | --- | --- |"]
    rows += [
        f"| `{p.name}` | `{_spelled(p.default)}` | {p.allowed} | {p.help} |" for p in parameters
    ]
    return "\n".join(rows)


def _spelled(value):
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _only(task):
    return _names(p for p in PARAMETERS if p.task == task)


def _names(parameters):
    *others, last = (f"`{p.name}`" for p in parameters)
    return f"{', '.join(others)} and {last}" if others else last


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
