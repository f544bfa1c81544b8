#include "tokenizer/scan.h"

#include <immintrin.h>

static inline __mmask64 within(__m512i x, char first, char count)
{
    return _mm512_cmplt_epu8_mask(_mm512_sub_epi8(x, _mm512_set1_epi8(first)),
                                  _mm512_set1_epi8(count));
}

static inline bool classify(__m512i x, bool lower, uint8_t *to, uint64_t *word, uint64_t *punct)
{
    const __mmask64 printable = within(x, ' ', 0x7F - ' ');
    __mmask64 blank = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8(' '));
    if (printable != ~0ull) {
        const __mmask64 others = _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\t'))
                                 | _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\n'))
                                 | _mm512_cmpeq_epi8_mask(x, _mm512_set1_epi8('\r'));
        if ((printable | others) != ~0ull)
            return false;
        blank |= others;
    }
    const __mmask64 upper = within(x, 'A', 26);
    const __mmask64 letter = within(_mm512_or_si512(x, _mm512_set1_epi8(0x20)), 'a', 26);
    const __mmask64 digit = within(x, '0', 10);
    if (lower)
        x = _mm512_mask_add_epi8(x, upper, x, _mm512_set1_epi8(0x20));
    _mm512_storeu_si512(to, x);
    *word = ~blank;
    *punct = ~(blank | letter | digit);
    return true;
}

static bool block_1(const uint8_t *chars, bool lower, uint8_t *to, uint64_t *word,
                    uint64_t *punct)
{
    return classify(_mm512_loadu_si512(chars), lower, to, word, punct);
}

static bool block_2(const uint16_t *chars, bool lower, uint8_t *to, uint64_t *word,
                    uint64_t *punct)
{
    const __m512i a = _mm512_loadu_si512(chars), b = _mm512_loadu_si512(chars + 32);
    const __m512i high = _mm512_or_si512(a, b);
    if (_mm512_test_epi16_mask(high, _mm512_set1_epi16((short)0xFF80)) != 0)
        return false;
    const __m256i low_half = _mm512_cvtepi16_epi8(a), high_half = _mm512_cvtepi16_epi8(b);
    return classify(_mm512_inserti64x4(_mm512_castsi256_si512(low_half), high_half, 1), lower, to,
                    word, punct);
}

static bool block_4(const uint32_t *chars, bool lower, uint8_t *to, uint64_t *word,
                    uint64_t *punct)
{
    __m512i any = _mm512_setzero_si512();
    uint8_t narrow[BS_BLOCK];
    for (int i = 0; i < 4; i++) {
        const __m512i x = _mm512_loadu_si512(chars + 16 * i);
        any = _mm512_or_si512(any, x);
        _mm_storeu_si128((__m128i *)(narrow + 16 * i), _mm512_cvtepi32_epi8(x));
    }
    if (_mm512_test_epi32_mask(any, _mm512_set1_epi32((int)0xFFFFFF80u)) != 0)
        return false;
    return classify(_mm512_loadu_si512(narrow), lower, to, word, punct);
}

BS_SCAN_DEFINE(scan_1, uint8_t, block_1)
BS_SCAN_DEFINE(scan_2, uint16_t, block_2)
BS_SCAN_DEFINE(scan_4, uint32_t, block_4)

const bs_scan_fn bs_scan_avx512[3] = {scan_1, scan_2, scan_4};
