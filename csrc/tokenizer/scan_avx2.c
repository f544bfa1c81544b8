#include "tokenizer/scan.h"

#include <immintrin.h>

/* Bytes are below 0x80 here, so a signed comparison is correct. */
static inline __m256i within(__m256i x, char first, char last)
{
    return _mm256_and_si256(_mm256_cmpgt_epi8(x, _mm256_set1_epi8((char)(first - 1))),
                            _mm256_cmpgt_epi8(_mm256_set1_epi8((char)(last + 1)), x));
}

static inline uint32_t bits(__m256i x)
{
    return (uint32_t)_mm256_movemask_epi8(x);
}

static inline bool classify(__m256i x, bool lower, uint8_t *to, uint32_t *word, uint32_t *punct)
{
    if (bits(x) != 0)
        return false;
    const __m256i blank = _mm256_or_si256(
        _mm256_or_si256(_mm256_cmpeq_epi8(x, _mm256_set1_epi8(' ')),
                        _mm256_cmpeq_epi8(x, _mm256_set1_epi8('\t'))),
        _mm256_or_si256(_mm256_cmpeq_epi8(x, _mm256_set1_epi8('\n')),
                        _mm256_cmpeq_epi8(x, _mm256_set1_epi8('\r'))));
    const __m256i signs = within(x, '!', '~');
    if (bits(_mm256_or_si256(blank, signs)) != 0xFFFFFFFFu)
        return false;
    const __m256i upper = within(x, 'A', 'Z');
    const __m256i other = _mm256_or_si256(within(x, 'a', 'z'), within(x, '0', '9'));
    if (lower)
        x = _mm256_or_si256(x, _mm256_and_si256(upper, _mm256_set1_epi8(0x20)));
    _mm256_storeu_si256((__m256i *)to, x);
    *word = ~bits(blank);
    *punct = *word & ~bits(_mm256_or_si256(upper, other));
    return true;
}

static inline bool both(__m256i a, __m256i b, bool lower, uint8_t *to, uint64_t *word,
                        uint64_t *punct)
{
    uint32_t words[2], puncts[2];
    if (!classify(a, lower, to, &words[0], &puncts[0])
        || !classify(b, lower, to + 32, &words[1], &puncts[1]))
        return false;
    *word = words[0] | (uint64_t)words[1] << 32;
    *punct = puncts[0] | (uint64_t)puncts[1] << 32;
    return true;
}

static bool block_1(const uint8_t *chars, bool lower, uint8_t *to, uint64_t *word,
                    uint64_t *punct)
{
    return both(_mm256_loadu_si256((const __m256i *)chars),
                _mm256_loadu_si256((const __m256i *)(chars + 32)), lower, to, word, punct);
}

static bool block_2(const uint16_t *chars, bool lower, uint8_t *to, uint64_t *word,
                    uint64_t *punct)
{
    const __m256i *from = (const __m256i *)chars;
    const __m256i a = _mm256_loadu_si256(from), b = _mm256_loadu_si256(from + 1);
    const __m256i c = _mm256_loadu_si256(from + 2), d = _mm256_loadu_si256(from + 3);
    const __m256i any = _mm256_or_si256(_mm256_or_si256(a, b), _mm256_or_si256(c, d));
    if (!_mm256_testz_si256(any, _mm256_set1_epi16((short)0xFF80)))
        return false;
    /* Packing works within halves of the register; the permutation restores the order. */
    return both(_mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xD8),
                _mm256_permute4x64_epi64(_mm256_packus_epi16(c, d), 0xD8), lower, to, word, punct);
}

static bool block_4(const uint32_t *chars, bool lower, uint8_t *to, uint64_t *word,
                    uint64_t *punct)
{
    uint8_t narrow[BS_BLOCK];
    uint32_t any = 0;
    for (int i = 0; i < BS_BLOCK; i++) {
        any |= chars[i];
        narrow[i] = (uint8_t)chars[i];
    }
    return any < 0x80 && block_1(narrow, lower, to, word, punct);
}

BS_SCAN_DEFINE(scan_1, uint8_t, block_1)
BS_SCAN_DEFINE(scan_2, uint16_t, block_2)
BS_SCAN_DEFINE(scan_4, uint32_t, block_4)

const bs_scan_fn bs_scan_avx2[3] = {scan_1, scan_2, scan_4};
