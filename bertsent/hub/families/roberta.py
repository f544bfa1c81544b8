"""RoBERTa (Liu et al. 2019): BERT trained for longer, with a vocabulary of pieces of bytes."""

from bertsent.hub.families.base import Family, Head
from bertsent.hub.families.bert import BERT
from bertsent.hub.families.mpnet import MPNET

__all__ = ["ROBERTA"]

ROBERTA = Family(
    model_type="roberta",
    name="RoBERTa",
    examples=("roberta-base", "distilroberta-base"),
    class_stem="Roberta",
    prefix="roberta.",
    keys={key: name for key, name in BERT.keys.items() if key != "pad_token_id"},
    # As in RobertaConfig of transformers. The padding token is the same in all models: positions
    # begin after its id.
    defaults={**BERT.defaults, "pad_token_id": 1},
    required={"pad_token_id": 1},
    encoder={role: name.replace("bert.", "roberta.", 1) for role, name in BERT.encoder.items()},
    classifier=Head(
        kind="dropout_dense_tanh",
        parts={
            "dense layer": {"head.dense": "classifier.dense"},
            "classifier": {"head.output": "classifier.out_proj"},
        },
    ),
    masked_lm=MPNET.masked_lm,
    tokenizer_class="RobertaTokenizer",
    special_tokens={
        "bos": "<s>",
        "eos": "</s>",
        "unk": "<unk>",
        "cls": "<s>",
        "sep": "</s>",
        "pad": "<pad>",
        "mask": "<mask>",
    },
    tokenizer_kind="byte-level BPE",
    pair_separators=2,
    position_offset=2,
    ignored=("lm_head.", "roberta.pooler.", "pooler."),
)
