/* Vectors of groups for low_product.h: 12 x 2 accumulators fill the registers of AVX-512, 6 x 2
 * those of AVX2. */

#if BS_LANES == 16
#define LOW_TALL 12
typedef __m512i low_v;
typedef __mmask16 low_mask;

/* The first n lanes. */
static inline low_mask low_first(int64_t n)
{
    return n >= 16 ? 0xffff : n > 0 ? (__mmask16)((1u << n) - 1) : 0;
}

static inline low_v low_load(const void *p)
{
    return _mm512_loadu_si512(p);
}

/* One group in all lanes. */
static inline low_v low_spread(const char *p)
{
    int32_t group;
    memcpy(&group, p, 4);
    return _mm512_set1_epi32(group);
}

/* Some elements; the others are zero, and stay as they are. */
static inline vi low_load_ints(low_mask mask, const void *p)
{
    return (vi)_mm512_maskz_loadu_epi32(mask, p);
}

static inline vf low_load_floats(low_mask mask, const void *p)
{
    return (vf)_mm512_maskz_loadu_ps(mask, p);
}

static inline void low_store_ints(void *p, low_mask mask, vi v)
{
    _mm512_mask_storeu_epi32(p, mask, (__m512i)v);
}

/* acc + a * b, rounded once at every level of optimisation. */
static inline vf low_fma(vf acc, low_v a, low_v b)
{
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)acc);
}

static inline void low_store_floats(void *p, low_mask mask, vf v)
{
    _mm512_mask_storeu_ps(p, mask, (__m512)v);
}

/* Transposes 16 x 16 elements of 4 bytes. */
static inline void low_transpose(__m512i r[16])
{
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
            r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    for (int i = 0; i < 16; i += 8)
        for (int j = 0; j < 4; j++) {
            t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
            t[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xdd);
        }
    for (int j = 0; j < 8; j++) {
        r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
        r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xdd);
    }
}
#else
#define LOW_TALL 6
typedef __m256i low_v;
typedef struct {
    bool all; /* masked stores are slow on some processors */
    __m256i lanes;
} low_mask;

static inline low_mask low_first(int64_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int32_t some = n >= 8 ? 8 : n > 0 ? (int32_t)n : 0;
    return (low_mask){n >= 8, _mm256_cmpgt_epi32(_mm256_set1_epi32(some), lane)};
}

static inline low_v low_load(const void *p)
{
    return _mm256_loadu_si256(p);
}

static inline low_v low_spread(const char *p)
{
    int32_t group;
    memcpy(&group, p, 4);
    return _mm256_set1_epi32(group);
}

static inline vi low_load_ints(low_mask mask, const void *p)
{
    return (vi)(mask.all ? _mm256_loadu_si256(p) : _mm256_maskload_epi32(p, mask.lanes));
}

static inline vf low_load_floats(low_mask mask, const void *p)
{
    return (vf)(mask.all ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask.lanes));
}

static inline void low_store_ints(void *p, low_mask mask, vi v)
{
    if (mask.all)
        memcpy(p, &v, sizeof v);
    else
        _mm256_maskstore_epi32(p, mask.lanes, (__m256i)v);
}

static inline vf low_fma(vf acc, low_v a, low_v b)
{
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)acc);
}

static inline void low_store_floats(void *p, low_mask mask, vf v)
{
    if (mask.all)
        memcpy(p, &v, sizeof v);
    else
        _mm256_maskstore_ps(p, mask.lanes, (__m256)v);
}

/* Transposes 8 x 8 elements of 4 bytes. */
static inline void low_transpose(__m256i r[8])
{
    __m256i t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) {
            r[i + 2 * j] = _mm256_unpacklo_epi64(t[i + j], t[i + j + 2]);
            r[i + 2 * j + 1] = _mm256_unpackhi_epi64(t[i + j], t[i + j + 2]);
        }
    for (int j = 0; j < 4; j++) {
        t[j] = _mm256_permute2x128_si256(r[j], r[j + 4], 0x20);
        t[j + 4] = _mm256_permute2x128_si256(r[j], r[j + 4], 0x31);
    }
    memcpy(r, t, sizeof t);
}
#endif

/* Groups of a short product: those of a head of 128 in bfloat16. */
#define LOW_SHORT 64

/* Group g of row i of a left operand whose rows are lda bytes apart; of one that lies transposed. */
#define LOW_BY_ROWS(a, lda, i, g) ((a) + (i) * (lda) + 4 * (g))
#define LOW_TRANSPOSED(a, lda, i, g) ((a) + 4 * (i) + (g) * (lda))

/* Rows of the tile that takes what is left of `rows` from row i on, fewer than LOW_TALL: one that
 * begins earlier if it must. One row at a time takes as long as four. */
static inline int64_t low_tall(int64_t rows, int64_t i)
{
    if (rows >= LOW_TALL && rows - i > (LOW_TALL > 8 ? 8 : 4))
        return LOW_TALL;
    if (LOW_TALL > 8 && rows >= 8 && rows - i > 4)
        return 8;
    return rows >= 4 ? 4 : 1;
}

/* TILE(from, first, tall) for tiles over what is left of `rows` from row i on: what is before row
 * `first` of a tile is done already. Where registers hold fewer than 8 rows there is no tile of 8. */
#define LOW_REST(rows, i, TILE)                                                                    \
    while ((i) < (rows)) {                                                                         \
        const int64_t tall_ = low_tall(rows, i);                                                   \
        const int64_t from_ = (i) + tall_ > (rows) ? (rows)-tall_ : (i);                           \
        if (tall_ == LOW_TALL)                                                                     \
            TILE(from_, (i)-from_, LOW_TALL);                                                      \
        else if (LOW_TALL > 8 && tall_ == 8)                                                       \
            TILE(from_, (i)-from_, LOW_TALL > 8 ? 8 : 4);                                          \
        else if (tall_ == 4)                                                                       \
            TILE(from_, (i)-from_, 4);                                                             \
        else                                                                                       \
            TILE(from_, (i)-from_, 1);                                                             \
        (i) = from_ + tall_;                                                                       \
    }
