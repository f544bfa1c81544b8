#include "tokenizer/words.h"

#include <stdlib.h>

#include "tokenizer/cache.h"

#define GROUP 128      /* words to load ahead */

static bs_status words_reserve(bs_scratch *scratch, int64_t words, bool track, bs_error *e)
{
    if (scratch->cap_words >= words)
        return BS_OK;
    free(scratch->starts);
    free(scratch->ends);
    free(scratch->pieces);
    scratch->starts = malloc(sizeof *scratch->starts * (size_t)words);
    scratch->ends = malloc(sizeof *scratch->ends * (size_t)words);
    scratch->pieces = track ? malloc(sizeof *scratch->pieces * (size_t)words) : NULL;
    scratch->cap_words = words;
    if (scratch->starts == NULL || scratch->ends == NULL || (track && scratch->pieces == NULL)) {
        scratch->cap_words = 0;
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the words of a text");
    }
    return BS_OK;
}

static inline int bits_count(uint64_t bits)
{
    bits -= bits >> 1 & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
    return (int)(((bits + (bits >> 4)) & 0x0F0F0F0F0F0F0F0Fu) * 0x0101010101010101u >> 56);
}

/* Writes the positions of the set bits in groups of eight, and so up to seven meaningless ones
 * after them: a branch per bit would be mispredicted more often. */
static inline int64_t positions_put(uint32_t *to, int64_t n, uint64_t bits, uint32_t base)
{
    const int64_t end = n + bits_count(bits);
    for (; n < end; n += 8)
        for (int k = 0; k < 8; k++) {
            to[n + k] = base + (uint32_t)__builtin_ctzll(bits | 1ull << 63);
            bits &= bits - 1;
        }
    return end;
}

/* Lists where words start and end, including a word that reaches the end of the buffer. */
static int64_t words_list(const bs_normbuf *norm, uint32_t *starts, uint32_t *ends)
{
    int64_t n_starts = 0, n_ends = 0;
    uint64_t carry = 0;
    for (int64_t i = 0; i <= norm->n >> 6; i++) {
        const uint64_t word = norm->word[i], cut = norm->cut[i];
        const uint64_t before = word << 1 | carry;
        n_starts = positions_put(starts, n_starts, word & (~before | cut), (uint32_t)i * 64);
        n_ends = positions_put(ends, n_ends, before & (~word | cut), (uint32_t)i * 64);
        carry = word >> 63;
    }
    return n_starts;
}

/* Splits a word that is not in the vocabulary as a whole into its pieces, or one [UNK]. */
static int64_t word_split(const bs_tokenizer *tok, const uint8_t *bytes, int64_t length,
                          int32_t *ids)
{
    const int64_t limit = tok->options.max_word_chars;
    if (length > limit) { /* there are at least as many bytes as characters */
        int64_t chars = 0;
        for (int64_t i = 0; i < length && chars <= limit; i++)
            chars += (bytes[i] & 0xC0) != 0x80;
        if (chars > limit) {
            ids[0] = tok->options.unk_id;
            return 1;
        }
    }
    int64_t n;
    if (length <= BS_SHORT) {
        uint64_t low, high;
        bs_word_load(bytes, (uint32_t)length, &low, &high);
        n = bs_vocab_split_short(&tok->vocab, low, high, (uint32_t)length, ids);
    } else {
        ids[0] = bs_vocab_find_long(&tok->vocab, bytes, length);
        n = ids[0] >= 0 ? 1 : bs_wordpiece_split(&tok->wordpiece, bytes, length, ids);
    }
    if (n > 0)
        return n;
    ids[0] = tok->options.unk_id;
    return 1;
}

/* The same with the cache, for a word of at most 16 bytes. */
static inline int64_t word_split_cached(const bs_tokenizer *tok, bs_scratch *scratch,
                                        const uint8_t *bytes, const bs_loaded_word *word,
                                        int32_t *ids)
{
    bs_cached_word *slot = bs_cache_slot(scratch, word);
    if (slot == NULL)
        return word_split(tok, bytes, word->length, ids);
    if (bs_cache_holds(slot, word)) {
        for (int i = 0; i < slot->count; i++)
            ids[i] = slot->ids[i];
        return slot->count;
    }
    const int64_t n = word_split(tok, bytes, word->length, ids);
    bs_cache_put(slot, word, ids, n);
    return n;
}

/* Loads words before they are looked up, so that the vocabulary is prefetched meanwhile. Of a word
 * that is too long only the length is valid. */
static inline void words_load(const bs_tokenizer *tok, const bs_scratch *scratch, int64_t first,
                              int64_t count, bs_loaded_word *words)
{
    for (int64_t k = 0; k < count; k++) {
        const uint32_t start = scratch->starts[first + k];
        const uint32_t length = scratch->ends[first + k] - start;
        bs_loaded_word *word = &words[k];
        bs_word_load(scratch->norm.bytes + start, length <= BS_SHORT ? length : 0, &word->low,
                     &word->high);
        word->hash = (uint32_t)bs_word_hash(word->low, word->high);
        word->length = length;
        bs_vocab_expect(&tok->vocab, word->hash);
    }
}

/* Writes the pieces of the words in the buffer, up to `stop`. Returns the end of the pieces, and in
 * *n_words the number of words looked up. `track` is a constant: it costs nothing if false. */
static inline int32_t *words_look_up(const bs_tokenizer *tok, bs_scratch *scratch,
                                     int64_t *n_words, int32_t *to, const int32_t *stop,
                                     bool track)
{
    const int32_t *const first = to;
    const int64_t n = *n_words;
    bs_loaded_word words[GROUP];
    int64_t i = 0;
    while (i < n && to < stop) {
        int64_t count = n - i < GROUP ? n - i : GROUP;
        if (count > stop - to) /* each word is at least one piece */
            count = stop - to;
        words_load(tok, scratch, i, count, words);
        for (int64_t k = 0; k < count; k++, i++) {
            const bs_loaded_word *word = &words[k];
            const uint8_t *bytes = scratch->norm.bytes + scratch->starts[i];
            if (track)
                scratch->pieces[i] = (uint32_t)(to - first);
            if (word->length > BS_SHORT) {
                to += word_split(tok, bytes, word->length, to);
                continue;
            }
            const int32_t id = bs_vocab_find_short(&tok->vocab, word->low, word->high,
                                                   word->length, word->hash);
            if (id >= 0)
                *to++ = id;
            else
                to += word_split_cached(tok, scratch, bytes, word, to);
        }
    }
    *n_words = i;
    return to;
}

/* Sets the spans of the pieces of `n_words` words, whose ids are [ids->n, n). */
static void words_place(const bs_tokenizer *tok, const bs_scratch *scratch, int64_t n_words,
                        bs_ids *ids, int64_t n)
{
    const int64_t *sources = scratch->norm.sources;
    const int64_t *lengths = tok->vocab.starts;
    for (int64_t i = 0; i < n_words; i++) {
        const int64_t first = ids->n + scratch->pieces[i];
        const int64_t end = i + 1 < n_words ? ids->n + scratch->pieces[i + 1] : n;
        int64_t at = scratch->starts[i];
        for (int64_t k = first; k < end; k++) {
            const int32_t id = ids->data[k];
            int64_t stop = scratch->ends[i]; /* end of the last piece, or of a whole word */
            if (k + 1 < end)
                stop = at + lengths[id + 1] - lengths[id] - (k > first ? tok->prefix_length : 0);
            ids->spans[k] = (bs_span){sources[at], sources[stop - 1]};
            at = stop;
        }
    }
}

bs_status bs_words_encode(const bs_tokenizer *tok, bs_scratch *scratch, bool last, int64_t enough,
                          bs_ids *ids, bs_error *e)
{
    bs_normbuf *norm = &scratch->norm;
    int64_t keep = 0;

    if (last)
        bs_normbuf_flush(norm);
    if (norm->n > UINT32_MAX - 2 * BS_NORM_SLACK)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "a word is too long for its characters' places");
    if (words_reserve(scratch, norm->n + 64, ids->track, e) != BS_OK
        || bs_ids_reserve(ids, norm->n + 64, e) != BS_OK)
        return BS_ERR_MEMORY;
    int64_t n_words = words_list(norm, scratch->starts, scratch->ends);
    if (!last && n_words > 0 && scratch->ends[n_words - 1] == norm->n
        && !(norm->cut[norm->n >> 6] >> (norm->n & 63) & 1)) {
        n_words--;
        keep = norm->n - scratch->starts[n_words];
    }

    int32_t *to = ids->data + ids->n;
    const int32_t *stop = ids->data + (enough < ids->capacity ? enough : ids->capacity);
    if (ids->track) {
        to = words_look_up(tok, scratch, &n_words, to, stop, true);
        words_place(tok, scratch, n_words, ids, to - ids->data);
    } else {
        to = words_look_up(tok, scratch, &n_words, to, stop, false);
    }
    ids->n = to - ids->data;
    bs_normbuf_restart(norm, keep, 4 * (tok->options.max_word_chars + 1));
    return BS_OK;
}
