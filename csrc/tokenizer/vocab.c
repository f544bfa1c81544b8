#include "tokenizer/vocab.h"

#include <stdlib.h>

#define B(n) (~0ull >> (64 - 8 * (n)))
const uint64_t bs_word_masks[BS_SHORT + 1][2] = {
    {0, 0},       {B(1), 0},    {B(2), 0},    {B(3), 0},    {B(4), 0},    {B(5), 0},
    {B(6), 0},    {B(7), 0},    {B(8), 0},    {B(8), B(1)}, {B(8), B(2)}, {B(8), B(3)},
    {B(8), B(4)}, {B(8), B(5)}, {B(8), B(6)}, {B(8), B(7)}, {B(8), B(8)},
};
#undef B

bool bs_token_is_no_word(const uint8_t *bytes, int64_t length)
{
    const uint8_t c = bytes[0];
    return length > 1 && c > ' ' && c < 0x7F && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z')
           && !(c >= 'A' && c <= 'Z');
}

/* Slots for `count` keys: a power of two, at most a third full. */
static uint32_t slots_for(int64_t count)
{
    uint32_t size = 64;
    while (size < count * 2 + count)
        size *= 2;
    return size;
}

static uint32_t hash_long(const uint8_t *bytes, int64_t length)
{
    uint64_t h = (uint64_t)length * 0x9E3779B97F4A7C15ull;
    int64_t i = 0;
    for (; i + 8 <= length; i += 8) {
        uint64_t x;
        memcpy(&x, bytes + i, 8);
        h = (h ^ x) * 0xD6E8FEB86659FD93ull;
        h ^= h >> 32;
    }
    for (; i < length; i++)
        h = (h ^ bytes[i]) * 0x100000001B3ull;
    h ^= h >> 29;
    return (uint32_t)(h * 0xD6E8FEB86659FD93ull >> 32);
}

/* Words and tails of the same bytes go to different slots. */
static uint64_t hash_short(uint64_t low, uint64_t high, uint32_t tail)
{
    return bs_word_hash(low, high ^ tail);
}

static uint32_t lengths_index(uint64_t low)
{
    return (uint32_t)((low & 0xFFFFFF) * 0x9E3779B97F4A7C15ull >> 32) % BS_LENGTHS;
}

static bool filter_has(const bs_vocab *vocab, uint64_t hash)
{
    const uint32_t bit = (uint32_t)hash & (vocab->short_mask * 4 + 3);
    return vocab->filter[bit >> 6] >> (bit & 63) & 1;
}

static void filter_add(bs_vocab *vocab, uint64_t hash)
{
    const uint32_t bit = (uint32_t)hash & (vocab->short_mask * 4 + 3);
    vocab->filter[bit >> 6] |= 1ull << (bit & 63);
}

static void add_short(bs_vocab *vocab, const uint8_t *bytes, uint32_t length, uint32_t tail,
                      int32_t id)
{
    uint64_t low, high;
    bs_word_load(bytes, length, &low, &high);
    const uint64_t hash = hash_short(low, high, tail);
    filter_add(vocab, hash);
    vocab->lengths[tail != 0][lengths_index(low)] |= (uint16_t)(1u << (length - 1));
    length |= tail;
    for (uint32_t at = (uint32_t)hash & vocab->short_mask;; at = (at + 1) & vocab->short_mask) {
        bs_short_slot *slot = &vocab->short_slots[at];
        if (slot->length == 0
            || (slot->low == low && slot->high == high && slot->length == length)) {
            *slot = (bs_short_slot){low, high, length, id};
            return;
        }
    }
}

static void add_long(bs_vocab *vocab, int64_t start, int64_t length, int32_t id)
{
    const uint8_t *bytes = vocab->pool + start;
    const uint32_t hash = hash_long(bytes, length);
    for (uint32_t at = hash & vocab->long_mask;; at = (at + 1) & vocab->long_mask) {
        bs_long_slot *slot = &vocab->long_slots[at];
        if (slot->length == 0
            || (slot->hash == hash && slot->length == length
                && memcmp(vocab->pool + slot->start, bytes, (size_t)length) == 0)) {
            *slot = (bs_long_slot){(uint32_t)start, (uint32_t)length, hash, id};
            return;
        }
    }
}

static bool longer_than(const uint8_t *bytes, int64_t length, int64_t max_chars)
{
    int64_t chars = 0;
    if (length <= max_chars)
        return false;
    for (int64_t i = 0; i < length; i++)
        chars += (bytes[i] & 0xC0) != 0x80;
    return chars > max_chars;
}

/* The length of a continuation piece without its prefix, or 0 if the token is none. */
static int64_t tail_length(const uint8_t *token, int64_t length, const bs_text *prefix)
{
    if (length <= prefix->length || memcmp(token, prefix->data, (size_t)prefix->length) != 0)
        return 0;
    return length - prefix->length;
}

static void tokens_add(bs_vocab *vocab, const bs_text *prefix, int64_t max_chars)
{
    for (int64_t i = 0; i < vocab->size; i++) {
        const int64_t start = vocab->starts[i], length = vocab->starts[i + 1] - start;
        const uint8_t *token = vocab->pool + start;
        const int64_t tail = tail_length(token, length, prefix);
        if (tail > 0 && tail <= BS_SHORT)
            add_short(vocab, token + prefix->length, (uint32_t)tail, BS_TAIL, (int32_t)i);
        if (length == 0 || bs_token_is_no_word(token, length)
            || longer_than(token, length, max_chars))
            continue;
        if (length > BS_SHORT)
            add_long(vocab, start, length, (int32_t)i);
        else
            add_short(vocab, token, (uint32_t)length, 0, (int32_t)i);
    }
}

bs_status bs_vocab_init(bs_vocab *vocab, const bs_text *tokens, int64_t n_tokens,
                        const bs_text *prefix, int64_t max_chars, bs_error *e)
{
    int64_t total = 0, n_short = 0, n_long = 0;

    memset(vocab, 0, sizeof *vocab);
    if (n_tokens >= INT32_MAX / 8)
        return bs_error_set(e, BS_ERR_VALUE, -1, "a vocabulary of %lld entries is too large",
                            (long long)n_tokens);
    for (int64_t i = 0; i < n_tokens; i++) {
        const int64_t length = tokens[i].length;
        const bool no_word = length > 0 && bs_token_is_no_word(tokens[i].data, length);
        total += length;
        n_long += !no_word && length > BS_SHORT;
        n_short += !no_word && length <= BS_SHORT;
        n_short += tail_length(tokens[i].data, length, prefix) > 0;
    }
    if (total > INT32_MAX)
        return bs_error_set(e, BS_ERR_VALUE, -1, "a vocabulary of %lld bytes is too large",
                            (long long)total);

    const uint32_t n_short_slots = slots_for(n_short), n_long_slots = slots_for(n_long);
    vocab->pool = calloc((size_t)total + BS_SHORT, 1);
    vocab->starts = malloc(sizeof *vocab->starts * (size_t)(n_tokens + 1));
    vocab->short_slots = calloc(n_short_slots, sizeof *vocab->short_slots);
    vocab->long_slots = calloc(n_long_slots, sizeof *vocab->long_slots);
    vocab->filter = calloc(n_short_slots / 16, sizeof *vocab->filter);
    vocab->lengths = calloc(2, sizeof *vocab->lengths);
    if (vocab->pool == NULL || vocab->starts == NULL || vocab->short_slots == NULL
        || vocab->long_slots == NULL || vocab->filter == NULL || vocab->lengths == NULL) {
        bs_vocab_clear(vocab);
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the vocabulary");
    }
    vocab->size = n_tokens;
    vocab->short_mask = n_short_slots - 1;
    vocab->long_mask = n_long_slots - 1;

    int64_t at = 0;
    for (int64_t i = 0; i < n_tokens; i++) {
        const int64_t length = tokens[i].length;
        vocab->starts[i] = at;
        if (length > 0)
            memcpy(vocab->pool + at, tokens[i].data, (size_t)length);
        at += length;
    }
    vocab->starts[n_tokens] = at;
    tokens_add(vocab, prefix, max_chars);
    return BS_OK;
}

void bs_vocab_clear(bs_vocab *vocab)
{
    free(vocab->pool);
    free(vocab->starts);
    free(vocab->short_slots);
    free(vocab->long_slots);
    free(vocab->filter);
    free(vocab->lengths);
    memset(vocab, 0, sizeof *vocab);
}

int32_t bs_vocab_find_long(const bs_vocab *vocab, const uint8_t *bytes, int64_t length)
{
    const uint32_t hash = hash_long(bytes, length);
    for (uint32_t at = hash & vocab->long_mask;; at = (at + 1) & vocab->long_mask) {
        const bs_long_slot *slot = &vocab->long_slots[at];
        if (slot->length == 0)
            return -1;
        if (slot->hash == hash && slot->length == length
            && memcmp(vocab->pool + slot->start, bytes, (size_t)length) == 0)
            return slot->id;
    }
}

/* The id of the longest short piece that the registers begin with, among the lengths whose bits are
 * in `lengths`, with its length in *length; or -1. */
static int32_t longest(const bs_vocab *vocab, uint64_t low, uint64_t high, uint32_t tail,
                       uint32_t lengths, uint32_t *length)
{
    while (lengths != 0) {
        const uint32_t n = 32 - (uint32_t)__builtin_clz(lengths);
        const uint64_t a = low & bs_word_masks[n][0], b = high & bs_word_masks[n][1];
        const uint64_t hash = hash_short(a, b, tail);
        if (filter_has(vocab, hash)) {
            const int32_t id = bs_vocab_find_short(vocab, a, b, n | tail, hash);
            if (id >= 0) {
                *length = n;
                return id;
            }
        }
        lengths ^= 1u << (n - 1);
    }
    return -1;
}

int bs_vocab_split_short(const bs_vocab *vocab, uint64_t low, uint64_t high, uint32_t length,
                         int32_t *ids)
{
    uint32_t tail = 0, shorter = (1u << (length - 1)) - 1; /* one bit per length to try */
    for (int n = 0;;) {
        /* Pieces of one or two bytes are always tried: the table knows three bytes only. */
        const uint32_t known = vocab->lengths[tail != 0][lengths_index(low)] | 3u;
        uint32_t taken;
        ids[n] = longest(vocab, low, high, tail, known & shorter, &taken);
        if (ids[n++] < 0)
            return 0;
        length -= taken;
        if (length == 0)
            return n;
        if (taken < 8) {
            low = low >> 8 * taken | high << (64 - 8 * taken);
            high >>= 8 * taken;
        } else {
            low = high >> 8 * (taken - 8);
            high = 0;
        }
        tail = BS_TAIL;
        shorter = (2u << (length - 1)) - 1;
    }
}
