// Scaled dot-product attention on GPUs. q and its like are batch x queries x heads x
// D, k and its like batch x keys x heads/shared x D; lse and delta batch x heads x
// queries.
//
// A work-group of 64 owns SIDE rows of one array (queries, or keys for dk and dv) and
// BLOCKS * SIDE of their D columns, and meets the rows of another in tiles of SIDE.
// Everything is multiplied as SIDE x SIDE tiles in local memory, of which a work-item
// computes 4 x 4; scores are so computed again for each group's columns.

#define SIDE 32
#define GROUP 64
#define KERNEL kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE)
#define EACH(i, j) _Pragma("unroll") for (int i = 0; i < 4; i++) \
                   _Pragma("unroll") for (int j = 0; j < 4; j++)
#define ROW(i) (get_local_id(0) / 8 * 4 + (i))
#define COLUMN(j) (get_local_id(0) % 8 * 4 + (j))

// One column more than there are, so that a column lies in different banks.
typedef float tile[SIDE][SIDE + 1];

// --- tiles ------------------------------------------------------------------------

// `rows` x `columns` of x, zeros around; sets `dirty` where an element is not finite.
static inline void load(local tile *t, local int *dirty, global const float *x,
                        size_t step, int rows, int columns)
{
    for (int e = get_local_id(0); e < SIDE * SIDE; e += GROUP) {
        const int r = e / SIDE, c = e % SIDE;
        const float v = r < rows && c < columns ? x[r * step + c] : 0;
        (*t)[r][c] = v;
        if (v * 0 != 0)
            *dirty = 1;
    }
}

// acc += a b': rows of both multiplied
static inline void add_rows(float acc[4][4], local tile *a, local tile *b)
{
    for (int k = 0; k < SIDE; k++) {
        float x[4], y[4];
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            x[i] = (*a)[ROW(i)][k];
            y[i] = (*b)[COLUMN(i)][k];
        }
        EACH(i, j) acc[i][j] += x[i] * y[j];
    }
}

// acc += a b, or of the transpose a' b; a zero in a takes nothing, not even of a NaN
static inline void weigh(float acc[4][4], local tile *a, bool transposed,
                         local tile *b, bool dirty)
{
    for (int k = 0; k < SIDE; k++) {
        float x[4], y[4];
        #pragma unroll
        for (int i = 0; i < 4; i++) {
            x[i] = transposed ? (*a)[k][ROW(i)] : (*a)[ROW(i)][k];
            y[i] = (*b)[k][COLUMN(i)];
        }
        if (dirty)
            EACH(i, j) acc[i][j] += x[i] == 0 ? 0 : x[i] * y[j];
        else
            EACH(i, j) acc[i][j] += x[i] * y[j];
    }
}

// acc += p, or its transpose, times BLOCKS tiles side by side of x
static inline void weigh_all(float acc[BLOCKS][4][4], local tile *p, bool transposed,
                             local tile *b, local int *dirty, global const float *x,
                             size_t step, int rows, int columns)
{
    for (int n = 0; n < BLOCKS; n++) {
        *dirty = 0;
        BARRIER;
        load(b, dirty, x + n * SIDE, step, rows, columns - n * SIDE);
        BARRIER;
        weigh(acc[n], p, transposed, b, *dirty);
        BARRIER;
    }
}

// s = x y' over all D columns of `rows` x `others` rows
static inline void scores(float s[4][4], local tile *a, local tile *b,
                          local int *dirty, global const float *x, size_t x_step,
                          int rows, global const float *y, size_t y_step, int others)
{
    EACH(i, j) s[i][j] = 0;
    for (int c = 0; c < D; c += SIDE) {
        BARRIER;
        load(a, dirty, x + c, x_step, rows, D - c);
        load(b, dirty, y + c, y_step, others, D - c);
        BARRIER;
        add_rows(s, a, b);
    }
}

// --- masks ------------------------------------------------------------------------

// What a query may see: keys up to its own number if `causal`; what a mask lets it, of
// bools (kind 1) or floats that are added (kind 2), with its steps in elements.
#define MASK_ARGS int causal, int kind, global const uchar *mask, int mask_batch, \
                  int mask_head, int mask_query, int mask_key
#define MASK_OF(batch, head) causal, kind, mask, \
    (long)(batch) * mask_batch + (long)(head) * mask_head, mask_query, mask_key

// The score of a query and a key; minus infinity where it may not see it, or where
// there is none.
static inline float masked(float score, int query, int key, int queries, int keys,
                           int causal, int kind, global const uchar *mask, long at,
                           int mask_query, int mask_key)
{
    if (query >= queries || key >= keys || (causal && key > query))
        return -INFINITY;
    if (!kind)
        return score;
    at += (long)query * mask_query + (long)key * mask_key;
    const float m = kind == 2 ? ((global const float *)mask)[at]
                              : mask[at] ? 0 : -INFINITY;
    return m == -INFINITY || score == -INFINITY ? -INFINITY : score + m;
}

// --- forward ----------------------------------------------------------------------

// Where the sums of a row of scores stand, for each row of the group.
typedef struct {
    float largest[SIDE], total[SIDE], keep[SIDE], half_rows[GROUP];
} sums;

// Scores become weights exp(score - largest so far); `keep` is what the sums before
// this tile are to be multiplied with. Two work-items share a row.
static inline void soften(local tile *p, local sums *state)
{
    const int lane = get_local_id(0), row = lane / 2, first = lane % 2 * (SIDE / 2);
    const float before = state->largest[row];
    float top = before, sum = 0;
    for (int c = first; c < first + SIDE / 2; c++)
        top = fmax(top, (*p)[row][c]);
    state->half_rows[lane] = top;
    BARRIER;
    top = fmax(top, state->half_rows[lane ^ 1]);
    const float base = top == -INFINITY ? 0 : top;
    for (int c = first; c < first + SIDE / 2; c++)
        sum += (*p)[row][c] = exp((*p)[row][c] - base);
    BARRIER;
    state->half_rows[lane] = sum;
    BARRIER;
    if (lane % 2 == 0) {
        const float keep = exp(before - base);
        state->keep[row] = keep;
        sum += state->half_rows[lane + 1];
        state->total[row] = state->total[row] * keep + sum;
        state->largest[row] = top;
    }
    BARRIER;
}

// out and lse of SIDE queries of a head
KERNEL void attention(global float *out, global float *lse, global const float *q,
                      global const float *k, global const float *v, MASK_ARGS,
                      int queries, int keys, int shared, float scale)
{
    local tile a, b, p;
    local sums state;
    local int dirty, unused;
    const int parts = (D + BLOCKS * SIDE - 1) / (BLOCKS * SIDE);
    const int lane = get_local_id(0);
    const int column = get_group_id(0) % parts * (BLOCKS * SIDE);
    const int first = get_group_id(0) / parts * SIDE;
    const int head = get_group_id(1), heads = get_num_groups(1);
    const size_t batch = get_group_id(2), step = heads * D, k_step = step / shared;
    const size_t at = (batch * queries + first) * step + head * D;
    const size_t k_at = batch * keys * k_step + head / shared * D;
    float s[4][4], acc[BLOCKS][4][4];
    for (int n = 0; n < BLOCKS; n++)
        EACH(i, j) acc[n][i][j] = 0;
    if (lane < SIDE) {
        state.largest[lane] = -INFINITY;
        state.total[lane] = 0;
    }
    const int seen = causal ? min(keys, first + SIDE) : keys;
    for (int key = 0; key < seen; key += SIDE) {
        global const float *k_tile = k + k_at + key * k_step;
        global const float *v_tile = v + k_at + key * k_step + column;
        scores(s, &a, &b, &unused, q + at, step, queries - first, k_tile, k_step,
               keys - key);
        EACH(i, j) p[ROW(i)][COLUMN(j)] =
            masked(s[i][j] * scale, first + ROW(i), key + COLUMN(j), queries,
                   keys, MASK_OF(batch, head));
        BARRIER;
        soften(&p, &state);
        for (int n = 0; n < BLOCKS; n++)
            EACH(i, j) acc[n][i][j] *= state.keep[ROW(i)];
        weigh_all(acc, &p, false, &b, &dirty, v_tile, k_step, keys - key, D - column);
    }
    BARRIER;
    for (int n = 0; n < BLOCKS; n++)
        EACH(i, j) {
            const int c = column + n * SIDE + COLUMN(j);
            const float total = state.total[ROW(i)];
            if (first + ROW(i) < queries && c < D)  // a row that sees nothing is zero
                out[at + ROW(i) * step + c] = total == 0 ? 0 : acc[n][i][j] / total;
        }
    if (column == 0 && lane < SIDE && first + lane < queries)
        lse[(batch * heads + head) * queries + first + lane] =
            state.largest[lane] + log(state.total[lane]);
}

// --- vjp --------------------------------------------------------------------------

// delta = sum(ct out) of each row, in lse's order. One work-item does `per_item` rows.
KERNEL void row_products(global float *delta, global const float *ct,
                         global const float *out, int queries, int heads, int rows,
                         int per_item)
{
    const int first = get_global_id(0) * per_item, last = min(first + per_item, rows);
    for (int row = first; row < last; row++) {
        const int query = row % queries, head = row / queries % heads;
        const size_t batch = row / queries / heads;
        const size_t at = ((batch * queries + query) * heads + head) * D;
        float sum = 0;
        for (int c = 0; c < D; c++)
            sum += ct[at + c] * out[at + c];
        delta[row] = sum;
    }
}

// exp(score - lse), and nothing where there is nothing to see, whatever lse is
static inline float weight_of(float score, float lse)
{
    return score == -INFINITY ? 0 : exp(score - lse);
}

// weight (product - delta), and nothing where the weight is zero, whatever the product
static inline float change_of(float weight, float product, float delta)
{
    return weight == 0 ? 0 : weight * (product - delta);
}

// dq of SIDE queries of a head
KERNEL void attention_dq(global float *dq, global const float *ct,
                         global const float *q, global const float *k,
                         global const float *v,
                         global const float *lse, global const float *delta, MASK_ARGS,
                         int queries, int keys, int shared, float scale)
{
    local tile a, b, p;
    local int dirty, unused;
    const int parts = (D + BLOCKS * SIDE - 1) / (BLOCKS * SIDE);
    const int column = get_group_id(0) % parts * (BLOCKS * SIDE);
    const int first = get_group_id(0) / parts * SIDE;
    const int head = get_group_id(1), heads = get_num_groups(1);
    const size_t batch = get_group_id(2), step = heads * D, k_step = step / shared;
    const size_t at = (batch * queries + first) * step + head * D;
    const size_t k_at = batch * keys * k_step + head / shared * D;
    const size_t row = (batch * heads + head) * queries + first;
    float s[4][4], products[4][4], acc[BLOCKS][4][4], lses[4], deltas[4];
    for (int n = 0; n < BLOCKS; n++)
        EACH(i, j) acc[n][i][j] = 0;
    for (int i = 0; i < 4; i++) {
        const int inside = first + ROW(i) < queries;
        lses[i] = inside ? lse[row + ROW(i)] : 0;
        deltas[i] = inside ? delta[row + ROW(i)] : 0;
    }
    const int seen = causal ? min(keys, first + SIDE) : keys;
    for (int key = 0; key < seen; key += SIDE) {
        global const float *k_tile = k + k_at + key * k_step;
        scores(s, &a, &b, &unused, q + at, step, queries - first, k_tile, k_step,
               keys - key);
        scores(products, &a, &b, &unused, ct + at, step, queries - first,
               v + k_at + key * k_step, k_step, keys - key);
        EACH(i, j) {
            const float score =
                masked(s[i][j] * scale, first + ROW(i), key + COLUMN(j), queries,
                       keys, MASK_OF(batch, head));
            p[ROW(i)][COLUMN(j)] =
                change_of(weight_of(score, lses[i]), products[i][j], deltas[i]);
        }
        weigh_all(acc, &p, false, &b, &dirty, k_tile + column, k_step, keys - key,
                  D - column);
    }
    for (int n = 0; n < BLOCKS; n++)
        EACH(i, j) {
            const int c = column + n * SIDE + COLUMN(j);
            if (first + ROW(i) < queries && c < D)
                dq[at + ROW(i) * step + c] = acc[n][i][j] * scale;
        }
}

// dk and dv of SIDE keys of a head of keys, from all heads of queries that share it
KERNEL void attention_dkv(global float *dk, global float *dv, global const float *ct,
                          global const float *q, global const float *k,
                          global const float *v, global const float *lse,
                          global const float *delta, MASK_ARGS, int queries, int keys,
                          int shared, float scale)
{
    local tile a, b, p;
    local int dirty, unused;
    const int parts = (D + BLOCKS * SIDE - 1) / (BLOCKS * SIDE);
    const int column = get_group_id(0) % parts * (BLOCKS * SIDE);
    const int first = get_group_id(0) / parts * SIDE;
    const int k_head = get_group_id(1), heads = get_num_groups(1) * shared;
    const size_t batch = get_group_id(2), step = heads * D, k_step = step / shared;
    const size_t k_at = (batch * keys + first) * k_step + k_head * D;
    float s[4][4], products[4][4], k_acc[BLOCKS][4][4], v_acc[BLOCKS][4][4];
    for (int n = 0; n < BLOCKS; n++)
        EACH(i, j) k_acc[n][i][j] = v_acc[n][i][j] = 0;
    for (int head = k_head * shared; head < (k_head + 1) * shared; head++)
        for (int query = causal ? first : 0; query < queries; query += SIDE) {
            const int rows = queries - query;
            const size_t at = (batch * queries + query) * step + head * D;
            const size_t row = (batch * heads + head) * queries + query;
            scores(s, &a, &b, &unused, q + at, step, rows, k + k_at, k_step,
                   keys - first);
            scores(products, &a, &b, &unused, ct + at, step, rows, v + k_at, k_step,
                   keys - first);
            EACH(i, j) {
                const float score =
                    masked(s[i][j] * scale, query + ROW(i), first + COLUMN(j), queries,
                           keys, MASK_OF(batch, head));
                s[i][j] = ROW(i) < rows ? weight_of(score, lse[row + ROW(i)]) : 0;
                p[ROW(i)][COLUMN(j)] = s[i][j];
            }
            weigh_all(v_acc, &p, true, &b, &dirty, ct + at + column, step, rows,
                      D - column);
            EACH(i, j) p[ROW(i)][COLUMN(j)] =
                s[i][j] == 0 ? 0
                             : change_of(s[i][j], products[i][j], delta[row + ROW(i)]);
            weigh_all(k_acc, &p, true, &b, &dirty, q + at + column, step, rows,
                      D - column);
        }
    for (int n = 0; n < BLOCKS; n++)
        EACH(i, j) {
            const int c = column + n * SIDE + COLUMN(j);
            const size_t to = k_at + ROW(i) * k_step + c;
            if (first + ROW(i) < keys && c < D) {
                dk[to] = k_acc[n][i][j] * scale;
                dv[to] = v_acc[n][i][j];
            }
        }
}
