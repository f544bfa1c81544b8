#include "tokenizer/tokenizer.h"

#include <stdlib.h>

#include "tokenizer/scan.h"

/* Added tokens that are matched after normalisation are normalised themselves. */
static bs_status specials_init(bs_tokenizer *tok, const bs_added_token *added, int n_added,
                               bs_error *e)
{
    bs_scratch scratch = {0};
    bs_added_token *raw = calloc((size_t)n_added + 1, sizeof *raw);
    bs_added_token *normalized = calloc((size_t)n_added + 1, sizeof *normalized);
    int n_raw = 0, n_normalized = 0;
    bs_status status = BS_OK;

    if (raw == NULL || normalized == NULL) {
        status = bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the added tokens");
        goto done;
    }
    for (int i = 0; i < n_added; i++) {
        if (added[i].content.length == 0)
            continue;
        if (!added[i].normalized) {
            raw[n_raw++] = added[i];
            continue;
        }
        bs_text text = added[i].content;
        if (!tok->byte_level) { /* which normalises nothing */
            status = bs_text_normalize(tok, &scratch, &added[i].content, e);
            if (status != BS_OK)
                goto done;
            text = (bs_text){scratch.whole.bytes, scratch.whole.n, BS_TEXT_UTF8};
        }
        if (text.length == 0)
            continue;
        uint8_t *content = malloc((size_t)text.length);
        if (content == NULL) {
            status = bs_error_set(e, BS_ERR_MEMORY, -1, "out of memory for the added tokens");
            goto done;
        }
        memcpy(content, text.data, (size_t)text.length);
        normalized[n_normalized] = added[i];
        normalized[n_normalized++].content =
            (bs_text){content, text.length, BS_TEXT_UTF8};
    }
    status = bs_special_init(&tok->raw, raw, n_raw, e);
    if (status == BS_OK)
        status = bs_special_init(&tok->normalized, normalized, n_normalized, e);
done:
    for (int i = 0; i < n_normalized; i++)
        free((void *)normalized[i].content.data);
    free(raw);
    free(normalized);
    bs_scratch_free(&scratch);
    return status;
}

static bool has_empty_ends(const bs_text *tokens, int64_t n_tokens)
{
    bool found = false;
    for (int64_t i = 0; i < n_tokens && !found; i++) {
        int64_t at = 0, last = tokens[i].length;
        if (last == 0)
            continue;
        found = bs_looks_empty(bs_text_next(&tokens[i], &at, last));
        at = bs_text_before(&tokens[i], last);
        found |= bs_looks_empty(bs_text_next(&tokens[i], &at, last));
    }
    return found;
}

bs_status bs_tokenizer_init(bs_tokenizer *tok, const bs_text *vocab, int64_t n_vocab,
                            const bs_tokenizer_options *options, const bs_added_token *added,
                            int n_added, bs_error *e)
{
    const bs_charmap_options plain = {0};
    bs_status status = BS_OK;

    memset(tok, 0, sizeof *tok);
    tok->options = *options;
    tok->empty_ends = options->trim_offsets && has_empty_ends(vocab, n_vocab);
    if (options->max_word_chars < 1 || options->max_word_chars > BS_MAX_WORD_CHARS)
        return bs_error_set(e, BS_ERR_VALUE, -1, "max_word_chars is %lld; must be in 1..%d",
                            (long long)options->max_word_chars, BS_MAX_WORD_CHARS);
    tok->normalizer.map = &tok->charmap;
    tok->normalizer.lower = options->normalizer.lowercase;
    tok->plain.map = &tok->plain_map;

    status = bs_scan_choose(&tok->normalizer, e);
    if (status == BS_OK)
        status = bs_scan_choose(&tok->plain, e);
    if (status == BS_OK)
        status = bs_vocab_init(&tok->vocab, vocab, n_vocab, &options->prefix,
                               options->max_word_chars, e);
    if (status == BS_OK)
        status = bs_wordpiece_init(&tok->wordpiece, &tok->vocab, &options->prefix,
                                   options->max_word_chars * 4, e);
    if (status == BS_OK)
        status = bs_charmap_init(&tok->charmap, &options->normalizer, e);
    if (status == BS_OK)
        status = specials_init(tok, added, n_added, e);
    if (status == BS_OK && tok->normalized.n_tokens > 0)
        status = bs_charmap_init(&tok->plain_map, &plain, e);
    tok->prefix_length = options->prefix.length;
    tok->options.prefix = (bs_text){NULL, 0, BS_TEXT_UTF8};
    if (status != BS_OK)
        bs_tokenizer_clear(tok);
    return status;
}

bs_status bs_tokenizer_init_bpe(bs_tokenizer *tok, const bs_text *tokens, int64_t n_tokens,
                                const bs_text *merges, int64_t n_merges,
                                const bs_bpe_options *options, const bs_added_token *added,
                                int n_added, bs_error *e)
{
    bs_status status;

    memset(tok, 0, sizeof *tok);
    tok->byte_level = true;
    tok->bpe_options = *options;
    tok->options.cls_id = options->cls_id;
    tok->options.sep_id = options->sep_id;
    tok->options.pair_separators = options->pair_separators;
    tok->options.trim_offsets = options->trim_offsets;
    status = bs_bpe_init(&tok->bpe, tokens, n_tokens, merges, n_merges, e);
    if (status == BS_OK)
        status = bs_classes_init(&tok->classes, e);
    if (status == BS_OK)
        status = specials_init(tok, added, n_added, e);
    if (status != BS_OK)
        bs_tokenizer_clear(tok);
    return status;
}

void bs_tokenizer_clear(bs_tokenizer *tok)
{
    bs_bpe_clear(&tok->bpe);
    bs_classes_clear(&tok->classes);
    bs_vocab_clear(&tok->vocab);
    bs_wordpiece_clear(&tok->wordpiece);
    bs_charmap_clear(&tok->charmap);
    bs_charmap_clear(&tok->plain_map);
    bs_special_clear(&tok->raw);
    bs_special_clear(&tok->normalized);
}
