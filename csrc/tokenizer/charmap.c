#include "tokenizer/charmap.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/unicode_tables.h"

#define CODES 0x110000u
#define ENTRY(kind, payload) ((uint32_t)(kind) | (uint32_t)(payload) << 3)

static const bs_uni_range *range_find(const bs_uni_range *ranges, int count, uint32_t code)
{
    int low = 0, high = count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (ranges[middle].last < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && ranges[low].first <= code ? &ranges[low] : NULL;
}

static unsigned flags_of(uint32_t code)
{
    const bs_uni_range *range = range_find(bs_uni_ranges, bs_uni_range_count, code);
    return range != NULL ? range->value : 0;
}

bool bs_char_is_letter(uint32_t code)
{
    return (flags_of(code) & BS_UNI_LETTER) != 0;
}

bool bs_char_is_space(uint32_t code)
{
    return (flags_of(code) & BS_UNI_SPACE) != 0;
}

static const bs_uni_map *map_find(const bs_uni_map *maps, int count, uint32_t code)
{
    int low = 0, high = count;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (maps[middle].code < code)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && maps[low].code == code ? &maps[low] : NULL;
}

/* The entry of a fully normalised character. */
static uint32_t entry_final(uint32_t code)
{
    const bs_uni_range *mark = range_find(bs_uni_marks, bs_uni_mark_count, code);
    const unsigned flags = flags_of(code);
    if (mark != NULL)
        return ENTRY(BS_CHAR_MARK, code);
    if (flags & BS_UNI_SPACE)
        return ENTRY(BS_CHAR_SPACE, code);
    return ENTRY(flags & BS_UNI_PUNCT ? BS_CHAR_ALONE : BS_CHAR_WORD, code);
}

/* Cleans one code point, strips its accents, lower-cases and classifies it, in the library's order.
 * Returns the number of entries written to `out` (room for 16), or -1 if out[0] is the final
 * entry. */
static int compose(uint32_t code, unsigned flags, const bs_charmap_options *o, uint32_t *out)
{
    uint32_t parts[4] = {code};
    int n_parts = 1, n = 0;

    if (o->clean_text && (flags & (BS_UNI_DROP | BS_UNI_BLANK))) {
        out[0] = ENTRY(flags & BS_UNI_DROP ? BS_CHAR_DROP : BS_CHAR_SPACE, 0);
        return -1;
    }
    if (o->strip_accents) {
        const bs_uni_map *strip = map_find(bs_uni_strip, bs_uni_strip_count, code);
        if (flags & BS_UNI_MARK) {
            const bs_uni_range *accent =
                range_find(bs_uni_accents, bs_uni_accent_count, code);
            out[0] = ENTRY(flags & BS_UNI_BREAK ? BS_CHAR_BREAK : BS_CHAR_DROP,
                           accent != NULL ? accent->value : 0);
            return -1;
        }
        if (strip != NULL) {
            n_parts = strip->count;
            memcpy(parts, bs_uni_strip_pool + strip->start, sizeof *parts * strip->count);
        }
    }
    if (o->tokenize_chinese_chars && (flags & BS_UNI_CJK)) {
        const uint32_t other = parts[0] == code ? 0 : parts[0];
        out[0] = ENTRY(BS_CHAR_OTHER, BS_OTHER_CJK | other << 3);
        return -1;
    }
    for (int i = 0; i < n_parts; i++) {
        const bs_uni_map *lower = NULL;
        if (o->lowercase)
            lower = map_find(bs_uni_lower, bs_uni_lower_count, parts[i]);
        if (lower == NULL)
            out[n++] = entry_final(parts[i]);
        for (int k = 0; lower != NULL && k < lower->count; k++)
            out[n++] = entry_final(bs_uni_lower_pool[lower->start + k]);
    }
    for (int i = 0; i < n; i++) /* without NFD, nothing is reordered */
        if (!o->strip_accents && BS_CHAR_KIND(out[i]) == BS_CHAR_MARK)
            out[i] = ENTRY(BS_CHAR_WORD, BS_CHAR_PAYLOAD(out[i]));
    return n;
}

/* Makes room for one more page. Returns its number, or -1. */
static int page_new(bs_charmap *map)
{
    if (map->n_pages == map->cap_pages) {
        const int cap = map->cap_pages * 2 + 64;
        uint32_t *grown = realloc(map->entries, sizeof *grown * 256 * (size_t)cap);
        if (grown == NULL)
            return -1;
        map->entries = grown;
        map->cap_pages = cap;
    }
    return map->n_pages++;
}

/* Returns a new page filled with one entry, or -1. */
static int page_filled(bs_charmap *map, uint32_t entry)
{
    const int page = page_new(map);
    for (int i = 0; page >= 0 && i < 256; i++)
        map->entries[page * 256 + i] = entry;
    return page;
}

/* Blocks share the first `n_shared` pages; such a page is copied before an entry changes. */
static bs_status entry_set(bs_charmap *map, int n_shared, uint32_t code, uint32_t entry)
{
    int page = map->page[code >> 8];
    if (map->entries[page * 256 + (int)(code & 255)] == entry)
        return BS_OK;
    if (page < n_shared) {
        const int own = page_new(map);
        if (own < 0)
            return BS_ERR_MEMORY;
        memcpy(map->entries + own * 256, map->entries + page * 256, sizeof *map->entries * 256);
        page = own;
        map->page[code >> 8] = (uint16_t)own;
    }
    map->entries[page * 256 + (int)(code & 255)] = entry;
    return BS_OK;
}

static bs_status code_set(bs_charmap *map, int n_shared, uint32_t code, unsigned flags,
                          const bs_charmap_options *options)
{
    uint32_t out[16];
    const int n = compose(code, flags, options, out);
    if (n <= 1) {
        uint32_t entry = out[0];
        const bool self = n == 1 && BS_CHAR_PAYLOAD(entry) == code;
        if (n == 1 && BS_CHAR_KIND(entry) == BS_CHAR_MARK) {
            const bs_uni_range *mark = range_find(bs_uni_marks, bs_uni_mark_count, code);
            if (self && mark != NULL)
                entry = ENTRY(BS_CHAR_MARK, mark->value);
        } else if (self && BS_CHAR_KIND(entry) != BS_CHAR_SPACE) {
            entry = BS_CHAR_KIND(entry);
        }
        if (n != 1 || BS_CHAR_KIND(entry) != BS_CHAR_MARK || self)
            return entry_set(map, n_shared, code, entry);
    }
    if (map->n_many + n > map->cap_many) {
        const int cap = map->cap_many * 2 + 1024;
        uint32_t *grown = realloc(map->many, sizeof *grown * (size_t)cap);
        if (grown == NULL)
            return BS_ERR_MEMORY;
        map->many = grown;
        map->cap_many = cap;
    }
    memcpy(map->many + map->n_many, out, sizeof *out * (size_t)n);
    const uint32_t payload = (uint32_t)map->n_many << 3 | (uint32_t)n;
    map->n_many += n;
    return entry_set(map, n_shared, code, ENTRY(BS_CHAR_MANY, payload));
}

/* Gives blocks within one range their shared page; the rest is set code point by code point. */
static bs_status range_set(bs_charmap *map, const int *shared, int n_shared,
                           const bs_uni_range *range, const bs_charmap_options *options)
{
    uint32_t code = range->first;
    unsigned at_work = range->value & ~(unsigned)BS_UNI_LETTER;
    if (!options->clean_text)
        at_work &= ~(unsigned)(BS_UNI_DROP | BS_UNI_BLANK);
    if (!options->tokenize_chinese_chars)
        at_work &= ~(unsigned)BS_UNI_CJK;
    if (!options->strip_accents)
        at_work &= ~(unsigned)(BS_UNI_MARK | BS_UNI_BREAK);
    while (at_work != 0 && code <= range->last) {
        const bool whole = (code & 255) == 0 && code + 255 <= range->last;
        int page = -1;
        if (whole && options->clean_text && (range->value & BS_UNI_DROP))
            page = shared[1];
        else if (whole && options->tokenize_chinese_chars && (range->value & BS_UNI_CJK))
            page = shared[2];
        if (page >= 0) {
            map->page[code >> 8] = (uint16_t)page;
            code += 256;
            continue;
        }
        if (code_set(map, n_shared, code, range->value, options) != BS_OK)
            return BS_ERR_MEMORY;
        code++;
    }
    return BS_OK;
}

static bs_status fill(bs_charmap *map, const bs_charmap_options *options)
{
    /* In the order in which range_set uses `shared`; page 0 serves everything else. */
    const uint32_t kinds[] = {ENTRY(BS_CHAR_WORD, 0), ENTRY(BS_CHAR_DROP, 0),
                              ENTRY(BS_CHAR_OTHER, BS_OTHER_CJK),
                              ENTRY(BS_CHAR_OTHER, BS_OTHER_HANGUL),
                              ENTRY(BS_CHAR_OTHER, BS_OTHER_INVALID)};
    enum { N_SHARED = sizeof kinds / sizeof *kinds };
    int shared[N_SHARED];

    for (int i = 0; i < N_SHARED; i++)
        if ((shared[i] = page_filled(map, kinds[i])) < 0)
            return BS_ERR_MEMORY;
    for (int i = 0xD800 >> 8; i < 0xE000 >> 8; i++)
        map->page[i] = (uint16_t)shared[4];
    for (int i = 0; i < bs_uni_range_count; i++)
        if (range_set(map, shared, N_SHARED, &bs_uni_ranges[i], options) != BS_OK)
            return BS_ERR_MEMORY;
    for (int i = 0; i < bs_uni_mark_count; i++)
        for (uint32_t c = bs_uni_marks[i].first; c <= bs_uni_marks[i].last; c++)
            if (code_set(map, N_SHARED, c, flags_of(c), options) != BS_OK)
                return BS_ERR_MEMORY;
    for (int i = 0; options->strip_accents && i < bs_uni_strip_count; i++) {
        const uint32_t code = bs_uni_strip[i].code;
        if (code_set(map, N_SHARED, code, flags_of(code), options) != BS_OK)
            return BS_ERR_MEMORY;
    }
    for (int i = 0; options->lowercase && i < bs_uni_lower_count; i++) {
        const uint32_t code = bs_uni_lower[i].code;
        if (code_set(map, N_SHARED, code, flags_of(code), options) != BS_OK)
            return BS_ERR_MEMORY;
    }
    for (uint32_t c = 0xAC00; options->strip_accents && c <= 0xD7A3; c++)
        if ((c & 255) == 0 && c + 255 <= 0xD7A3)
            map->page[c >> 8] = (uint16_t)shared[3];
        else if ((c | 255) > 0xD7A3 && entry_set(map, N_SHARED, c, kinds[3]) != BS_OK)
            return BS_ERR_MEMORY;
    return BS_OK;
}

bs_status bs_charmap_init(bs_charmap *map, const bs_charmap_options *options, bs_error *e)
{
    memset(map, 0, sizeof *map);
    if (fill(map, options) != BS_OK) {
        bs_charmap_clear(map);
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the character map");
    }
    return BS_OK;
}

void bs_charmap_clear(bs_charmap *map)
{
    free(map->entries);
    free(map->many);
    map->entries = NULL;
    map->many = NULL;
}
