#include "tokenizer/vocab.h"

#include <stdlib.h>

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

static void add_short(bs_vocab *vocab, const uint8_t *bytes, uint32_t length, int32_t id)
{
    uint64_t low, high;
    bs_word_load(bytes, length, &low, &high);
    uint32_t at = (uint32_t)bs_word_hash(low, high) & vocab->short_mask;
    for (;; at = (at + 1) & vocab->short_mask) {
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

bs_status bs_vocab_init(bs_vocab *vocab, const bs_text *tokens, int64_t n_tokens,
                        int64_t max_chars, bs_error *e)
{
    int64_t total = 0, n_long = 0;

    memset(vocab, 0, sizeof *vocab);
    if (n_tokens >= INT32_MAX / 4)
        return bs_error_set(e, BS_ERR_VALUE, -1, "a vocabulary of %lld entries is too large",
                            (long long)n_tokens);
    for (int64_t i = 0; i < n_tokens; i++) {
        total += tokens[i].length;
        n_long += tokens[i].length > 16;
    }
    if (total > INT32_MAX)
        return bs_error_set(e, BS_ERR_VALUE, -1, "a vocabulary of %lld bytes is too large",
                            (long long)total);

    const uint32_t n_short_slots = slots_for(n_tokens - n_long);
    const uint32_t n_long_slots = slots_for(n_long);
    vocab->pool = calloc((size_t)total + 16, 1);
    vocab->starts = malloc(sizeof *vocab->starts * (size_t)(n_tokens + 1));
    vocab->short_slots = calloc(n_short_slots, sizeof *vocab->short_slots);
    vocab->long_slots = calloc(n_long_slots, sizeof *vocab->long_slots);
    if (vocab->pool == NULL || vocab->starts == NULL || vocab->short_slots == NULL
        || vocab->long_slots == NULL) {
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
    for (int64_t i = 0; i < n_tokens; i++) {
        const int64_t start = vocab->starts[i], length = tokens[i].length;
        if (longer_than(vocab->pool + start, length, max_chars))
            continue;
        if (length > 16)
            add_long(vocab, start, length, (int32_t)i);
        else if (length > 0)
            add_short(vocab, vocab->pool + start, (uint32_t)length, (int32_t)i);
    }
    return BS_OK;
}

void bs_vocab_clear(bs_vocab *vocab)
{
    free(vocab->pool);
    free(vocab->starts);
    free(vocab->short_slots);
    free(vocab->long_slots);
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

int32_t bs_vocab_find(const bs_vocab *vocab, const uint8_t *bytes, int64_t length)
{
    uint8_t padded[16] = {0};
    uint64_t low, high;
    if (length == 0)
        return -1;
    if (length > 16)
        return bs_vocab_find_long(vocab, bytes, length);
    memcpy(padded, bytes, (size_t)length);
    bs_word_load(padded, (uint32_t)length, &low, &high);
    return bs_vocab_find_short(vocab, low, high, (uint32_t)length, bs_word_hash(low, high));
}
