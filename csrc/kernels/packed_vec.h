/* Vectors of groups for packed_product.h. 12 x 2 accumulators fill the registers of AVX-512, 6 x 2
 * those of AVX2. */

#if BS_LANES == 16
#define REGISTER_ROWS 12
typedef __m512i packed_v;
typedef __mmask16 lane_mask;

/* The first n lanes. */
static inline lane_mask first_lanes(int64_t n)
{
    return n >= 16 ? 0xffff : n > 0 ? (__mmask16)((1u << n) - 1) : 0;
}

static inline packed_v packed_load(const void *p)
{
    return _mm512_loadu_si512(p);
}

/* One group, broadcast to all lanes. */
static inline packed_v packed_broadcast(const char *p)
{
    int32_t group;
    memcpy(&group, p, 4);
    return _mm512_set1_epi32(group);
}

/* Load and store some elements: others are loaded as zero, and not stored. */
static inline vi masked_load_ints(lane_mask mask, const void *p)
{
    return (vi)_mm512_maskz_loadu_epi32(mask, p);
}

static inline vf masked_load_floats(lane_mask mask, const void *p)
{
    return (vf)_mm512_maskz_loadu_ps(mask, p);
}

static inline void masked_store_ints(void *p, lane_mask mask, vi v)
{
    _mm512_mask_storeu_epi32(p, mask, (__m512i)v);
}

/* acc + a * b, rounded once at every optimisation level. */
static inline vf packed_fma(vf acc, packed_v a, packed_v b)
{
    return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)acc);
}

static inline void masked_store_floats(void *p, lane_mask mask, vf v)
{
    _mm512_mask_storeu_ps(p, mask, (__m512)v);
}

/* Transposes 16 x 16 elements of 4 bytes. */
static inline void packed_transpose(__m512i r[16])
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
#define REGISTER_ROWS 6
typedef __m256i packed_v;
typedef struct {
    bool all; /* masked stores are slow on some processors */
    __m256i lanes;
} lane_mask;

static inline lane_mask first_lanes(int64_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int32_t some = n >= 8 ? 8 : n > 0 ? (int32_t)n : 0;
    return (lane_mask){n >= 8, _mm256_cmpgt_epi32(_mm256_set1_epi32(some), lane)};
}

static inline packed_v packed_load(const void *p)
{
    return _mm256_loadu_si256(p);
}

static inline packed_v packed_broadcast(const char *p)
{
    int32_t group;
    memcpy(&group, p, 4);
    return _mm256_set1_epi32(group);
}

static inline vi masked_load_ints(lane_mask mask, const void *p)
{
    return (vi)(mask.all ? _mm256_loadu_si256(p) : _mm256_maskload_epi32(p, mask.lanes));
}

static inline vf masked_load_floats(lane_mask mask, const void *p)
{
    return (vf)(mask.all ? _mm256_loadu_ps(p) : _mm256_maskload_ps(p, mask.lanes));
}

static inline void masked_store_ints(void *p, lane_mask mask, vi v)
{
    if (mask.all)
        memcpy(p, &v, sizeof v);
    else
        _mm256_maskstore_epi32(p, mask.lanes, (__m256i)v);
}

static inline vf packed_fma(vf acc, packed_v a, packed_v b)
{
    return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)acc);
}

static inline void masked_store_floats(void *p, lane_mask mask, vf v)
{
    if (mask.all)
        memcpy(p, &v, sizeof v);
    else
        _mm256_maskstore_ps(p, mask.lanes, (__m256)v);
}

/* Transposes 8 x 8 elements of 4 bytes. */
static inline void packed_transpose(__m256i r[8])
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

/* Groups of the longest product that counts as short: a head of 128 in bfloat16. */
#define SHORT_GROUPS 64

/* Address of group g of row i of a left operand whose rows are lda bytes apart, and of a transposed
 * one. */
#define LEFT_BY_ROWS(a, lda, i, g) ((a) + (i) * (lda) + 4 * (g))
#define LEFT_TRANSPOSED(a, lda, i, g) ((a) + 4 * (i) + (g) * (lda))

/* Rows of the next tile when fewer than REGISTER_ROWS remain of `rows` from row i on. The tile may
 * overlap the one before: a single row takes as long as four. */
static inline int64_t rest_rows(int64_t rows, int64_t i)
{
    if (rows >= REGISTER_ROWS && rows - i > (REGISTER_ROWS > 8 ? 8 : 4))
        return REGISTER_ROWS;
    if (REGISTER_ROWS > 8 && rows >= 8 && rows - i > 4)
        return 8;
    return rows >= 4 ? 4 : 1;
}

/* Runs TILE(from, first, tall) for tiles over the remainder of `rows` from row i on. Rows of a tile
 * before `first` are already done. Where registers hold fewer than 8 rows, there is no tile of
 * 8. */
#define REST_TILES(rows, i, TILE)                                                                  \
    while ((i) < (rows)) {                                                                         \
        const int64_t tall_ = rest_rows(rows, i);                                                  \
        const int64_t from_ = (i) + tall_ > (rows) ? (rows)-tall_ : (i);                           \
        if (tall_ == REGISTER_ROWS)                                                                \
            TILE(from_, (i)-from_, REGISTER_ROWS);                                                 \
        else if (REGISTER_ROWS > 8 && tall_ == 8)                                                  \
            TILE(from_, (i)-from_, REGISTER_ROWS > 8 ? 8 : 4);                                     \
        else if (tall_ == 4)                                                                       \
            TILE(from_, (i)-from_, 4);                                                             \
        else                                                                                       \
            TILE(from_, (i)-from_, 1);                                                             \
        (i) = from_ + tall_;                                                                       \
    }
