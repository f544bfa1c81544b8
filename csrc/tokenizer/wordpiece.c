#include "tokenizer/wordpiece.h"

#include <stdlib.h>

#define MAX_NODES (1 << 24)
#define ROOT 0
#define TAIL 1 /* the root of continuation pieces */

/* What only the construction of the trie needs. */
typedef struct {
    int32_t *id;     /* the token that ends here, or -1 */
    int32_t *parent; /* parents have smaller numbers than their children */
    int32_t *depth;
    uint8_t *byte;
    int64_t capacity;
    uint32_t first_size; /* of nodes and edges, by the size of the vocabulary */
    int64_t cap_pops;
    int64_t n_edges;
} trie_build;

static uint32_t edge_slot(const bs_wordpiece *wp, uint32_t key)
{
    return (uint32_t)(key * 0x9E3779B97F4A7C15ull >> 32) & wp->edge_mask;
}

static int32_t child_find(const bs_wordpiece *wp, int32_t node, uint8_t byte)
{
    const uint32_t key = (uint32_t)node << 8 | byte;
    for (uint32_t at = edge_slot(wp, key);; at = (at + 1) & wp->edge_mask) {
        const uint64_t edge = wp->edges[at];
        if ((uint32_t)edge == 0) /* the root is nobody's child: a free slot */
            return -1;
        if (edge >> 32 == key)
            return (int32_t)(uint32_t)edge;
    }
}

static void edge_put(bs_wordpiece *wp, uint64_t edge)
{
    uint32_t at = edge_slot(wp, (uint32_t)(edge >> 32));
    while ((uint32_t)wp->edges[at] != 0)
        at = (at + 1) & wp->edge_mask;
    wp->edges[at] = edge;
}

static bs_status edges_grow(bs_wordpiece *wp, const trie_build *b)
{
    uint64_t *old = wp->edges;
    const uint32_t old_size = old == NULL ? 0 : wp->edge_mask + 1;
    const uint32_t size = old == NULL ? b->first_size : old_size * 2;
    uint64_t *edges = calloc(size, sizeof *edges);
    if (edges == NULL)
        return BS_ERR_MEMORY;
    wp->edges = edges;
    wp->edge_mask = size - 1;
    for (uint32_t i = 0; i < old_size; i++)
        if ((uint32_t)old[i] != 0)
            edge_put(wp, old[i]);
    free(old);
    return BS_OK;
}

static bs_status nodes_grow(trie_build *b)
{
    const int64_t capacity = b->capacity == 0 ? b->first_size : b->capacity * 2;
    int32_t *id = realloc(b->id, sizeof *id * (size_t)capacity);
    if (id != NULL)
        b->id = id;
    int32_t *parent = realloc(b->parent, sizeof *parent * (size_t)capacity);
    if (parent != NULL)
        b->parent = parent;
    int32_t *depth = realloc(b->depth, sizeof *depth * (size_t)capacity);
    if (depth != NULL)
        b->depth = depth;
    uint8_t *byte = realloc(b->byte, (size_t)capacity);
    if (byte != NULL)
        b->byte = byte;
    if (id == NULL || parent == NULL || depth == NULL || byte == NULL)
        return BS_ERR_MEMORY;
    b->capacity = capacity;
    return BS_OK;
}

/* Returns the new node, or -1. */
static int32_t node_new(bs_wordpiece *wp, trie_build *b, int32_t parent, uint8_t byte)
{
    if (wp->n_nodes == MAX_NODES
        || (wp->n_nodes == b->capacity && nodes_grow(b) != BS_OK)
        || ((uint64_t)b->n_edges * 2 > wp->edge_mask && edges_grow(wp, b) != BS_OK))
        return -1;
    const int32_t node = (int32_t)wp->n_nodes++;
    b->id[node] = -1;
    b->parent[node] = parent;
    b->depth[node] = parent < 0 ? 0 : b->depth[parent] + 1;
    b->byte[node] = byte;
    if (parent >= 0) {
        edge_put(wp, ((uint64_t)(uint32_t)parent << 8 | byte) << 32 | (uint32_t)node);
        b->n_edges++;
    }
    return node;
}

static bs_status token_add(bs_wordpiece *wp, trie_build *b, int32_t node, const uint8_t *bytes,
                           int64_t length, int32_t id)
{
    for (int64_t i = 0; i < length; i++) {
        int32_t child = child_find(wp, node, bytes[i]);
        if (child < 0)
            child = node_new(wp, b, node, bytes[i]);
        if (child < 0)
            return BS_ERR_MEMORY;
        node = child;
    }
    b->id[node] = id;
    return BS_OK;
}

static bs_status tokens_add(bs_wordpiece *wp, trie_build *b, const bs_vocab *vocab,
                            const bs_text *prefix, int64_t max_bytes)
{
    b->first_size = 256;
    while (b->first_size < 1 << 16 && b->first_size < 8 * vocab->size)
        b->first_size *= 2;
    if (edges_grow(wp, b) != BS_OK || node_new(wp, b, -1, 0) < 0 || node_new(wp, b, -1, 0) < 0)
        return BS_ERR_MEMORY;
    for (int64_t i = 0; i < vocab->size; i++) {
        const uint8_t *bytes = vocab->pool + vocab->starts[i];
        const int64_t length = vocab->starts[i + 1] - vocab->starts[i];
        if (length == 0)
            continue;
        if (length <= max_bytes && !bs_token_is_no_word(bytes, length)
            && token_add(wp, b, ROOT, bytes, length, (int32_t)i) != BS_OK)
            return BS_ERR_MEMORY;
        if (length > prefix->length && length - prefix->length <= max_bytes
            && memcmp(bytes, prefix->data, (size_t)prefix->length) == 0
            && token_add(wp, b, TAIL, bytes + prefix->length, length - prefix->length, (int32_t)i)
                   != BS_OK)
            return BS_ERR_MEMORY;
    }
    return BS_OK;
}

/* The number of a node's own pops. */
static int64_t own_pops(const bs_wordpiece *wp, const bs_trie_node *node)
{
    return node->pop_before < 0 ? node->pop_count
                                : node->pop_count - wp->nodes[node->pop_before].pop_count;
}

/* Writes all pops of a node to `ids`, from the last one to the first. */
static void pops_copy(const bs_wordpiece *wp, const bs_trie_node *node, int32_t *ids)
{
    int32_t *end = ids + node->pop_count;
    while (end > ids) {
        const int64_t own = own_pops(wp, node);
        end -= own;
        for (int64_t i = 0; i < own; i++)
            end[i] = wp->pops[node->pop_start + i];
        if (node->pop_before >= 0)
            node = &wp->nodes[node->pop_before];
    }
}

/* Makes room for `count` more pops. */
static bs_status pops_reserve(bs_wordpiece *wp, trie_build *b, int64_t count)
{
    if (wp->n_pops + count > UINT32_MAX)
        return BS_ERR_MEMORY;
    if (wp->n_pops + count > b->cap_pops) {
        const int64_t cap = (b->cap_pops + count) * 2 + (1 << 16);
        int32_t *grown = realloc(wp->pops, sizeof *grown * (size_t)cap);
        if (grown == NULL)
            return BS_ERR_MEMORY;
        wp->pops = grown;
        b->cap_pops = cap;
    }
    return BS_OK;
}

static bs_status node_link(bs_wordpiece *wp, trie_build *b, int32_t node)
{
    bs_trie_node *self = &wp->nodes[node];
    *self = (bs_trie_node){-1, -1, (uint32_t)wp->n_pops, 0};
    if (node == ROOT || node == TAIL)
        return BS_OK;
    if (b->id[node] >= 0) {
        if (pops_reserve(wp, b, 1) != BS_OK)
            return BS_ERR_MEMORY;
        wp->pops[wp->n_pops++] = b->id[node];
        self->failure = TAIL;
        self->pop_count = 1;
        return BS_OK;
    }
    const bs_trie_node *parent = &wp->nodes[b->parent[node]];
    int32_t at = parent->failure, child = -1;
    if (at < 0)
        return BS_OK;
    while ((child = child_find(wp, at, b->byte[node])) < 0) {
        const bs_trie_node *shorter = &wp->nodes[at];
        if (shorter->failure < 0) {
            wp->n_pops = self->pop_start;
            return BS_OK;
        }
        if (pops_reserve(wp, b, shorter->pop_count) != BS_OK)
            return BS_ERR_MEMORY;
        pops_copy(wp, shorter, wp->pops + wp->n_pops);
        wp->n_pops += shorter->pop_count;
        at = shorter->failure;
    }
    self->failure = child;
    self->pop_count = parent->pop_count + (uint32_t)(wp->n_pops - self->pop_start);
    self->pop_before = own_pops(wp, parent) > 0 ? b->parent[node] : parent->pop_before;
    return BS_OK;
}

/* A node's failure link leads nearer to its root, so links are set in order of depth. */
static bs_status nodes_link(bs_wordpiece *wp, trie_build *b)
{
    bs_status status = BS_ERR_MEMORY;
    int32_t deepest = 0;
    int64_t *start = NULL;
    int32_t *order = NULL;

    for (int64_t i = 0; i < wp->n_nodes; i++)
        if (b->depth[i] > deepest)
            deepest = b->depth[i];
    start = calloc((size_t)deepest + 2, sizeof *start);
    order = malloc(sizeof *order * (size_t)wp->n_nodes);
    wp->nodes = malloc(sizeof *wp->nodes * (size_t)wp->n_nodes);
    if (start == NULL || order == NULL || wp->nodes == NULL)
        goto done;
    for (int64_t i = 0; i < wp->n_nodes; i++)
        start[b->depth[i] + 1]++;
    for (int32_t d = 0; d <= deepest; d++)
        start[d + 1] += start[d];
    for (int64_t i = 0; i < wp->n_nodes; i++)
        order[start[b->depth[i]]++] = (int32_t)i;
    for (int64_t i = 0; i < wp->n_nodes; i++)
        if (node_link(wp, b, order[i]) != BS_OK)
            goto done;
    status = BS_OK;
done:
    free(start);
    free(order);
    return status;
}

bs_status bs_wordpiece_init(bs_wordpiece *wp, const bs_vocab *vocab, const bs_text *prefix,
                            int64_t max_bytes, bs_error *e)
{
    trie_build build = {0};
    bs_status status;

    memset(wp, 0, sizeof *wp);
    status = tokens_add(wp, &build, vocab, prefix, max_bytes);
    if (status == BS_OK)
        status = nodes_link(wp, &build);
    if (status != BS_OK) {
        bs_wordpiece_clear(wp);
        bs_error_set(e, status, -1, "out of memory for the vocabulary's trie");
    }
    free(build.id);
    free(build.parent);
    free(build.depth);
    free(build.byte);
    return status;
}

void bs_wordpiece_clear(bs_wordpiece *wp)
{
    free(wp->edges);
    free(wp->nodes);
    free(wp->pops);
    memset(wp, 0, sizeof *wp);
}

int64_t bs_wordpiece_split(const bs_wordpiece *wp, const uint8_t *bytes, int64_t length,
                           int32_t *ids)
{
    int32_t node = ROOT;
    int64_t n = 0, i = 0;

    for (;;) {
        const int32_t child = i < length ? child_find(wp, node, bytes[i]) : -1;
        if (child >= 0) {
            node = child;
            i++;
            continue;
        }
        if (i == length && node == TAIL)
            return n;
        const bs_trie_node *self = &wp->nodes[node];
        if (self->failure < 0)
            return 0;
        pops_copy(wp, self, ids + n);
        n += self->pop_count;
        node = self->failure;
    }
}
