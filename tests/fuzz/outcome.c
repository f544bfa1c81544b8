#include "outcome.h"

void outcome_clear(outcome *o)
{
    free(o->ids);
    free(o->offsets);
    free(o->cut);
    free(o->n_first);
    free(o->spans);
    free(o->windows);
}

outcome run(const bs_tokenizer *tok, const bs_text *texts, const bs_text *seconds, int64_t n,
            const bs_encode_options *options)
{
    outcome o = {.n_texts = n, .item = -1, .byte = -1};
    bs_encodings *batch = NULL;
    bs_error e = BS_ERROR_INIT;
    o.status = bs_encodings_make(tok, texts, seconds, n, options, &batch, &e);
    if (o.status != BS_OK) {
        const char *byte = strstr(e.text, "at byte ");
        CHECK(batch == NULL && e.text[0] != '\0' && e.status == o.status, "a mute failure");
        CHECK(e.item >= 0 && e.item < (seconds == NULL ? n : 2 * n), "item %lld",
              (long long)e.item);
        o.item = e.item;
        o.no_room = strncmp(e.text, "cannot be cut", 13) == 0;
        if (byte != NULL)
            o.byte = atoll(byte + 8);
        return o;
    }
    const int64_t total = bs_encodings_total(batch), limit = options->max_length;
    const int64_t n_sequences = bs_encodings_sequences(batch);
    const bool windows = options->form == BS_KEEP_WINDOWS;
    o.ids = must_alloc(NULL, sizeof *o.ids * (size_t)total);
    o.offsets = must_alloc(NULL, sizeof *o.offsets * (size_t)(n_sequences + 1));
    o.windows = must_alloc(NULL, sizeof *o.windows * (size_t)(n + 1));
    o.cut = must_alloc(NULL, (size_t)n);
    o.n_first = must_alloc(NULL, sizeof *o.n_first * (size_t)n);
    if (options->spans)
        o.spans = must_alloc(NULL, sizeof *o.spans * (size_t)total);
    bs_encodings_copy(batch, o.ids, o.offsets, o.cut, o.n_first, o.spans, o.windows);
    bs_encodings_free(batch);
    CHECK(o.offsets[0] == 0 && o.offsets[n_sequences] == total, "%lld",
          (long long)o.offsets[n_sequences]);
    CHECK(o.windows[0] == 0 && o.windows[n] == n_sequences && (windows || n_sequences == n),
          "%lld sequences", (long long)n_sequences);
    for (int64_t i = 0; i < n && !windows; i++) {
        const int64_t count = o.offsets[i + 1] - o.offsets[i];
        CHECK(count >= 0 && o.cut[i] <= (limit > 0) && (limit == 0 || count <= limit),
              "text %lld: %lld ids", (long long)i, (long long)count);
        CHECK(seconds == NULL ? o.n_first[i] == count : o.n_first[i] <= count,
              "text %lld: %lld of %lld are the first's", (long long)i, (long long)o.n_first[i],
              (long long)count);
    }
    for (int64_t k = 0; k < total; k++)
        CHECK(o.ids[k] >= 0 && o.ids[k] < tok->vocab.size, "%d", o.ids[k]);
    return o;
}

void check_same(const outcome *a, int64_t at, const outcome *b, int64_t from, int64_t count,
                const char *what, int64_t text)
{
    for (int64_t k = 0; k < count; k++) {
        CHECK(a->ids[at + k] == b->ids[from + k], "%s, text %lld, id %lld: %d, not %d", what,
              (long long)text, (long long)k, a->ids[at + k], b->ids[from + k]);
        if (a->spans == NULL || b->spans == NULL)
            continue;
        const bs_span is = a->spans[at + k], wanted = b->spans[from + k];
        CHECK(is.start == wanted.start && is.stop == wanted.stop,
              "%s, text %lld, token %lld: %lld to %lld, not %lld to %lld", what, (long long)text,
              (long long)k, (long long)is.start, (long long)is.stop, (long long)wanted.start,
              (long long)wanted.stop);
    }
}

void check_equal(const outcome *a, const outcome *b, const char *what, int detail)
{
    CHECK(a->status == b->status && a->item == b->item, "%s %d: %d at %lld, %d at %lld", what,
          detail, a->status, (long long)a->item, b->status, (long long)b->item);
    for (int64_t i = 0; i < a->n_texts && a->status == BS_OK; i++) {
        CHECK(a->offsets[i + 1] == b->offsets[i + 1] && a->cut[i] == b->cut[i]
                  && a->n_first[i] == b->n_first[i],
              "%s %d, text %lld", what, detail, (long long)i);
        check_same(a, a->offsets[i], b, a->offsets[i], a->offsets[i + 1] - a->offsets[i], what, i);
    }
}

static bool is_ascii_space(uint32_t code)
{
    return code == ' ' || (code >= 9 && code <= 13);
}

/* Printable, or white space under every normaliser. */
static bool is_plain(const uint32_t *codes, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if ((codes[i] < 0x20 && codes[i] != '\t' && codes[i] != '\n' && codes[i] != '\r')
            || codes[i] >= 0x7F)
            return false;
    return true;
}

/* Whether plain text, normalised if `how` says so, is `wanted`, up to white space at its ends. */
static bool is_text(const uint32_t *codes, int64_t n, const bs_charmap_options *how,
                    const uint32_t *wanted, int64_t n_wanted)
{
    for (; n > 0 && is_ascii_space(codes[n - 1]); n--)
        ;
    for (; n > 0 && is_ascii_space(codes[0]); n--)
        codes++;
    for (; n_wanted > 0 && is_ascii_space(wanted[n_wanted - 1]); n_wanted--)
        ;
    for (; n_wanted > 0 && is_ascii_space(wanted[0]); n_wanted--)
        wanted++;
    if (n != n_wanted)
        return false;
    for (int64_t i = 0; i < n; i++) {
        uint32_t code = codes[i];
        if (how != NULL && how->lowercase && code >= 'A' && code <= 'Z')
            code += 'a' - 'A';
        if (how != NULL && how->clean_text && is_ascii_space(code))
            code = ' ';
        if (code != wanted[i])
            return false;
    }
    return true;
}

/* Whether plain text may have become this id. */
static bool is_token(const fixture *f, int32_t id, const uint32_t *codes, int64_t n)
{
    const bs_charmap_options *how = &f->tok.options.normalizer;
    const bs_text prefix = f->plain.prefix, token = f->vocab[id];
    bool spaces = false;
    for (int64_t i = 0; i < n; i++)
        spaces = spaces || is_ascii_space(codes[i]);
    if (id == f->tok.options.unk_id && !spaces)
        return true;
    for (int i = 0; i < f->n_added; i++)
        if (f->added[i].id == id
            && is_text(codes, n, f->added[i].normalized ? how : NULL, f->plain.content[i].codes,
                       f->plain.content[i].n))
            return true;
    for (int tail = 0; tail < 2 && !spaces; tail++) {
        const int64_t before = tail ? prefix.length : 0;
        const uint8_t *bytes = token.data;
        if (token.length != before + n || memcmp(bytes, prefix.data, (size_t)before) != 0)
            continue;
        int64_t i = 0;
        while (i < n) {
            const uint32_t wanted = bytes[before + i];
            if (!is_text(codes + i, 1, how, &wanted, 1))
                break;
            i++;
        }
        if (i == n)
            return true;
    }
    return false;
}

void check_spans(const fixture *f, const outcome *o, int64_t at, int64_t count,
                 const uint32_t *codes, int64_t n)
{
    const bs_span *spans = o->spans + at;
    const bool plain = is_plain(codes, n);
    int64_t done = 0;
    for (int64_t k = 0; k < count; k++) {
        const int64_t start = spans[k].start, stop = spans[k].stop;
        CHECK(start >= 0 && start < stop && stop <= n, "token %lld: %lld to %lld of %lld",
              (long long)k, (long long)start, (long long)stop, (long long)n);
        /* A token may begin in the white space of the one before, and end there. */
        CHECK(f->strips || k == 0 || start >= spans[k - 1].start, "token %lld: %lld after %lld",
              (long long)k, (long long)start, (long long)spans[k - 1].start);
        if (!plain)
            continue;
        CHECK(f->strips || start >= done, "token %lld: %lld before %lld", (long long)k,
              (long long)start, (long long)done);
        for (int64_t i = done; i < start; i++)
            CHECK(is_ascii_space(codes[i]), "character %lld belongs to no token", (long long)i);
        CHECK(is_token(f, o->ids[at + k], codes + start, stop - start),
              "token %lld, id %d: %lld to %lld is another text", (long long)k, o->ids[at + k],
              (long long)start, (long long)stop);
        done = stop;
    }
    for (int64_t i = done; plain && i < n; i++)
        CHECK(is_ascii_space(codes[i]), "character %lld belongs to no token", (long long)i);
}
