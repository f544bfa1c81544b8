#include "tokenizer/bpe_words.h"

#include "tokenizer/cache.h"

#define GROUP 128 /* words to load ahead */

/* Words of a stretch that are loaded and not yet looked up. */
typedef struct {
    bs_loaded_word words[GROUP]; /* of a word that is too long only the length is valid */
    int64_t starts[GROUP];
    int n;
} word_group;

static void word_load(const bs_tokenizer *tok, const bs_bytes *buffer, int64_t start, int64_t end,
                      word_group *group)
{
    bs_loaded_word *word = &group->words[group->n];
    word->length = (uint32_t)(end - start);
    bs_word_load(buffer->bytes + start, word->length <= BS_SHORT ? word->length : 0, &word->low,
                 &word->high);
    word->hash = (uint32_t)bs_word_hash(word->low, word->high);
    bs_bpe_expect(&tok->bpe, word->hash);
    group->starts[group->n++] = start;
}

/* Writes the pieces of one word. */
static bs_status word_encode(const bs_tokenizer *tok, bs_scratch *scratch,
                             const bs_loaded_word *word, int64_t start, int32_t *to,
                             int64_t *count, bs_error *e)
{
    const uint8_t *bytes = scratch->bytes.bytes + start;
    *count = 1;
    if (word->length > BS_SHORT)
        return bs_bpe_split(&tok->bpe, &scratch->merging, bytes, word->length, to, count, e);
    *to = bs_bpe_find(&tok->bpe, word->low, word->high, word->length, word->hash);
    if (*to >= 0)
        return BS_OK;
    bs_cached_word *slot = bs_cache_slot(scratch, word);
    if (slot != NULL && bs_cache_holds(slot, word)) {
        *count = slot->count;
        memcpy(to, slot->ids, sizeof *to * (size_t)slot->count);
        return BS_OK;
    }
    if (bs_bpe_split(&tok->bpe, &scratch->merging, bytes, word->length, to, count, e) != BS_OK)
        return e->status;
    if (slot != NULL)
        bs_cache_put(slot, word, to, *count);
    return BS_OK;
}

/* The characters of the pieces [first, ids->n), which are the bytes from `at` on. */
static void pieces_place(const bs_tokenizer *tok, const bs_bytes *buffer, int64_t at,
                         int64_t first, bs_ids *ids)
{
    for (int64_t i = first; i < ids->n; i++) {
        const int32_t id = ids->data[i];
        const int64_t stop = at + tok->bpe.starts[id + 1] - tok->bpe.starts[id];
        ids->spans[i] = (bs_span){buffer->sources[at], buffer->sources[stop - 1]};
        at = stop;
    }
}

static bs_status group_encode(const bs_tokenizer *tok, bs_scratch *scratch, word_group *group,
                              int64_t enough, bs_ids *ids, bs_error *e)
{
    for (int i = 0; i < group->n && ids->n < enough; i++) {
        const bs_loaded_word *word = &group->words[i];
        const int64_t first = ids->n;
        int64_t count = 0;
        if (word_encode(tok, scratch, word, group->starts[i], ids->data + first, &count, e)
            != BS_OK)
            return e->status;
        ids->n += count;
        if (ids->track)
            pieces_place(tok, &scratch->bytes, group->starts[i], first, ids);
    }
    group->n = 0;
    return BS_OK;
}

/* Appends the pieces of the words in the first `end` bytes. */
static bs_status words_encode(const bs_tokenizer *tok, bs_scratch *scratch, int64_t end,
                              int64_t enough, bs_ids *ids, bs_error *e)
{
    const bs_bytes *buffer = &scratch->bytes;
    word_group group = {.n = 0};
    int64_t start = 0;
    if (bs_ids_reserve(ids, end, e) != BS_OK) /* each piece is at least one byte */
        return e->status;
    for (int64_t i = 0; i < end && ids->n < enough; i += 8) {
        uint64_t cuts;
        memcpy(&cuts, buffer->cuts + i + 1, 8); /* the ends of words: see bs_bytes_cut */
        for (; cuts != 0; cuts &= cuts - 1) {
            const int64_t stop = i + 1 + __builtin_ctzll(cuts) / 8;
            if (stop > end)
                break;
            word_load(tok, buffer, start, stop, &group);
            start = stop;
            if (group.n == GROUP
                && group_encode(tok, scratch, &group, enough, ids, e) != BS_OK)
                return e->status;
        }
    }
    return group_encode(tok, scratch, &group, enough, ids, e);
}

bs_status bs_bpe_encode(const bs_tokenizer *tok, bs_scratch *scratch, const bs_text *text,
                        int64_t from, int64_t to, bool last, int64_t enough, bs_ids *ids,
                        int64_t *bad, bs_error *e)
{
    bs_bytes *buffer = &scratch->bytes;
    *bad = -1;
    if (bs_bytes_reserve(buffer, to - from + 1, e) != BS_OK)
        return e->status;
    if (tok->bpe_options.add_prefix_space && buffer->begins && from < to) {
        int64_t at = from;
        if (bs_text_next(text, &at, to) != ' ')
            bs_bytes_add_space(buffer, from);
    }
    buffer->begins = last;
    if (bs_bytes_append(buffer, &tok->classes, text, from, to, bad) != BS_OK)
        return BS_ERR_VALUE;
    if (buffer->n > INT32_MAX)
        return bs_error_set(e, BS_ERR_MEMORY, -1, "a word of %lld bytes is too long",
                            (long long)buffer->n);
    const int64_t end = bs_bytes_cut(buffer, last);
    if (words_encode(tok, scratch, end, enough, ids, e) != BS_OK)
        return e->status;
    bs_bytes_drop(buffer, end);
    return BS_OK;
}

void bs_bpe_trim(const bs_tokenizer *tok, bs_ids *ids, int64_t first, int64_t last)
{
    for (int64_t i = first; i < last; i++) {
        const int32_t id = ids->data[i];
        const uint8_t *bytes = tok->bpe.pool + tok->bpe.starts[id];
        const int64_t n = tok->bpe.starts[id + 1] - tok->bpe.starts[id];
        bs_span *span = &ids->spans[i];
        int64_t before = 0, after = 0;
        while (before < n && bytes[before] == ' ')
            before++;
        while (after < n && bytes[n - 1 - after] == ' ')
            after++;
        if (before > 0) {
            /* A single one may have been added, and is then in no span. */
            if (before == 1 && tok->bpe_options.add_prefix_space
                && (i == first || span->start == 0))
                before = 0;
            span->start = span->start + before < span->stop ? span->start + before : span->stop;
        }
        if (after > 0 && span->stop >= after)
            span->stop = span->stop - after > span->start ? span->stop - after : span->start;
    }
}
