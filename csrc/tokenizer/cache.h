/* A cache of words that are not in the vocabulary as a whole: they recur, as names do. */
#ifndef BS_TOKENIZER_CACHE_H
#define BS_TOKENIZER_CACHE_H

#include <stdlib.h>
#include <string.h>

#include "tokenizer/tokenizer.h"

#define BS_CACHE_AFTER 64 /* words to split before a cache is worth its memory */

/* A word of at most 16 bytes in two registers. */
typedef struct {
    uint64_t low, high;
    uint32_t hash, length;
} bs_loaded_word;

/* The slot of a word, or NULL while there is no cache. A new entry replaces the one in its slot, so
 * that no text can make the cache slow. */
static inline bs_cached_word *bs_cache_slot(bs_scratch *scratch, const bs_loaded_word *word)
{
    if (scratch->cache == NULL) {
        if (++scratch->n_split > BS_CACHE_AFTER) /* it may fail: then there is none */
            scratch->cache = calloc(BS_CACHE_WORDS, sizeof *scratch->cache);
        return NULL;
    }
    return &scratch->cache[word->hash % BS_CACHE_WORDS];
}

static inline bool bs_cache_holds(const bs_cached_word *slot, const bs_loaded_word *word)
{
    return slot->low == word->low && slot->high == word->high && slot->length == word->length;
}

static inline void bs_cache_put(bs_cached_word *slot, const bs_loaded_word *word,
                                const int32_t *ids, int64_t n)
{
    if (n > BS_CACHE_IDS)
        return;
    slot->low = word->low;
    slot->high = word->high;
    slot->length = word->length;
    slot->count = (int32_t)n;
    memcpy(slot->ids, ids, sizeof *ids * (size_t)n);
}

#endif
