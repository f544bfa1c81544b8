#include "tokenizer/bpe.h"

#include <stdlib.h>

#define FEW 32 /* pieces of which the best pair is found by looking at all */
#define NO_RANK INT32_MAX
#define MOST_TOKENS (INT32_MAX / 8)
#define MOST_SHOWN 40 /* characters of a merge in a message */
#define NOT_BYTES (-1)
#define SURROGATE (-2)
#define NO_SPACE (-3)
#define REMOVED (BS_SHORT + 1) /* length of a slot that is neither free nor found */
#define AHEAD 32               /* tokens or merges whose places in the tables are fetched at once */
#define MOST_AHEAD 48          /* longest merge that is read ahead */
#define FILTER_BITS 19

/* Tokens of more than BS_SHORT bytes, while the merges are read. */
typedef struct {
    int32_t *ids; /* open addressing; -1: free */
    uint32_t mask;
} token_table;

/* The bytes of a merge. */
typedef struct {
    int64_t n_left, n_right; /* of its parts; the first is NO_SPACE or one is not positive: wrong */
    const uint8_t *bytes;
    int32_t left, right, both;
    uint8_t own[MOST_AHEAD + BS_SHORT];
} merge_bytes;

/* What is needed while the vocabulary is read. */
typedef struct {
    token_table longs;
    struct token_origin *origins;
    int32_t *made;    /* the token that each merge makes */
    uint8_t *bytes;   /* of a long merge */
    uint64_t *filter; /* a bit for each hash of a pair that has a merge */
    merge_bytes *ahead;
} bpe_work;

/* How a token is made, while the vocabulary is read. */
typedef struct token_origin {
    int32_t left, right;
    int32_t rank;  /* of its merge */
    uint8_t times; /* merges that make it: 0, 1, or 2 for more */
    bool plain;    /* a byte, or made by a single merge, of plain tokens that are made before it */
    bool whole;    /* its bytes become this token; only if it is plain */
} token_origin;

static uint32_t slots_for(int64_t count)
{
    uint32_t size = 64;
    while (size < count * 2)
        size *= 2;
    return size;
}

static uint32_t hash_bytes(const uint8_t *bytes, int64_t length)
{
    uint64_t h = (uint64_t)length * 0x9E3779B97F4A7C15ull;
    for (int64_t i = 0; i < length; i++)
        h = (h ^ bytes[i]) * 0x100000001B3ull;
    h ^= h >> 29;
    return (uint32_t)(h * 0xD6E8FEB86659FD93ull >> 32);
}

static int32_t table_find(const token_table *table, const bs_bpe *bpe, const uint8_t *bytes,
                          int64_t length)
{
    for (uint32_t at = hash_bytes(bytes, length) & table->mask;; at = (at + 1) & table->mask) {
        const int32_t id = table->ids[at];
        if (id < 0)
            return -1;
        const int64_t start = bpe->starts[id];
        if (bpe->starts[id + 1] - start == length
            && memcmp(bpe->pool + start, bytes, (size_t)length) == 0)
            return id;
    }
}

static void table_put(token_table *table, const uint8_t *bytes, int64_t length, int32_t id)
{
    uint32_t at = hash_bytes(bytes, length) & table->mask;
    while (table->ids[at] >= 0)
        at = (at + 1) & table->mask;
    table->ids[at] = id;
}

/* The place of a short word in bpe->words. */
static uint32_t word_hash(const uint8_t *bytes, int64_t length, uint64_t *low, uint64_t *high)
{
    bs_word_load(bytes, (uint32_t)length, low, high);
    return (uint32_t)bs_word_hash(*low, *high);
}

/* The token with these bytes, behind which there are BS_SHORT more, or -1. */
static int32_t token_find(const bs_bpe *bpe, const token_table *longs, const uint8_t *bytes,
                          int64_t length)
{
    uint64_t low, high;
    if (length > BS_SHORT)
        return table_find(longs, bpe, bytes, length);
    const uint32_t hash = word_hash(bytes, length, &low, &high);
    return bs_bpe_find(bpe, low, high, (uint32_t)length, hash);
}

static void token_expect(const bs_bpe *bpe, const uint8_t *bytes, int64_t length)
{
    uint64_t low, high;
    if (length <= BS_SHORT)
        bs_bpe_expect(bpe, word_hash(bytes, length, &low, &high));
}

static void token_put(bs_bpe *bpe, token_table *longs, int32_t id)
{
    const uint8_t *bytes = bpe->pool + bpe->starts[id];
    const int64_t length = bpe->starts[id + 1] - bpe->starts[id];
    uint64_t low, high;
    if (length > BS_SHORT) {
        table_put(longs, bytes, length, id);
        return;
    }
    uint32_t at = word_hash(bytes, length, &low, &high) & bpe->word_mask;
    while (bpe->words[at].length != 0)
        at = (at + 1) & bpe->word_mask;
    bpe->words[at] = (bs_short_slot){low, high, (uint32_t)length, id};
}

/* Takes a token of up to BS_SHORT bytes out of the words. */
static void word_remove(bs_bpe *bpe, int32_t id)
{
    uint64_t low, high;
    const int64_t length = bpe->starts[id + 1] - bpe->starts[id];
    uint32_t at = word_hash(bpe->pool + bpe->starts[id], length, &low, &high) & bpe->word_mask;
    while (bpe->words[at].id != id || bpe->words[at].length == 0)
        at = (at + 1) & bpe->word_mask;
    bpe->words[at].length = REMOVED;
}

/* The byte that a character of the alphabet stands for, or -1. Printable characters of Latin-1
 * stand for themselves; the other bytes, in their order, are the characters from U+0100 on. */
static inline bool is_itself(uint32_t code)
{
    return (code >= 0x21 && code <= 0x7E) || (code >= 0xA1 && code <= 0xFF && code != 0xAD);
}

static inline int byte_of(uint32_t code)
{
    if (is_itself(code))
        return (int)code;
    if (code < 0x100 || code > 0x143)
        return -1;
    const int n = (int)code - 0x100;
    return n < 0x21 ? n : n < 0x21 + 0x22 ? n - 0x21 + 0x7F : 0xAD;
}

/* Writes the bytes that the units [at, end) of a text in the alphabet stand for, no more than it
 * has units. Returns their number, NOT_BYTES if it contains another character, or SURROGATE. */
static int64_t bytes_put(const bs_text *text, int64_t at, int64_t end, uint8_t *to)
{
    int64_t n = 0;
    bool others = false;
    if (text->form == BS_TEXT_LATIN1) /* most texts: they have no space */
        for (const uint8_t *units = text->data; at < end && is_itself(units[at]); at++)
            to[n++] = units[at];
    while (at < end) {
        const uint32_t code = bs_text_next(text, &at, end);
        const int byte = byte_of(code);
        if (code >= 0xD800 && code < 0xE000)
            return SURROGATE;
        others |= byte < 0;
        if (!others)
            to[n++] = (uint8_t)byte;
    }
    return others ? NOT_BYTES : n;
}

static uint64_t pair_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static uint32_t pair_hash(uint64_t pair)
{
    return (uint32_t)(pair * 0x9E3779B97F4A7C15ull >> 32);
}

static const bs_bpe_merge *merge_find(const bs_bpe *bpe, int32_t left, int32_t right)
{
    const uint64_t pair = pair_of(left, right);
    uint32_t at = pair_hash(pair) & bpe->merge_mask;
    for (;; at = (at + 1) & bpe->merge_mask) {
        const bs_bpe_merge *merge = &bpe->merges[at];
        if (merge->rank < 0)
            return NULL;
        if (merge->pair == pair)
            return merge;
    }
}

/* Of equal merges the last one counts, as in the library. */
static void merge_put(bs_bpe *bpe, uint64_t *filter, const merge_bytes *merge, int32_t rank)
{
    const uint64_t pair = pair_of(merge->left, merge->right);
    const uint32_t hash = pair_hash(pair);
    uint32_t at = hash & bpe->merge_mask;
    while (bpe->merges[at].rank >= 0 && bpe->merges[at].pair != pair)
        at = (at + 1) & bpe->merge_mask;
    bpe->merges[at] = (bs_bpe_merge){pair, rank, merge->both};
    filter[hash >> (32 - FILTER_BITS) >> 6] |= 1ull << (hash >> (32 - FILTER_BITS) & 63);
}

/* As merge_find, but faster where there is none. */
static const bs_bpe_merge *merge_look(const bs_bpe *bpe, const uint64_t *filter, int32_t left,
                                      int32_t right)
{
    const uint32_t bit = pair_hash(pair_of(left, right)) >> (32 - FILTER_BITS);
    return filter[bit >> 6] >> (bit & 63) & 1 ? merge_find(bpe, left, right) : NULL;
}

/* Refuses a merge, of which the message has the beginning. */
static bs_status merge_error(const bs_text *merge, int64_t rank, bs_error *e)
{
    uint8_t shown[MOST_SHOWN * 4 + 1];
    int64_t at = 0;
    int n = 0;
    for (int i = 0; i < MOST_SHOWN && at < merge->length; i++) {
        const uint32_t code = bs_text_next(merge, &at, merge->length);
        n += bs_utf8_put(shown + n, code >= 0xD800 && code < 0xE000 ? 0xFFFD : code);
    }
    shown[n] = 0;
    return bs_error_set(e, BS_ERR_VALUE, -1,
                        "merge %lld is %s, of which a part or the whole is not in the vocabulary",
                        (long long)rank, (const char *)shown);
}

/* Writes the bytes of a merge to `to`, which has room for its length and BS_SHORT more. */
static void merge_parse(const bs_text *text, merge_bytes *merge, uint8_t *to)
{
    int64_t space = -1, after = 0;
    if (text->form == BS_TEXT_LATIN1) {
        const uint8_t *units = text->data;
        const uint8_t *found = memchr(units, ' ', (size_t)text->length);
        space = found == NULL ? -1 : found - units;
        after = space + 1;
    }
    while (text->form != BS_TEXT_LATIN1 && space < 0 && after < text->length) {
        const int64_t at = after;
        if (bs_text_next(text, &after, text->length) == ' ')
            space = at;
    }
    merge->bytes = to;
    merge->n_left = space < 0 ? NO_SPACE : bytes_put(text, 0, space, to);
    merge->n_right = NOT_BYTES;
    if (merge->n_left > 0)
        merge->n_right = bytes_put(text, after, text->length, to + merge->n_left);
}

static bs_status merge_read(const bs_bpe *bpe, const token_table *longs, const bs_text *text,
                            int64_t rank, merge_bytes *merge, bs_error *e)
{
    const int64_t n_left = merge->n_left, n_right = merge->n_right;
    if (n_left == NO_SPACE)
        return bs_error_set(e, BS_ERR_VALUE, -1, "merge %lld is not two tokens", (long long)rank);
    if (n_left <= 0 || n_right <= 0)
        return merge_error(text, rank, e);
    merge->left = token_find(bpe, longs, merge->bytes, n_left);
    merge->right = token_find(bpe, longs, merge->bytes + n_left, n_right);
    merge->both = token_find(bpe, longs, merge->bytes, n_left + n_right);
    if (merge->left < 0 || merge->right < 0 || merge->both < 0)
        return merge_error(text, rank, e);
    return BS_OK;
}

/* Reads the merges in small groups, so that their places in the tables are fetched together. */
static bs_status merges_read(bs_bpe *bpe, bpe_work *work, const bs_text *texts, int64_t n_merges,
                             bs_error *e)
{
    for (int64_t first = 0; first < n_merges; first += AHEAD) {
        const int64_t count = n_merges - first < AHEAD ? n_merges - first : AHEAD;
        for (int64_t i = 0; i < count; i++) {
            merge_bytes *merge = &work->ahead[i];
            if (texts[first + i].length > MOST_AHEAD)
                continue;
            merge_parse(&texts[first + i], merge, merge->own);
            if (merge->n_right > 0) {
                token_expect(bpe, merge->own, merge->n_left);
                token_expect(bpe, merge->own + merge->n_left, merge->n_right);
                token_expect(bpe, merge->own, merge->n_left + merge->n_right);
            }
        }
        for (int64_t i = 0; i < count; i++) {
            merge_bytes *merge = &work->ahead[i];
            if (texts[first + i].length > MOST_AHEAD)
                merge_parse(&texts[first + i], merge, work->bytes);
            if (merge_read(bpe, &work->longs, &texts[first + i], first + i, merge, e) != BS_OK)
                return e->status;
            const uint32_t hash = pair_hash(pair_of(merge->left, merge->right));
            __builtin_prefetch(&bpe->merges[hash & bpe->merge_mask], 1);
            __builtin_prefetch(&work->origins[merge->both], 1);
        }
        for (int64_t i = 0; i < count; i++) {
            const merge_bytes *merge = &work->ahead[i];
            token_origin *origin = &work->origins[merge->both];
            const uint8_t times = origin->times == 0 ? 1 : 2;
            const int32_t rank = (int32_t)(first + i);
            merge_put(bpe, work->filter, merge, rank);
            *origin = (token_origin){merge->left, merge->right, rank, times, false, false};
            work->made[rank] = merge->both;
        }
    }
    return BS_OK;
}

/* Copies the bytes of the tokens and lists them in the tables, also those that words_keep removes
 * when all merges are known. */
static bs_status tokens_read(bs_bpe *bpe, token_table *longs, const bs_text *tokens, bs_error *e)
{
    int64_t at = 0;
    for (int64_t first = 0; first < bpe->size; first += AHEAD) {
        const int64_t end = first + AHEAD < bpe->size ? first + AHEAD : bpe->size;
        for (int64_t i = first; i < end; i++) {
            const int64_t n = bytes_put(&tokens[i], 0, tokens[i].length, bpe->pool + at);
            if (n == SURROGATE)
                return bs_error_set(e, BS_ERR_VALUE, -1,
                                    "the token %lld contains a lone surrogate", (long long)i);
            bpe->starts[i] = at;
            at += n > 0 ? n : 0;
            bpe->starts[i + 1] = at;
        }
        for (int64_t i = first; i < end; i++)
            token_expect(bpe, bpe->pool + bpe->starts[i], bpe->starts[i + 1] - bpe->starts[i]);
        for (int64_t i = first; i < end; i++)
            if (bpe->starts[i + 1] > bpe->starts[i])
                token_put(bpe, longs, (int32_t)i);
    }
    for (int byte = 0; byte < 256; byte++) {
        const uint8_t one[BS_SHORT] = {(uint8_t)byte};
        bpe->bytes[byte] = token_find(bpe, longs, one, 1);
        if (bpe->bytes[byte] < 0)
            return bs_error_set(e, BS_ERR_VALUE, -1,
                                "the vocabulary has no token for the byte 0x%02X", byte);
    }
    return BS_OK;
}

/* The pieces that a plain token's last byte, or first byte, belongs to while its bytes are joined:
 * from the token itself down to the byte. Returns their number, at most the token's length. */
static int edge_of(const token_origin *origins, int32_t id, bool last, int32_t *pieces)
{
    int n = 0;
    for (;;) {
        pieces[n++] = id;
        if (origins[id].times == 0)
            return n;
        id = last ? origins[id].right : origins[id].left;
    }
}

/* Whether no merge joins a piece of `left` with one of `right` before both are complete. Up to then
 * their bytes are joined as they would be alone; each piece exists until the rank of the next one
 * that contains it. Of equal merges the one further left comes first. */
static bool stay_apart(const bs_bpe *bpe, const bpe_work *work, int32_t left, int32_t right)
{
    const token_origin *origins = work->origins;
    int32_t lefts[BS_SHORT], rights[BS_SHORT];
    int i = edge_of(origins, left, true, lefts) - 1;
    int j = edge_of(origins, right, false, rights) - 1;
    while (i > 0 || j > 0) {
        const int32_t until_left = i > 0 ? origins[lefts[i - 1]].rank : NO_RANK;
        const int32_t until_right = j > 0 ? origins[rights[j - 1]].rank : NO_RANK;
        const bs_bpe_merge *merge = merge_look(bpe, work->filter, lefts[i], rights[j]);
        if (merge != NULL && merge->rank < until_left && merge->rank <= until_right)
            return false;
        if (until_left <= until_right)
            i--;
        else
            j--;
    }
    return true;
}

/* Finds out which plain tokens their bytes become, in the order of the merges. The last merge of
 * such a token is the one that makes it, so its parts are such tokens too, and are joined as they
 * would be alone. */
static void origins_judge(const bs_bpe *bpe, const bpe_work *work, int64_t n_merges)
{
    token_origin *origins = work->origins;
    const int32_t *made = work->made;
    for (int byte = 0; byte < 256; byte++)
        origins[bpe->bytes[byte]].plain = origins[bpe->bytes[byte]].whole = true;
    for (int64_t rank = 0; rank < n_merges; rank++) {
        token_origin *origin = &origins[made[rank]];
        const token_origin *left = &origins[origin->left], *right = &origins[origin->right];
        const int64_t length = bpe->starts[made[rank] + 1] - bpe->starts[made[rank]];
        if (origin->times != 1 || length > BS_SHORT || !left->plain || !right->plain)
            continue; /* a part that is made later is not plain yet */
        origin->plain = true;
        origin->whole = left->whole && right->whole
                        && stay_apart(bpe, work, origin->left, origin->right);
    }
}

/* Leaves only those short tokens in the words that their bytes become. */
static bs_status words_keep(bs_bpe *bpe, const token_origin *origins, bs_error *e)
{
    int32_t ids[BS_SHORT];
    for (int64_t i = 0; i < bpe->size; i++) {
        const int64_t length = bpe->starts[i + 1] - bpe->starts[i];
        int64_t count = 0;
        if (length == 0 || length > BS_SHORT || (origins[i].plain && origins[i].whole))
            continue;
        if (!origins[i].plain) {
            if (bs_bpe_split(bpe, NULL, bpe->pool + bpe->starts[i], length, ids, &count, e)
                != BS_OK)
                return e->status;
            if (count == 1 && ids[0] == (int32_t)i)
                continue;
        }
        word_remove(bpe, (int32_t)i);
    }
    return BS_OK;
}

bs_status bs_bpe_init(bs_bpe *bpe, const bs_text *tokens, int64_t n_tokens, const bs_text *merges,
                      int64_t n_merges, bs_error *e)
{
    bpe_work work = {0};
    int64_t total = 0, longest = 0, n_long = 0;
    bs_status status = BS_OK;

    memset(bpe, 0, sizeof *bpe);
    if (n_tokens >= MOST_TOKENS || n_merges >= MOST_TOKENS)
        return bs_error_set(e, BS_ERR_VALUE, -1, "%lld tokens and %lld merges are too many",
                            (long long)n_tokens, (long long)n_merges);
    for (int64_t i = 0; i < n_tokens; i++) {
        total += tokens[i].length;
        n_long += tokens[i].length > BS_SHORT;
    }
    for (int64_t i = 0; i < n_merges; i++)
        longest = merges[i].length > longest ? merges[i].length : longest;

    const uint32_t n_slots = slots_for(n_tokens), n_longs = slots_for(n_long);
    bpe->size = n_tokens;
    bpe->word_mask = n_slots - 1;
    bpe->merge_mask = slots_for(n_merges) - 1;
    work.longs.mask = n_longs - 1;
    bpe->pool = calloc((size_t)total + BS_SHORT, 1);
    bpe->starts = calloc((size_t)n_tokens + 1, sizeof *bpe->starts);
    bpe->words = calloc(n_slots, sizeof *bpe->words);
    bpe->merges = malloc(((size_t)bpe->merge_mask + 1) * sizeof *bpe->merges);
    work.longs.ids = malloc(n_longs * sizeof *work.longs.ids);
    work.bytes = calloc((size_t)longest + BS_SHORT, 1);
    work.origins = calloc((size_t)n_tokens + 1, sizeof *work.origins);
    work.made = malloc(((size_t)n_merges + 1) * sizeof *work.made);
    work.filter = calloc((1u << FILTER_BITS) / 64, sizeof *work.filter);
    work.ahead = calloc(AHEAD, sizeof *work.ahead);
    if (bpe->pool == NULL || bpe->starts == NULL || bpe->words == NULL || bpe->merges == NULL
        || work.longs.ids == NULL || work.bytes == NULL || work.origins == NULL
        || work.made == NULL || work.filter == NULL || work.ahead == NULL) {
        status = bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the vocabulary");
        goto done;
    }
    for (uint32_t i = 0; i <= bpe->merge_mask; i++)
        bpe->merges[i].rank = -1;
    for (uint32_t i = 0; i < n_longs; i++)
        work.longs.ids[i] = -1;
    status = tokens_read(bpe, &work.longs, tokens, e);
    if (status == BS_OK)
        status = merges_read(bpe, &work, merges, n_merges, e);
    if (status == BS_OK) {
        origins_judge(bpe, &work, n_merges);
        status = words_keep(bpe, work.origins, e);
    }
done:
    free(work.longs.ids);
    free(work.origins);
    free(work.made);
    free(work.bytes);
    free(work.filter);
    free(work.ahead);
    if (status != BS_OK)
        bs_bpe_clear(bpe);
    return status;
}

void bs_bpe_clear(bs_bpe *bpe)
{
    free(bpe->pool);
    free(bpe->starts);
    free(bpe->words);
    free(bpe->merges);
    memset(bpe, 0, sizeof *bpe);
}

void bs_bpe_scratch_free(bs_bpe_scratch *scratch)
{
    free(scratch->before);
    free(scratch->after);
    free(scratch->heap);
    memset(scratch, 0, sizeof *scratch);
}

/* Up to FEW pieces: their number after all merges. */
static int64_t merge_few(const bs_bpe *bpe, int32_t *ids, int64_t n)
{
    int32_t ranks[FEW], joined[FEW]; /* of each piece with the one after it */
    for (int64_t i = 0; i + 1 < n; i++) {
        const bs_bpe_merge *merge = merge_find(bpe, ids[i], ids[i + 1]);
        ranks[i] = merge == NULL ? NO_RANK : merge->rank;
        joined[i] = merge == NULL ? -1 : merge->id;
    }
    while (n > 1) {
        int64_t best = 0;
        for (int64_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best])
                best = i;
        if (ranks[best] == NO_RANK)
            break;
        ids[best] = joined[best];
        n--;
        for (int64_t i = best + 1; i < n; i++) {
            ids[i] = ids[i + 1];
            ranks[i - 1] = ranks[i];
            joined[i - 1] = joined[i];
        }
        for (int64_t i = best > 0 ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const bs_bpe_merge *merge = merge_find(bpe, ids[i], ids[i + 1]);
            ranks[i] = merge == NULL ? NO_RANK : merge->rank;
            joined[i] = merge == NULL ? -1 : merge->id;
        }
    }
    return n;
}

static void sift_down(uint64_t *heap, int64_t n, int64_t at)
{
    const uint64_t value = heap[at];
    for (;;) {
        int64_t child = 2 * at + 1;
        if (child >= n)
            break;
        child += child + 1 < n && heap[child + 1] < heap[child];
        if (heap[child] >= value)
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = value;
}

static int64_t heap_push(uint64_t *heap, int64_t n, uint64_t value)
{
    int64_t at = n;
    while (at > 0 && heap[(at - 1) / 2] > value) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = value;
    return n + 1;
}

static bs_status scratch_reserve(bs_bpe_scratch *scratch, int64_t pieces, bs_error *e)
{
    if (scratch->capacity >= pieces)
        return BS_OK;
    bs_bpe_scratch_free(scratch);
    scratch->before = malloc((size_t)pieces * sizeof *scratch->before);
    scratch->after = malloc((size_t)pieces * sizeof *scratch->after);
    /* One entry for each pair at first. A merge takes one out and adds at most two. */
    scratch->heap = malloc((size_t)pieces * 2 * sizeof *scratch->heap);
    if (scratch->before == NULL || scratch->after == NULL || scratch->heap == NULL) {
        bs_bpe_scratch_free(scratch);
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for a long word");
    }
    scratch->capacity = pieces;
    return BS_OK;
}

/* Any number of pieces, in n log n steps: their number after all merges. */
static int64_t merge_many(const bs_bpe *bpe, bs_bpe_scratch *scratch, int32_t *ids, int64_t n)
{
    int32_t *const before = scratch->before, *const after = scratch->after;
    uint64_t *const heap = scratch->heap;
    int64_t n_heap = 0;
    for (int64_t i = 0; i < n; i++) {
        before[i] = (int32_t)i - 1;
        after[i] = i + 1 < n ? (int32_t)i + 1 : -1;
        const bs_bpe_merge *merge = i + 1 < n ? merge_find(bpe, ids[i], ids[i + 1]) : NULL;
        if (merge != NULL)
            heap[n_heap++] = (uint64_t)merge->rank << 32 | (uint32_t)i;
    }
    for (int64_t i = n_heap / 2 - 1; i >= 0; i--)
        sift_down(heap, n_heap, i);
    while (n_heap > 0) {
        const uint64_t first = heap[0];
        heap[0] = heap[--n_heap];
        if (n_heap > 0)
            sift_down(heap, n_heap, 0);
        const int32_t left = (int32_t)(uint32_t)first, right = after[left];
        if (before[left] == -2 || right < 0)
            continue; /* joined in the meantime */
        const bs_bpe_merge *merge = merge_find(bpe, ids[left], ids[right]);
        if (merge == NULL || (uint64_t)merge->rank != first >> 32)
            continue; /* another pair by now, which has an entry of its own */
        ids[left] = merge->id;
        before[right] = -2;
        after[left] = after[right];
        if (after[left] >= 0) {
            before[after[left]] = left;
            merge = merge_find(bpe, ids[left], ids[after[left]]);
            if (merge != NULL)
                n_heap = heap_push(heap, n_heap, (uint64_t)merge->rank << 32 | (uint32_t)left);
        }
        if (before[left] >= 0) {
            merge = merge_find(bpe, ids[before[left]], ids[left]);
            if (merge != NULL)
                n_heap = heap_push(heap, n_heap,
                                   (uint64_t)merge->rank << 32 | (uint32_t)before[left]);
        }
    }
    int64_t count = 0;
    for (int32_t i = 0; i >= 0; i = after[i])
        ids[count++] = ids[i];
    return count;
}

bs_status bs_bpe_split(const bs_bpe *bpe, bs_bpe_scratch *scratch, const uint8_t *bytes,
                       int64_t length, int32_t *ids, int64_t *count, bs_error *e)
{
    if (length > FEW && scratch_reserve(scratch, length, e) != BS_OK)
        return e->status;
    for (int64_t i = 0; i < length; i++)
        ids[i] = bpe->bytes[bytes[i]];
    *count = length <= FEW ? merge_few(bpe, ids, length)
                           : merge_many(bpe, scratch, ids, length);
    return BS_OK;
}
