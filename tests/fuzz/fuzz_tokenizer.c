/* A libFuzzer target. It makes a tokenizer and a batch of texts from the input, and compares the
 * result with a slow tokenizer and with itself: in every storage width, on every instruction set,
 * in pairs, truncated, in windows, damaged, and on two threads.
 *
 *     tests/fuzz/run tokenizer -max_total_time=60
 *
 * The first six bytes are switches; the rest is a small language for texts, see texts_read. */
#include "core/isa.h"
#include "core/pool.h"
#include "outcome.h"
#include "tokenizer/scan.h"

#define TILED_UNITS 200000 /* enough for several tasks */
#define N_SWITCHES 6

/* Compares with the slow tokenizer; texts with surrogates must have failed. */
static void check_plain(const fixture *f, const text_list *texts, const bs_encode_options *options,
                        const outcome *o)
{
    bs_ids ids = {0};
    for (int i = 0; i < texts->n; i++)
        for (int64_t k = texts->starts[i]; k < texts->starts[i + 1]; k++)
            if (is_surrogate(texts->codes[k])) {
                CHECK(o->status == BS_ERR_VALUE && o->item == i, "surrogate in text %d", i);
                return;
            }
    CHECK(o->status == BS_OK, "status %d", o->status);
    const int extra = options->add_special;
    for (int i = 0; i < texts->n; i++) {
        const int32_t *got = o->ids + o->offsets[i];
        const int64_t n = o->offsets[i + 1] - o->offsets[i] - 2 * extra;
        ids.n = 0;
        plain_encode(&f->plain, texts->codes + texts->starts[i],
                     texts->starts[i + 1] - texts->starts[i], options->plain_specials, &ids);
        CHECK(n == ids.n, "text %d: %lld ids, not %lld", i, (long long)n, (long long)ids.n);
        for (int64_t k = 0; k < n; k++)
            CHECK(got[k + extra] == ids.data[k], "text %d, id %lld: %d, not %d", i, (long long)k,
                  got[k + extra], ids.data[k]);
        if (o->spans != NULL)
            check_spans(f, o, o->offsets[i] + extra, n, texts->codes + texts->starts[i],
                        texts->starts[i + 1] - texts->starts[i]);
        CHECK(!extra || (got[0] == 1 && got[n + 1] == 2), "text %d: no [CLS] or [SEP]", i);
    }
    free(ids.data);
}

/* Checks that `o` has `keep` of the `count` tokens of `whole` from `from` on, by the truncation. */
static void check_kept(const outcome *o, int64_t at, const outcome *whole, int64_t from,
                       int64_t count, int64_t keep, bs_cut_form form, int64_t text)
{
    const int64_t head = keep == count || form == BS_KEEP_HEAD ? keep
                         : form == BS_KEEP_TAIL                ? 0
                                                               : (keep + 3) / 4;
    check_same(o, at, whole, from, head, "head", text);
    check_same(o, at + head, whole, from + count - (keep - head), keep - head, "tail", text);
}

static void check_special(const outcome *o, int64_t at, int32_t id)
{
    CHECK(o->ids[at] == id, "%d, not %d", o->ids[at], id);
    CHECK(o->spans == NULL || (o->spans[at].start == 0 && o->spans[at].stop == 0), "at %lld",
          (long long)at);
}

/* Errors in parts that are not read go unnoticed; for a tail, all is read. */
static void check_cut(const bs_tokenizer *tok, const bs_text *texts, const outcome *whole,
                      const bs_encode_options *options)
{
    const int64_t extra = options->add_special ? 1 : 0, limit = options->max_length - 2 * extra;
    const bool reads_all = options->form != BS_KEEP_HEAD && limit > 0;
    outcome o = run(tok, texts, NULL, whole->n_texts, options);
    CHECK(o.status == whole->status || (o.status == BS_OK && !reads_all), "status %d", o.status);
    CHECK(o.status == BS_OK || o.item >= whole->item, "item %lld", (long long)o.item);
    CHECK(!reads_all || o.item == whole->item, "item %lld", (long long)o.item);
    for (int64_t i = 0; i < whole->n_texts && whole->status == BS_OK; i++) {
        const int64_t full = whole->offsets[i + 1] - whole->offsets[i] - 2 * extra;
        const int64_t n = o.offsets[i + 1] - o.offsets[i] - 2 * extra;
        CHECK(o.cut[i] == (full > limit) && n == (full > limit ? limit : full),
              "text %lld: %lld of %lld", (long long)i, (long long)n, (long long)full);
        check_kept(&o, o.offsets[i] + extra, whole, whole->offsets[i] + extra, full, n,
                   options->form, i);
        if (extra) {
            check_special(&o, o.offsets[i], 1);
            check_special(&o, o.offsets[i + 1] - 1, 2);
        }
    }
    outcome_clear(&o);
}

/* Reads all of each text in windows that overlap. */
static void check_windows(const bs_tokenizer *tok, const bs_text *texts, const outcome *whole,
                          const bs_encode_options *options, int64_t stride)
{
    const int64_t extra = options->add_special ? 1 : 0;
    const int64_t room = options->max_length + 1 - 2 * extra;
    bs_encode_options how = *options;
    how.max_length++; /* room for a piece, at least */
    how.form = BS_KEEP_WINDOWS;
    how.stride = stride % room;
    outcome o = run(tok, texts, NULL, whole->n_texts, &how);
    CHECK(o.status == whole->status && o.item == whole->item, "status %d", o.status);
    for (int64_t i = 0; i < whole->n_texts && o.status == BS_OK; i++) {
        const int64_t from = whole->offsets[i] + extra;
        const int64_t n = whole->offsets[i + 1] - whole->offsets[i] - 2 * extra;
        int64_t at = 0, w = o.windows[i];
        for (;; w++, at += room - how.stride) {
            const int64_t count = o.offsets[w + 1] - o.offsets[w] - 2 * extra;
            CHECK(w < o.windows[i + 1] && count == (n - at < room ? n - at : room),
                  "text %lld, window at %lld: %lld", (long long)i, (long long)at,
                  (long long)count);
            check_same(&o, o.offsets[w] + extra, whole, from + at, count, "window", i);
            if (extra) {
                check_special(&o, o.offsets[w], 1);
                check_special(&o, o.offsets[w + 1] - 1, 2);
            }
            if (at + count == n)
                break;
        }
        CHECK(w + 1 == o.windows[i + 1] && o.cut[i] == (n > room), "text %lld: %lld windows",
              (long long)i, (long long)(o.windows[i + 1] - o.windows[i]));
    }
    outcome_clear(&o);
}

/* Number of pieces that each text of a pair keeps if they are removed one by one, or false. */
static bool pair_keeps(const bs_encode_options *options, const int64_t n[2], int64_t room,
                       int64_t keep[2])
{
    const bool cuts = options->max_length > 0 && n[0] + n[1] > room;
    keep[0] = n[0];
    keep[1] = n[1];
    if (cuts && room > 0 && options->which != BS_CUT_LONGEST) {
        const int which = options->which == BS_CUT_SECOND;
        keep[which] = room - n[!which];
        return keep[which] > 0;
    }
    while (cuts && keep[0] + keep[1] > room)
        if (keep[0] != keep[1])
            keep[keep[1] > keep[0]]--;
        else
            keep[n[0] <= n[1] ? 0 : 1]--; /* the shorter one before */
    return true;
}

/* Encodes each text in a pair with another one, and compares with the two by themselves. */
static void check_pairs(const bs_tokenizer *tok, const text_list *list, const bs_text *texts,
                        int shift, const outcome *whole, const bs_encode_options *options)
{
    bs_text seconds[MAX_TEXTS] = {0};
    bool bad[MAX_TEXTS] = {false}, any_bad = false;
    int64_t item = -1;
    const int n = list->n, extra = options->add_special;

    for (int i = 0; i < n; i++) {
        seconds[i] = texts[(i + shift) % n];
        for (int64_t k = list->starts[i]; k < list->starts[i + 1]; k++)
            bad[i] = bad[i] || is_surrogate(list->codes[k]);
        any_bad = any_bad || bad[i];
    }
    outcome o = run(tok, texts, seconds, n, options);
    if (any_bad && options->max_length > 0) {
        CHECK(o.status == BS_OK || o.no_room || bad[(o.item % n + o.item / n * shift) % n],
              "item %lld", (long long)o.item);
        goto done;
    }
    for (int i = 0; i < n && item < 0; i++) {
        const int second = (i + shift) % n, both[2] = {i, second};
        const int64_t room = options->max_length - 3 * extra;
        int64_t count[2], keep[2], at;
        if (bad[i] || bad[second]) {
            item = bad[i] ? i : i + n;
            break;
        }
        if (any_bad)
            continue; /* there are no ids */
        for (int k = 0; k < 2; k++)
            count[k] = whole->offsets[both[k] + 1] - whole->offsets[both[k]] - 2 * extra;
        if (!pair_keeps(options, count, room, keep)) {
            item = i + (options->which == BS_CUT_SECOND ? n : 0);
            CHECK(o.no_room, "pair %d: status %d", i, o.status);
            break;
        }
        if (o.status != BS_OK)
            continue;
        at = o.offsets[i];
        CHECK(o.offsets[i + 1] - at == keep[0] + keep[1] + 3 * extra
                  && o.n_first[i] == keep[0] + 2 * extra
                  && o.cut[i] == (keep[0] + keep[1] < count[0] + count[1]),
              "pair %d: %lld, the first's %lld; must be %lld and %lld", i,
              (long long)(o.offsets[i + 1] - at), (long long)o.n_first[i], (long long)keep[0],
              (long long)keep[1]);
        for (int k = 0; k < 2; k++) {
            if (extra && k == 0)
                check_special(&o, at++, 1);
            check_kept(&o, at, whole, whole->offsets[both[k]] + extra, count[k], keep[k],
                       options->form, i);
            at += keep[k];
            if (extra)
                check_special(&o, at++, 2);
        }
    }
    CHECK(o.item == item && (o.status == BS_OK) == (item < 0), "item %lld, not %lld",
          (long long)o.item, (long long)item);
done:
    outcome_clear(&o);
}

/* Repeats the texts, so that there are several tasks, on two threads. */
static void check_threads(const bs_tokenizer *tok, const bs_text *texts, const outcome *whole,
                          const bs_encode_options *options)
{
    bs_encode_options two = *options;
    int64_t units = 0;
    two.n_threads = 2;
    for (int64_t i = 0; i < whole->n_texts; i++)
        units += texts[i].length + 32;
    const int64_t rounds = TILED_UNITS / units + 1, n = whole->n_texts;
    bs_text *tiled = must_alloc(NULL, sizeof *tiled * (size_t)(rounds * n));
    for (int64_t i = 0; i < rounds * n; i++)
        tiled[i] = texts[i % n];
    outcome o = run(tok, tiled, NULL, rounds * n, &two);
    CHECK(o.status == whole->status && o.item == whole->item, "status %d", o.status);
    for (int64_t i = 0; i < rounds * n && o.status == BS_OK; i++) {
        const int64_t length = whole->offsets[i % n + 1] - whole->offsets[i % n];
        CHECK(o.offsets[i + 1] - o.offsets[i] == length, "text %lld in round %lld",
              (long long)(i % n), (long long)(i / n));
        check_same(&o, o.offsets[i], whole, whole->offsets[i % n], length, "tiled", i);
    }
    outcome_clear(&o);
    free(tiled);
}

/* Encodes the same texts with the other instruction sets. */
static void check_scans(const bs_tokenizer *tok, const bs_text *texts, const outcome *whole,
                        const bs_encode_options *options)
{
    const bs_scan_fn *scans[1 + BS_ISA_COUNT] = {bs_scan_none};
    int n = 1;
    for (int i = 0; i < BS_ISA_COUNT; i++)
        if (bs_isa_available((bs_isa)i) && bs_scan_isa((bs_isa)i) == (bs_isa)i)
            scans[n++] = bs_scan_of((bs_isa)i);
    for (int i = 0; i < n; i++) {
        bs_tokenizer other = *tok; /* its pointers are shared */
        memcpy(other.normalizer.scan, scans[i], sizeof other.normalizer.scan);
        memcpy(other.plain.scan, scans[i], sizeof other.plain.scan);
        outcome o = run(&other, texts, NULL, whole->n_texts, options);
        check_equal(whole, &o, "scanner", i);
        outcome_clear(&o);
    }
}

/* Position of the first invalid UTF-8 by table 3-7 of the Unicode standard, or -1. */
static int64_t bad_byte(const uint8_t *s, int64_t n)
{
    int64_t i = 0;
    while (i < n) {
        const uint8_t c = s[i];
        const int more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : c >= 0xE0 && c < 0xF0 ? 2
                         : c >= 0xF0 && c < 0xF5 ? 3 : -1;
        const uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
        const uint8_t high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
        if (more < 0 || n - i <= more || (more > 0 && (s[i + 1] < low || s[i + 1] > high)))
            return i;
        for (int k = 2; k <= more; k++)
            if (s[i + k] < 0x80 || s[i + k] > 0xBF)
                return i;
        i += 1 + more;
    }
    return -1;
}

/* Texts declared as UTF-8: the error names the first invalid one and the position. With truncation
 * it may name another invalid one, but never a valid one. */
static void check_utf8(const bs_tokenizer *tok, const bs_text *texts, int64_t n,
                       const bs_encode_options *options, const bs_encode_options *shorter)
{
    int64_t item = 0, byte = -1;
    while (item < n && (byte = bad_byte(texts[item].data, texts[item].length)) < 0)
        item++;
    outcome o = run(tok, texts, NULL, n, options);
    CHECK((o.status == BS_OK) == (item == n) && o.item == (item < n ? item : -1)
              && o.byte == byte,
          "item %lld, byte %lld; must be %lld, %lld", (long long)o.item, (long long)o.byte,
          (long long)item, (long long)byte);
    check_cut(tok, texts, &o, shorter);
    check_scans(tok, texts, &o, options);
    outcome_clear(&o);
    bs_encode_options pairs = *shorter;
    pairs.max_length++; /* room for a third special token, at least */
    o = run(tok, texts, texts, n, &pairs);
    CHECK(o.status == BS_OK || o.no_room || bad_byte(texts[o.item % n].data,
                                                     texts[o.item % n].length) == o.byte,
          "item %lld, byte %lld", (long long)o.item, (long long)o.byte);
    outcome_clear(&o);
}

/* Any bytes, as UTF-8 and as UCS-4: mostly not valid texts. */
static void check_garbage(const bs_tokenizer *tok, const uint8_t *data, size_t size,
                          const bs_encode_options *options, const bs_encode_options *shorter)
{
    for (int k = 0; k < 2; k++) {
        const bs_text_form form = k == 0 ? BS_TEXT_UTF8 : BS_TEXT_UCS4;
        uint8_t *copy = must_alloc(NULL, size);
        if (size > 0)
            memcpy(copy, data, size);
        const bs_text texts[2] = {{copy, (int64_t)size / (k == 0 ? 1 : 4), form},
                                  {copy, (int64_t)size / (k == 0 ? 2 : 8), form}};
        if (k == 0) {
            check_utf8(tok, texts, 2, options, shorter);
        } else {
            outcome whole = run(tok, texts, NULL, 2, options);
            check_cut(tok, texts, &whole, shorter);
            check_scans(tok, texts, &whole, options);
            outcome_clear(&whole);
        }
        free(copy);
    }
}

/* The texts in UTF-8, one of them with one byte changed, or truncated. */
static void check_damage(const bs_tokenizer *tok, const text_list *list, uint8_t where,
                         uint8_t what, const bs_encode_options *options,
                         const bs_encode_options *shorter)
{
    bs_text texts[MAX_TEXTS];
    for (int i = 0; i < list->n; i++)
        texts[i] = text_make(list, i, BS_TEXT_UTF8);
    bs_text *text = &texts[where % list->n];
    const int64_t at = text->length * where / 256;
    if (what < 0x40) {
        text->length = at;
        text->data = must_alloc((void *)text->data, (size_t)at);
    } else if (text->length > 0) {
        ((uint8_t *)text->data)[at] = what;
    }
    check_utf8(tok, texts, list->n, options, shorter);
    for (int i = 0; i < list->n; i++)
        free((void *)texts[i].data);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return bs_pool_init(NULL) == BS_OK ? 0 : 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const bs_text_form forms[4] = {BS_TEXT_UCS4, BS_TEXT_UCS2, BS_TEXT_LATIN1,
                                          BS_TEXT_UTF8};
    text_list list;
    fixture derived = {0};
    outcome reference = {0};

    if (size < N_SWITCHES)
        return 0;
    const int normalizer = ~data[0] & 15, limit = data[0] >> 4 & 3, added = data[1] & 3;
    const bool is_derived = (data[0] & 0xC0) == 0xC0, strips = data[1] & 0x80;
    /* Many texts are needed for that, so few inputs do it. */
    const bool threads = (data[1] & 0x70) == 0x70 && data[2] % 16 == 0, garbage = (data[1] & 0x70) == 0x60;
    const bool damage = (data[1] & 0x70) == 0x50, pairs = data[4] & 0x20;
    const bs_encode_options options = {.add_special = !(data[1] & 4),
                                       .plain_specials = data[1] & 8, .spans = data[4] & 0x10,
                                       .n_threads = 1};
    bs_encode_options shorter = options, shorter_pairs;
    shorter.which = (data[4] & 3) % 3;
    shorter.form = (data[4] >> 2 & 3) % 3;
    shorter_pairs = shorter;
    shorter.max_length = 2 + (data[2] < 128 ? data[2] : (data[2] - 127) * 40);
    shorter_pairs.max_length = 3 + (data[5] < 192 ? data[5] : (data[5] - 191) * 99);

    texts_read(&list, data + N_SWITCHES, size - N_SWITCHES);
    const fixture *f = &derived;
    if (is_derived)
        fixture_derive(&derived, &list, normalizer, limit, added, strips, data[3] & 3);
    else
        f = fixture_fixed(normalizer, limit, added, strips);

    for (int k = 0; k < 4; k++) {
        bs_text texts[MAX_TEXTS];
        for (int i = 0; i < list.n; i++)
            texts[i] = text_make(&list, i, forms[k]);
        outcome o = run(&f->tok, texts, NULL, list.n, &options);
        if (k == 0) {
            check_plain(f, &list, &options, &o);
            reference = o;
        } else {
            check_equal(&reference, &o, "form", forms[k]);
            outcome_clear(&o);
        }
        if ((data[3] >> 2 & 3) == k) {
            check_scans(&f->tok, texts, &reference, &options);
            check_cut(&f->tok, texts, &reference, &shorter);
            check_windows(&f->tok, texts, &reference, &shorter, data[5]);
            if (pairs) {
                check_pairs(&f->tok, &list, texts, data[3] >> 4, &reference, &options);
                check_pairs(&f->tok, &list, texts, data[3] >> 4, &reference, &shorter_pairs);
            }
            if (threads)
                check_threads(&f->tok, texts, &reference, &options);
        }
        for (int i = 0; i < list.n; i++)
            free((void *)texts[i].data);
    }
    if (garbage)
        check_garbage(&f->tok, data + N_SWITCHES, size - N_SWITCHES, &options, &shorter);
    if (damage)
        check_damage(&f->tok, &list, data[2], data[5], &options, &shorter);
    outcome_clear(&reference);
    free(list.codes);
    if (is_derived)
        derived_clear(&derived);
    return 0;
}
