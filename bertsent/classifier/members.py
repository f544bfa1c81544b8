"""The members of a classifier: their number and their parameters.

The parameter `members` is their number, or a list with one dictionary for each member: the
parameters in which it differs from the classifier.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard


def is_list(members: object) -> TypeGuard[Sequence[Mapping[str, Any]]]:
    """Return whether `members` is a list, so that members have their own parameters."""
    return isinstance(members, list | tuple)


def count_members(members: Any) -> int:
    """Return the number of members."""
    return len(members) if is_list(members) else int(members)


def member_parameters(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all parameters of each member.

    Parameters
    ----------
    parameters : dict
        Parameters of the classifier.

    Returns
    -------
    list of dict
        One for each member. `members` is their number in all of them.
    """
    members = parameters["members"]
    together = {**parameters, "members": count_members(members)}
    if not is_list(members):
        return [together] * together["members"]
    return [{**together, **own} for own in members]
