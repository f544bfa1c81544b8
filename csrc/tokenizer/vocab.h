/* The vocabulary: bytes of a piece -> id, in one probe for whole words, and id -> bytes.
 *
 * A piece is a whole word, or a tail, which continues a word and is looked up without its
 * prefix. */
#ifndef BS_TOKENIZER_VOCAB_H
#define BS_TOKENIZER_VOCAB_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/status.h"
#include "tokenizer/text.h"

#define BS_SHORT 16 /* longest piece that is compared in two registers */
#define BS_TAIL 32  /* added to the length of a short tail */
#define BS_LENGTHS 8192

typedef struct {
    uint64_t low, high;
    uint32_t length; /* plus BS_TAIL for a tail; 0: the slot is free */
    int32_t id;
} bs_short_slot;

typedef struct {
    uint32_t start, length; /* in the pool; length 0: free */
    uint32_t hash;
    int32_t id;
} bs_long_slot;

typedef struct {
    uint8_t *pool;      /* all tokens one after the other, and 16 extra bytes */
    int64_t *starts;    /* size + 1 */
    int64_t size;       /* ids in [0, size) */
    bs_short_slot *short_slots;
    bs_long_slot *long_slots; /* words only */
    uint32_t short_mask, long_mask;
    /* These two, which are small enough to stay in the cache, rule out most of what is not in the
     * vocabulary: one bit per hash of a short piece, four for each slot, and, by a hash of the
     * first three bytes of short words and tails, one bit per length that exists. */
    uint64_t *filter;
    uint16_t (*lengths)[BS_LENGTHS]; /* [2] */
} bs_vocab;

/* Copies the tokens (UTF-8; a token of length 0 is an unused id). Of equal tokens the last is
 * found; a token of more than `max_chars` characters is never found, since it cannot be a word. */
bs_status bs_vocab_init(bs_vocab *vocab, const bs_text *tokens, int64_t n_tokens,
                        const bs_text *prefix, int64_t max_chars, bs_error *e);
void bs_vocab_clear(bs_vocab *vocab);

/* Whether a token begins with ASCII punctuation and is longer: punctuation is a word by itself, so
 * no word is such a token. */
bool bs_token_is_no_word(const uint8_t *bytes, int64_t length);

/* Masks for the bytes of the two registers that belong to a word of each length. */
extern const uint64_t bs_word_masks[BS_SHORT + 1][2];

/* Loads a word of `length` <= 16 bytes into two registers. Reads 16 bytes from `bytes` on. */
static inline void bs_word_load(const uint8_t *bytes, uint32_t length, uint64_t *low,
                                uint64_t *high)
{
    memcpy(low, bytes, 8);
    memcpy(high, bytes + 8, 8);
    *low &= bs_word_masks[length][0];
    *high &= bs_word_masks[length][1];
}

static inline uint64_t bs_word_hash(uint64_t low, uint64_t high)
{
    uint64_t h = (low ^ (high << 29 | high >> 35)) * 0x9E3779B97F4A7C15ull;
    h ^= h >> 32;
    return h * 0xD6E8FEB86659FD93ull >> 32;
}

/* Prefetches for a word with that hash, which will be looked up soon. */
static inline void bs_vocab_expect(const bs_vocab *vocab, uint64_t hash)
{
    __builtin_prefetch(&vocab->short_slots[(uint32_t)hash & vocab->short_mask]);
}

/* The id of a word of 1 to 16 bytes, or of a tail if `length` includes BS_TAIL, or -1. */
static inline int32_t bs_vocab_find_short(const bs_vocab *vocab, uint64_t low, uint64_t high,
                                          uint32_t length, uint64_t hash)
{
    for (uint32_t at = (uint32_t)hash & vocab->short_mask;; at = (at + 1) & vocab->short_mask) {
        const bs_short_slot *slot = &vocab->short_slots[at];
        if (slot->low == low && slot->high == high && slot->length == length)
            return slot->id;
        if (slot->length == 0)
            return -1;
    }
}

/* The id of a word of more than 16 bytes, or -1. */
int32_t bs_vocab_find_long(const bs_vocab *vocab, const uint8_t *bytes, int64_t length);

/* Splits a word of 1 to 16 bytes that is not in the vocabulary as a whole into the longest possible
 * pieces. Returns their number; 0 if some part is not in the vocabulary. At most 135 lengths are
 * tried. */
int bs_vocab_split_short(const bs_vocab *vocab, uint64_t low, uint64_t high, uint32_t length,
                         int32_t *ids);

#endif
