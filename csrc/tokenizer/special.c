#include "tokenizer/special.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/charmap.h"

static bool bit_test(const uint64_t *bits, uint32_t at)
{
    return bits[at >> 6 & 3] >> (at & 63) & 1;
}

/* The slot of a child of `node`, or the free one where it would be. */
static uint32_t slot_find(const bs_special *special, int32_t node, uint32_t code)
{
    const uint64_t key = (uint64_t)(uint32_t)node << 32 | code;
    uint32_t at = (uint32_t)(key * 0x9E3779B97F4A7C15ull >> 32) & special->slot_mask;
    for (;; at = (at + 1) & special->slot_mask) {
        const bs_special_node *child = &special->nodes[special->slots[at]];
        if (special->slots[at] == 0 || (child->parent == node && child->code == code))
            return at;
    }
}

static int32_t child_find(const bs_special *special, int32_t node, uint32_t code)
{
    return special->slots[slot_find(special, node, code)];
}

static bs_status token_add(bs_special *special, const bs_added_token *token, int index,
                           bs_error *e)
{
    int32_t node = 0;
    int64_t at = 0;
    while (at < token->content.length) {
        const bool first = at == 0;
        const uint32_t code = bs_text_next(&token->content, &at, token->content.length);
        if (code == BS_CODE_BAD)
            return bs_error_set(e, BS_ERR_VALUE, index, "added token %d is not valid text", index);
        int32_t *child = &special->slots[slot_find(special, node, code)];
        if (*child == 0) {
            *child = special->n_nodes++;
            special->nodes[*child] = (bs_special_node){code, node, -1};
        }
        if (first) {
            const uint8_t lead = *(const uint8_t *)token->content.data;
            special->first[code >> 6 & 3] |= 1ull << (code & 63);
            special->lead[lead >> 6] |= 1ull << (lead & 63);
            special->only_first = code < 0x80 && (special->only_first == (int)code || index == 0)
                                      ? (int)code : -1;
        }
        node = *child;
    }
    special->nodes[node].token = index;
    special->tokens[index] = *token;
    special->tokens[index].content.data = NULL;
    return BS_OK;
}

bs_status bs_special_init(bs_special *special, const bs_added_token *tokens, int n_tokens,
                          bs_error *e)
{
    int64_t n_nodes = 1;
    uint32_t n_slots = 16;
    bs_status status = BS_OK;

    memset(special, 0, sizeof *special);
    for (int i = 0; i < n_tokens; i++)
        n_nodes += tokens[i].content.length;
    if (n_nodes > INT32_MAX / 2)
        return bs_error_set(e, BS_ERR_VALUE, -1, "the added tokens are too long");
    while (n_slots < 2 * n_nodes)
        n_slots *= 2;
    special->nodes = calloc((size_t)n_nodes, sizeof *special->nodes);
    special->slots = calloc(n_slots, sizeof *special->slots);
    special->tokens = calloc((size_t)n_tokens + 1, sizeof *special->tokens);
    if (special->nodes == NULL || special->slots == NULL || special->tokens == NULL) {
        bs_special_clear(special);
        return bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the added tokens");
    }
    special->slot_mask = n_slots - 1;
    special->nodes[0].token = -1;
    special->n_nodes = 1;
    special->n_tokens = n_tokens;
    special->only_first = -1;
    for (int i = 0; i < n_tokens && status == BS_OK; i++)
        status = token_add(special, &tokens[i], i, e);
    if (status != BS_OK)
        bs_special_clear(special);
    return status;
}

void bs_special_clear(bs_special *special)
{
    free(special->nodes);
    free(special->slots);
    free(special->tokens);
    memset(special, 0, sizeof *special);
}

#define FIND_UNIT(name, unit)                                                                    \
    static int64_t name(const unit *chars, int64_t from, int64_t to, unit wanted)                \
    {                                                                                            \
        for (; from + 32 <= to; from += 32) {                                                    \
            unit any = 0;                                                                        \
            for (int i = 0; i < 32; i++)                                                         \
                any |= (unit)(chars[from + i] == wanted);                                        \
            if (any)                                                                             \
                break;                                                                           \
        }                                                                                        \
        while (from < to && chars[from] != wanted)                                               \
            from++;                                                                              \
        return from;                                                                             \
    }

FIND_UNIT(find_ucs2, uint16_t)
FIND_UNIT(find_ucs4, uint32_t)

/* The first unit in [from, to) at which a token may begin, or `to`. */
static int64_t candidate(const bs_special *special, const bs_text *text, int64_t from, int64_t to)
{
    if (special->only_first >= 0) {
        if (text->form == BS_TEXT_UCS2)
            return find_ucs2(text->data, from, to, (uint16_t)special->only_first);
        if (text->form == BS_TEXT_UCS4)
            return find_ucs4(text->data, from, to, (uint32_t)special->only_first);
        const uint8_t *bytes = text->data;
        const uint8_t *found = memchr(bytes + from, special->only_first, (size_t)(to - from));
        return found == NULL ? to : found - bytes;
    }
    for (; from < to; from++) {
        uint32_t code;
        switch (text->form) {
        case BS_TEXT_UCS2:
            code = ((const uint16_t *)text->data)[from];
            break;
        case BS_TEXT_UCS4:
            code = ((const uint32_t *)text->data)[from];
            break;
        default:
            code = ((const uint8_t *)text->data)[from];
            break;
        }
        if (bit_test(text->form == BS_TEXT_UTF8 ? special->lead : special->first, code & 255))
            break;
    }
    return from;
}

/* The index of the longest token at `start`, with its end in *stop, or -1. */
static int longest(const bs_special *special, const bs_text *text, int64_t start, int64_t *stop)
{
    int32_t node = 0;
    int found = -1;
    int64_t at = start;
    while (at < text->length) {
        const uint32_t code = bs_text_next(text, &at, text->length);
        if (code == BS_CODE_BAD || (node = child_find(special, node, code)) == 0)
            break;
        if (special->nodes[node].token >= 0) {
            found = special->nodes[node].token;
            *stop = at;
        }
    }
    return found;
}

static bool letter_before(const bs_text *text, int64_t start, int64_t at)
{
    if (at <= start)
        return false;
    at = bs_text_before(text, at);
    const uint32_t code = bs_text_next(text, &at, text->length);
    return code < 0x110000 && bs_char_is_letter(code);
}

static bool letter_after(const bs_text *text, int64_t at)
{
    if (at >= text->length)
        return false;
    const uint32_t code = bs_text_next(text, &at, text->length);
    return code < 0x110000 && bs_char_is_letter(code);
}

bool bs_special_next(const bs_special *special, const bs_text *text, int64_t start, int64_t from,
                     int64_t to, bool skip_special, bs_special_match *match, int64_t *resume)
{
    /* A skipped match may have ended past `to`. */
    while (from < to && (from = candidate(special, text, from, to)) < to) {
        int64_t stop = 0;
        const int index = longest(special, text, from, &stop);
        if (index < 0) {
            from++;
            continue;
        }
        const bs_added_token *token = &special->tokens[index];
        if ((skip_special && token->special)
            || (token->single_word
                && (letter_before(text, start, from) || letter_after(text, stop)))) {
            from = stop;
            continue;
        }
        *match = (bs_special_match){from, stop, token->id, token->lstrip, token->rstrip};
        return true;
    }
    *resume = from;
    return false;
}

void bs_special_widen(bs_special_match *match, const bs_text *text, int64_t least,
                      int64_t *spaces)
{
    while (match->lstrip && match->start > least) {
        const int64_t before = bs_text_before(text, match->start);
        int64_t at = before;
        const uint32_t code = bs_text_next(text, &at, text->length);
        if (code >= 0x110000 || !bs_char_is_space(code) || at != match->start)
            break; /* at != start: a stray UTF-8 byte in between, which is an error */
        match->start = before;
    }
    if (match->lstrip && match->start < least)
        match->start = least;
    if (!match->rstrip)
        return;
    if (match->stop < *spaces) { /* within white space that was already passed */
        match->stop = *spaces;
        return;
    }
    while (match->stop < text->length) {
        int64_t at = match->stop;
        const uint32_t code = bs_text_next(text, &at, text->length);
        if (code >= 0x110000 || !bs_char_is_space(code))
            break;
        match->stop = at;
    }
    *spaces = match->stop;
}
