/* Character maps are computed once for each set of options and then kept: linked with --wrap, so
 * that a target that makes many tokenizers does not spend its time on them. */
#include "common.h"
#include "tokenizer/charmap.h"

bs_status __real_bs_charmap_init(bs_charmap *map, const bs_charmap_options *options, bs_error *e);
bs_status __wrap_bs_charmap_init(bs_charmap *map, const bs_charmap_options *options, bs_error *e);
void __wrap_bs_charmap_clear(bs_charmap *map);

bs_status __wrap_bs_charmap_init(bs_charmap *map, const bs_charmap_options *options, bs_error *e)
{
    static bs_charmap kept[16];
    const int i = options->clean_text + 2 * options->tokenize_chinese_chars
                  + 4 * options->strip_accents + 8 * options->lowercase;
    if (kept[i].entries == NULL && __real_bs_charmap_init(&kept[i], options, e) != BS_OK)
        abort();
    *map = kept[i];
    return BS_OK;
}

void __wrap_bs_charmap_clear(bs_charmap *map)
{
    (void)map;
}
