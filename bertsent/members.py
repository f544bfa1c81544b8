"""Several members of one classifier: how many there are, and what each of them trains with.

`members` is their number or, where they are not to be alike, one dictionary for each, of what it
has otherwise than the classifier.
"""

import json

# What a member may have of its own: how it is trained, and how much it reads at once.
OWN = (
    "max_length", "long_text", "stride", "epochs", "batch_size", "learning_rate", "weight_decay",
    "warmup_ratio", "schedule", "layer_decay", "head_learning_rate", "accumulate_steps",
    "label_smoothing", "max_grad_norm", "freeze_layers", "freeze_dropout", "frozen_cache",
)


def is_list(members):
    """Whether they have parameters of their own."""
    return isinstance(members, list | tuple)


def count_members(members):
    """How many there are."""
    return len(members) if is_list(members) else int(members)


def member_parameters(parameters):
    """All parameters of each member, in which `members` is their number.

    Parameters
    ----------
    parameters : dict
        Those of the classifier.

    Returns
    -------
    list of dict
    """
    members = parameters["members"]
    together = parameters | {"members": count_members(members)}
    if not is_list(members):
        return [together] * together["members"]
    return [together | own for own in members]


def parse_members(text):
    """What a command line says: a number, or a list of dictionaries as JSON has it."""
    return int(text) if text.isdecimal() else json.loads(text)
