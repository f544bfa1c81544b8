#include "tokenizer/normalize.h"

#include <stdlib.h>
#include <string.h>

void bs_normbuf_free(bs_normbuf *out)
{
    free(out->bytes);
    free(out->word);
    free(out->cut);
    free(out->marks);
    free(out->ranks);
    memset(out, 0, sizeof *out);
}

bs_status bs_normbuf_reserve(bs_normbuf *out, int64_t chars, int max_marks, bs_error *e)
{
    const int64_t waiting = (int64_t)max_marks * 4;
    int64_t need, words, old_words;

    if (out->max_marks < max_marks) {
        uint32_t *marks = realloc(out->marks, sizeof *marks * (size_t)max_marks * 2);
        if (marks == NULL)
            goto memory;
        out->marks = marks;
        uint8_t *ranks = realloc(out->ranks, (size_t)max_marks * 2);
        if (ranks == NULL)
            goto memory;
        out->ranks = ranks;
        out->max_marks = max_marks;
    }
    if (chars > (INT64_MAX / 4 - out->n - waiting) / BS_EXPANSION)
        goto memory;
    need = out->n + chars * BS_EXPANSION + waiting;
    if (need <= out->capacity)
        return BS_OK;
    need += need / 2;
    words = (need + BS_NORM_SLACK) / 64 + 2;
    old_words = out->word == NULL ? 0 : (out->capacity + BS_NORM_SLACK) / 64 + 2;

    uint8_t *bytes = realloc(out->bytes, (size_t)(need + BS_NORM_SLACK));
    if (bytes == NULL)
        goto memory;
    out->bytes = bytes;
    uint64_t *word = realloc(out->word, (size_t)words * sizeof *word);
    if (word == NULL)
        goto memory;
    out->word = word;
    uint64_t *cut = realloc(out->cut, (size_t)words * sizeof *cut);
    if (cut == NULL)
        goto memory;
    out->cut = cut;
    memset(word + old_words, 0, (size_t)(words - old_words) * sizeof *word);
    memset(cut + old_words, 0, (size_t)(words - old_words) * sizeof *cut);
    out->capacity = need;
    return BS_OK;

memory:
    return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for normalised text");
}

void bs_normbuf_restart(bs_normbuf *out, int64_t keep, int64_t keep_at_most)
{
    const size_t used = (size_t)(out->n / 64 + 2);
    const int64_t from = out->n - keep;
    if (keep > keep_at_most)
        keep = keep_at_most;
    memmove(out->bytes, out->bytes + from, (size_t)keep);
    memset(out->word, 0, used * sizeof *out->word);
    memset(out->cut, 0, used * sizeof *out->cut);
    out->n = keep;
    for (int64_t i = 0; i < keep; i += 64)
        out->word[i >> 6] = keep - i >= 64 ? ~0ull : (1ull << (keep - i)) - 1;
}

static inline void put_word(bs_normbuf *out, uint32_t code)
{
    const int n = bs_utf8_put(out->bytes + out->n, code);
    bs_bits_or(out->word, out->n, (1ull << n) - 1);
    out->n += n;
}

static inline void put_space(bs_normbuf *out, uint32_t code)
{
    out->n += bs_utf8_put(out->bytes + out->n, code ? code : ' ');
}

static inline void put_alone(bs_normbuf *out, uint32_t code)
{
    const int n = bs_utf8_put(out->bytes + out->n, code);
    bs_bits_or(out->word, out->n, (1ull << n) - 1);
    bs_bits_or(out->cut, out->n, 1ull | 1ull << n);
    out->n += n;
}

/* Sorts the waiting marks by rank, those of equal rank as they came: by counting if many. */
static void marks_sort(bs_normbuf *out)
{
    const int n = out->n_marks;
    uint32_t *marks = out->marks;
    uint8_t *ranks = out->ranks;

    if (n > 32) {
        int start[257] = {0};
        uint32_t *sorted = out->marks + n; /* both arrays have room for twice max_marks */
        for (int i = 0; i < n; i++)
            start[ranks[i] + 1]++;
        for (int r = 0; r < 256; r++)
            start[r + 1] += start[r];
        for (int i = 0; i < n; i++)
            sorted[start[ranks[i]]++] = marks[i];
        memmove(marks, sorted, sizeof *marks * (size_t)n);
        return;
    }
    for (int i = 1; i < n; i++) {
        const uint32_t mark = marks[i];
        const uint8_t rank = ranks[i];
        int k = i;
        for (; k > 0 && ranks[k - 1] > rank; k--) {
            marks[k] = marks[k - 1];
            ranks[k] = ranks[k - 1];
        }
        marks[k] = mark;
        ranks[k] = rank;
    }
}

void bs_normbuf_flush(bs_normbuf *out)
{
    if (out->n_marks == 0)
        return;
    marks_sort(out);
    for (int i = 0; i < out->n_marks; i++)
        put_word(out, out->marks[i]);
    out->n_marks = 0;
}

static void put_mark(bs_normbuf *out, uint32_t code, uint32_t rank)
{
    if (out->n_marks == out->max_marks)
        return; /* the word is too long by now, and stays so */
    out->marks[out->n_marks] = code;
    out->ranks[out->n_marks++] = (uint8_t)rank;
}

static void put_hangul(bs_normbuf *out, uint32_t code)
{
    const uint32_t index = code - 0xAC00;
    put_word(out, 0x1100 + index / 588);
    put_word(out, 0x1161 + index % 588 / 28);
    if (index % 28 != 0)
        put_word(out, 0x11A7 + index % 28);
}

/* One entry that has parts. Each part is a final character. */
static void put_many(const bs_charmap *map, uint32_t payload, bs_normbuf *out)
{
    const uint32_t *part = map->many + (payload >> 3);
    for (const uint32_t *end = part + (payload & 7); part < end; part++) {
        const uint32_t code = BS_CHAR_PAYLOAD(*part);
        if (BS_CHAR_KIND(*part) == BS_CHAR_MARK) {
            put_mark(out, code, BS_CHAR_PAYLOAD(bs_charmap_get(map, code)));
            continue;
        }
        bs_normbuf_flush(out);
        if (BS_CHAR_KIND(*part) == BS_CHAR_WORD)
            put_word(out, code);
        else if (BS_CHAR_KIND(*part) == BS_CHAR_ALONE)
            put_alone(out, code);
        else
            put_space(out, code);
    }
}

/* Returns false for what is not a character. */
static bool put_other(const bs_charmap *map, uint32_t code, uint32_t entry, bs_normbuf *out)
{
    const uint32_t payload = BS_CHAR_PAYLOAD(entry);
    switch (BS_CHAR_KIND(entry)) {
    case BS_CHAR_DROP:
        return true;
    case BS_CHAR_BREAK:
        bs_normbuf_flush(out);
        return true;
    case BS_CHAR_MARK:
        put_mark(out, code, payload);
        return true;
    case BS_CHAR_MANY:
        put_many(map, payload, out);
        return true;
    default:
        break;
    }
    bs_normbuf_flush(out);
    switch (payload & 7) {
    case BS_OTHER_CJK:
        if (out->keep_spaces)
            put_space(out, 0);
        put_alone(out, payload >> 3 ? payload >> 3 : code);
        if (out->keep_spaces)
            put_space(out, 0);
        return true;
    case BS_OTHER_HANGUL:
        put_hangul(out, code);
        return true;
    default:
        return false;
    }
}

static inline bool put_char(const bs_charmap *map, uint32_t code, bs_normbuf *out)
{
    const uint32_t entry = bs_charmap_get(map, code);
    const uint32_t kind = BS_CHAR_KIND(entry);
    if (kind > BS_CHAR_SPACE)
        return put_other(map, code, entry, out);
    if (out->n_marks != 0)
        bs_normbuf_flush(out);
    const uint32_t changed = BS_CHAR_PAYLOAD(entry);
    if (kind == BS_CHAR_WORD)
        put_word(out, changed ? changed : code);
    else if (kind == BS_CHAR_ALONE)
        put_alone(out, changed ? changed : code);
    else
        put_space(out, changed);
    return true;
}

/* One function for each width: characters one by one, blocks of plain ASCII at once. */
#define NORMALIZE_UNITS(name, unit, slot)                                                        \
    static bs_status name(const bs_normalizer *how, const unit *chars, int64_t at, int64_t to,   \
                          bs_normbuf *out, int64_t *bad)                                         \
    {                                                                                            \
        while (at < to) {                                                                        \
            if (chars[at] < 0x80 && out->n_marks == 0)                                           \
                at += how->scan[slot](chars + at, to - at, how->lower, out);                     \
            const int64_t stop = to - at < BS_BLOCK ? to : at + BS_BLOCK;                        \
            for (; at < stop; at++) {                                                            \
                if ((uint32_t)chars[at] >= 0x110000u                                             \
                    || !put_char(how->map, chars[at], out)) {                                    \
                    *bad = at;                                                                   \
                    return BS_ERR_VALUE;                                                         \
                }                                                                                \
            }                                                                                    \
        }                                                                                        \
        return BS_OK;                                                                            \
    }

NORMALIZE_UNITS(normalize_latin1, uint8_t, 0)
NORMALIZE_UNITS(normalize_ucs2, uint16_t, 1)
NORMALIZE_UNITS(normalize_ucs4, uint32_t, 2)

static bs_status normalize_utf8(const bs_normalizer *how, const uint8_t *bytes, int64_t at,
                                int64_t to, bs_normbuf *out, int64_t *bad)
{
    while (at < to) {
        if (bytes[at] < 0x80 && out->n_marks == 0)
            at += how->scan[0](bytes + at, to - at, how->lower, out);
        const int64_t stop = to - at < BS_BLOCK ? to : at + BS_BLOCK;
        while (at < stop) {
            const uint32_t code = bs_utf8_next(bytes, &at, to);
            if (code == BS_CODE_BAD || !put_char(how->map, code, out)) {
                *bad = at;
                return BS_ERR_VALUE;
            }
        }
    }
    return BS_OK;
}

bs_status bs_normalize(const bs_normalizer *how, const bs_text *text, int64_t from, int64_t to,
                       bs_normbuf *out, int64_t *bad)
{
    switch (text->form) {
    case BS_TEXT_LATIN1:
        return normalize_latin1(how, text->data, from, to, out, bad);
    case BS_TEXT_UCS2:
        return normalize_ucs2(how, text->data, from, to, out, bad);
    case BS_TEXT_UCS4:
        return normalize_ucs4(how, text->data, from, to, out, bad);
    default:
        return normalize_utf8(how, text->data, from, to, out, bad);
    }
}
