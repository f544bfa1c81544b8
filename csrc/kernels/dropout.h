/* Dropout masks from Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011).
 *
 * The bits of an element depend only on its sequence's key and its place (row, column, layer, site,
 * head): not on the thread, the position of the sequence in the batch, or the instruction set. No
 * mask is stored: the backward pass draws the same bits again.
 *
 * Columns come in groups of 128: lane l of a group's 16 counters yields columns l, 16 + l, ..., 112
 * + l, from the low and high halves of its 4 words. */

/* Draws the four words for lanes first .. first + BS_LANES - 1 of a group. */
static inline void philox_lanes(vu word[4], uint32_t first, const bs_dropout_row *r)
{
    uint32_t key0 = (uint32_t)r->key, key1 = (uint32_t)(r->key >> 32);
    vu c0, c1 = (vu){0} + r->row, c2 = (vu){0} + r->site, c3 = (vu){0} + r->head;
    for (int i = 0; i < BS_LANES; i++)
        c0[i] = first + (uint32_t)i;
    for (int round = 0; round < 10; round++) {
        vu high0, low0, high1, low1;
        vu_multiply(c0, 0xD2511F53u, &high0, &low0);
        vu_multiply(c2, 0xCD9E8D57u, &high1, &low1);
        c0 = high1 ^ c1 ^ key0;
        c2 = high0 ^ c3 ^ key1;
        c1 = low1;
        c3 = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    word[0] = c0;
    word[1] = c1;
    word[2] = c2;
    word[3] = c3;
}

static void dropout_mask(float *mask, const bs_dropout_row *r, int64_t n)
{
    const float keep = 65536.0f / (float)(65536u - r->threshold);
    const vf kept = vf_set(keep);
    for (int64_t group = 0; group < n; group += 128) {
        float buffer[128];
        float *out = n - group >= 128 ? mask + group : buffer;
        for (int lane = 0; lane < 16; lane += BS_LANES) {
            vu word[4];
            philox_lanes(word, (uint32_t)(group / 8) + (uint32_t)lane, r);
            for (int w = 0; w < 4; w++) {
                const vi low = (vi)(word[w] & 0xffffu) >= (int32_t)r->threshold;
                const vi high = (vi)(word[w] >> 16) >= (int32_t)r->threshold;
                vf_store(out + 32 * w + lane, (vf)((vi)kept & low));
                vf_store(out + 32 * w + 16 + lane, (vf)((vi)kept & high));
            }
        }
        if (out == buffer)
            memcpy(mask + group, buffer, (size_t)(n - group) * sizeof(float));
    }
}
