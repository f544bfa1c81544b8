/* Byte-pair encoding: a word's bytes -> its pieces (Sennrich et al. 2016; of bytes as in Radford et
 * al. 2019).
 *
 * At first, each byte is a piece. Of all adjacent pieces for which there is a merge, those of the
 * first merge in the list are joined, the leftmost first, until no merge applies. */
#ifndef BS_TOKENIZER_BPE_H
#define BS_TOKENIZER_BPE_H

#include "tokenizer/vocab.h"

typedef struct {
    uint64_t pair; /* ids of two pieces, the left one in the upper half */
    int32_t rank;  /* number of the merge, or -1: the slot is free */
    int32_t id;    /* the piece that they become */
} bs_bpe_merge;

typedef struct {
    uint8_t *pool;   /* the bytes of all tokens, one after the other */
    int64_t *starts; /* size + 1; a token that no text contains has no bytes */
    int64_t size;
    int32_t bytes[256]; /* the token of each byte */
    bs_bpe_merge *merges;
    uint32_t merge_mask;
    bs_short_slot *words; /* words of up to 16 bytes that become one token */
    uint32_t word_mask;
} bs_bpe;

/* Memory for the words of one thread; zero it before the first use. */
typedef struct {
    int32_t *before, *after; /* of each piece; -1 at the ends, and `before` -2 once it was joined */
    uint64_t *heap;          /* rank of a merge in the upper half, and the place of its left piece */
    int64_t capacity;
} bs_bpe_scratch;

/* `tokens` and `merges` are written in the alphabet of byte-level tokenizers, in which each byte is
 * a printable character; a merge is two tokens with a space between them. A token of other
 * characters, or of length 0, never comes out of a text. Fails if a byte has no token, a merge names
 * one that does not exist, or a token contains a surrogate. */
bs_status bs_bpe_init(bs_bpe *bpe, const bs_text *tokens, int64_t n_tokens, const bs_text *merges,
                      int64_t n_merges, bs_error *e);
void bs_bpe_clear(bs_bpe *bpe);

/* Writes the pieces of a word, at most `length`, and their number to *count. */
bs_status bs_bpe_split(const bs_bpe *bpe, bs_bpe_scratch *scratch, const uint8_t *bytes,
                       int64_t length, int32_t *ids, int64_t *count, bs_error *e);
void bs_bpe_scratch_free(bs_bpe_scratch *scratch);

/* The token of a word of 1 to 16 bytes that becomes a single one, or -1. */
static inline int32_t bs_bpe_find(const bs_bpe *bpe, uint64_t low, uint64_t high, uint32_t length,
                                  uint64_t hash)
{
    for (uint32_t at = (uint32_t)hash & bpe->word_mask;; at = (at + 1) & bpe->word_mask) {
        const bs_short_slot *slot = &bpe->words[at];
        if (slot->low == low && slot->high == high && slot->length == length)
            return slot->id;
        if (slot->length == 0)
            return -1;
    }
}

static inline void bs_bpe_expect(const bs_bpe *bpe, uint64_t hash)
{
    __builtin_prefetch(&bpe->words[(uint32_t)hash & bpe->word_mask]);
}

#endif
