"""BERT (Devlin et al. 2019), which includes MiniLM and most sentence encoders."""

from bertsent.hub.families.base import Family, Head

__all__ = ["BERT"]

_LAYER = "bert.encoder.layer.{}."

BERT = Family(
    model_type="bert",
    name="BERT",
    examples=("bert-base-uncased", "all-MiniLM-L6-v2"),
    class_stem="Bert",
    prefix="bert.",
    keys={
        "vocab_size": "vocab_size",
        "hidden_size": "hidden_size",
        "num_hidden_layers": "num_hidden_layers",
        "num_attention_heads": "num_attention_heads",
        "intermediate_size": "intermediate_size",
        "max_position_embeddings": "max_position_embeddings",
        "type_vocab_size": "type_vocab_size",
        "hidden_act": "hidden_act",
        "layer_norm_eps": "layer_norm_eps",
        "hidden_dropout_prob": "hidden_dropout_prob",
        "attention_probs_dropout_prob": "attention_probs_dropout_prob",
        "classifier_dropout": "classifier_dropout",
        "pooling": "classifier_pooling",
        "initializer_range": "initializer_range",
        "pad_token_id": "pad_token_id",
    },
    # As in BertConfig of transformers.
    defaults={
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pooling": "cls",
        "initializer_range": 0.02,
        "pad_token_id": 0,
    },
    encoder={
        "embeddings.word": "bert.embeddings.word_embeddings",
        "embeddings.position": "bert.embeddings.position_embeddings",
        "embeddings.token_type": "bert.embeddings.token_type_embeddings",
        "embeddings.norm": "bert.embeddings.LayerNorm",
        "layer.{}.attention.query": _LAYER + "attention.self.query",
        "layer.{}.attention.key": _LAYER + "attention.self.key",
        "layer.{}.attention.value": _LAYER + "attention.self.value",
        "layer.{}.attention.output": _LAYER + "attention.output.dense",
        "layer.{}.attention.norm": _LAYER + "attention.output.LayerNorm",
        "layer.{}.feed_forward.up": _LAYER + "intermediate.dense",
        "layer.{}.feed_forward.down": _LAYER + "output.dense",
        "layer.{}.feed_forward.norm": _LAYER + "output.LayerNorm",
    },
    classifier=Head(
        kind="pooled",
        parts={
            "pooler": {"head.dense": "bert.pooler.dense"},
            "classifier": {"head.output": "classifier"},
        },
    ),
    masked_lm=Head(
        kind="masked_lm",
        parts={
            "head for masked tokens": {
                "masked_lm.dense": "cls.predictions.transform.dense",
                "masked_lm.norm": "cls.predictions.transform.LayerNorm",
                "masked_lm.output": "cls.predictions",
            },
        },
        tied="cls.predictions.decoder.weight",
        aliases={"cls.predictions.decoder.bias": "cls.predictions.bias"},
    ),
    tokenizer_class="BertTokenizer",
    special_tokens={
        "unk": "[UNK]",
        "cls": "[CLS]",
        "sep": "[SEP]",
        "pad": "[PAD]",
        "mask": "[MASK]",
    },
    # Names in the first models, which were converted from TensorFlow.
    renamed=((r"LayerNorm\.gamma$", "LayerNorm.weight"), (r"LayerNorm\.beta$", "LayerNorm.bias")),
    ignored=("cls.",),
)
