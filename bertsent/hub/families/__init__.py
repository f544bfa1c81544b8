"""The supported model families: one file each, and a table of all."""

from collections.abc import Mapping

from bertsent.hub.families.base import Family, Head
from bertsent.hub.families.bert import BERT
from bertsent.hub.families.distilbert import DISTILBERT
from bertsent.hub.families.electra import ELECTRA
from bertsent.hub.families.mpnet import MPNET
from bertsent.hub.families.roberta import ROBERTA

__all__ = ["FAMILIES", "Family", "Head"]

# By the model_type in config.json. If it has none, the first family that fits is used.
FAMILIES: Mapping[str, Family] = {
    family.model_type: family for family in (BERT, DISTILBERT, ELECTRA, MPNET, ROBERTA)
}
