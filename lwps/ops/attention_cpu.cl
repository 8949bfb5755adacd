// Scaled dot-product attention on CPUs. q and its like are batch x queries x heads x
// D, k and its like batch x keys x heads/shared x D; lse and delta batch x heads x
// queries.
//
// A work-item owns LANES rows side by side of one array (queries, or keys for dk and
// dv), transposed once, and meets the rows of another in tiles of TILE. The scores of a
// tile lie as [TILE][LANES]: maxima and sums over a tile are those of vectors. All that
// is multiplied is private: packed rows of DP floats (D, and zeros to a whole vector).

#define DP ((D + 15) / 16 * 16)
#define COLUMNS 16  // of a register tile, two vectors; it has MR rows
#define ITEM kernel __attribute__((reqd_work_group_size(1, 1, 1)))
#define ALIGNED __attribute__((aligned(64)))
#define EACH_LANE for (int b = 0; b < lanes; b += 16)  // vectors of those in use
#define AT(s, b) (*(float16 *)((s) + (b)))
#define NOTHING ((float16)(-INFINITY))

typedef float8 vec;

// --- products ---------------------------------------------------------------------

// acc += depth products of MR elements of a (row by row, step by step) and a row of b
static inline void multiply(vec acc[MR][2], const float *a, int row, int step,
                            const float *b, int b_row, int depth)
{
    for (int k = 0; k < depth; k++) {
        const vec b0 = ((const vec *)b)[0], b1 = ((const vec *)b)[1];
        #pragma unroll
        for (int i = 0; i < MR; i++) {
            const vec x = a[i * row];
            acc[i][0] += x * b0;
            acc[i][1] += x * b1;
        }
        a += step;
        b += b_row;
    }
}

// s[count][lanes] = tile[TILE][DP] times columns[D][LANES]
static void scores(float *s, const float *tile, const float *columns, int count,
                   int lanes)
{
    for (int i = 0; i < count; i += MR)
        EACH_LANE {
            vec acc[MR][2];
            #pragma unroll
            for (int r = 0; r < MR; r++)
                acc[r][0] = acc[r][1] = 0;
            multiply(acc, tile + i * DP, DP, 1, columns + b, LANES, D);
            #pragma unroll
            for (int r = 0; r < MR; r++) {
                vec *to = (vec *)(s + (i + r) * LANES + b);
                to[0] = acc[r][0];
                to[1] = acc[r][1];
            }
        }
}

// sums[lanes][DP] = sums * keep + weights[count][lanes]' times tile[count][DP], where a
// weight of zero takes nothing, not even of a NaN
static void weigh_with_care(float *sums, const float *keep, const float *weights,
                            const float *tile, int count, int lanes)
{
    for (int i = 0; i < lanes; i++)
        for (int c = 0; c < DP; c++) {
            float sum = 0;
            for (int k = 0; k < count; k++) {
                const float weight = weights[k * LANES + i];
                sum += weight == 0 ? 0 : weight * tile[k * DP + c];
            }
            sums[i * DP + c] = sums[i * DP + c] * keep[i] + sum;
        }
}

// The same, quickly where all of the tile is finite
static void weigh(float *sums, const float *keep, const float *weights,
                  const float *tile, int count, int lanes, bool finite)
{
    if (!finite) {
        weigh_with_care(sums, keep, weights, tile, count, lanes);
        return;
    }
    for (int i = 0; i < lanes; i += MR)
        for (int c = 0; c < DP; c += COLUMNS) {
            vec acc[MR][2];
            #pragma unroll
            for (int r = 0; r < MR; r++) {
                const vec *from = (const vec *)(sums + (i + r) * DP + c);
                acc[r][0] = from[0] * keep[i + r];
                acc[r][1] = from[1] * keep[i + r];
            }
            multiply(acc, weights + i, 1, LANES, tile + c, DP, count);
            #pragma unroll
            for (int r = 0; r < MR; r++) {
                vec *to = (vec *)(sums + (i + r) * DP + c);
                to[0] = acc[r][0];
                to[1] = acc[r][1];
            }
        }
}

// --- rows in and out --------------------------------------------------------------

// tile[TILE][DP] = `count` rows of x, zeros behind; whether all of it is finite
static bool pack(float *tile, global const float *x, size_t step, int count)
{
    float16 check = 0;
    for (int i = 0; i < TILE; i++, x += step) {
        float *to = tile + i * DP;
        if (i >= count) {
            for (int c = 0; c < DP; c += 16)
                AT(to, c) = 0;
            continue;
        }
        for (int c = 0; c < D / 16 * 16; c += 16) {
            const float16 v = vload16(0, x + c);
            AT(to, c) = v;
            check += v * 0;  // NaN once there is a NaN or an infinity
        }
        for (int c = D / 16 * 16; c < DP; c++) {
            to[c] = c < D ? x[c] : 0;
            check.s0 += to[c] * 0;
        }
    }
    return all(check == 0);
}

// columns[D][LANES] = `count` rows of x times `factor`, transposed, zeros behind
static void pack_columns(float *columns, global const float *x, size_t step, int count,
                       float factor)
{
    for (int i = 0; i < LANES; i++) {
        for (int c = 0; c < D; c++)
            columns[c * LANES + i] = i < count ? x[i * step + c] * factor : 0;
    }
}

// `count` rows of sums[LANES][DP], each times its factor, to where they lie in memory
static void unpack(global float *x, size_t step, const float *sums,
                   const float *factors, int count)
{
    for (int i = 0; i < count; i++)
        for (int c = 0; c < D; c++)
            x[i * step + c] = sums[i * DP + c] * factors[i];
}

// `count` numbers of rows, and `rest` behind
static void load(float *lanes, global const float *x, int count, float rest)
{
    for (int i = 0; i < LANES; i++)
        lanes[i] = i < count ? x[i] : rest;
}

static void fill(float *x, int count, float value)
{
    for (int i = 0; i < count; i += 16)
        AT(x, i) = value;
}

// --- masks ------------------------------------------------------------------------

// What a query may see: keys up to its own number if `causal`; what a mask lets it, of
// bools (kind 1) or floats that are added (kind 2), with its steps in elements.
#define MASK_ARGS int causal, int kind, global const uchar *mask, int mask_batch, \
                  int mask_head, int mask_query, int mask_key
#define MASK_OF(batch, head, tile_step, lane_step) causal, kind, mask, \
    (long)(batch) * mask_batch + (long)(head) * mask_head, tile_step, lane_step

static float mask_number(int kind, global const uchar *mask, long at)
{
    if (kind == 2)
        return ((global const float *)mask)[at];
    return mask[at] ? 0 : -INFINITY;
}

// The mask's numbers for 16 lanes, of which `used` are in use.
static float16 mask_numbers(int kind, global const uchar *mask, long at, int lane_step,
                            int used)
{
    if (lane_step == 0)
        return mask_number(kind, mask, at);
    ALIGNED float numbers[16];
    for (int b = 0; b < 16; b++)
        numbers[b] = b < used ? mask_number(kind, mask, at + (long)b * lane_step) : 0;
    return AT(numbers, 0);
}

// Minus infinity where a query may not see a key, whatever the score is; the mask's
// numbers added where it has any. `queries` says whether lanes are queries, `used` how
// many of them there are.
static void mask_scores(float *s, int tile, int count, int first, int used, int lanes,
                        bool queries, int causal, int kind, global const uchar *mask,
                        long at, int tile_step, int lane_step)
{
    const int16 iota = (int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const bool crossed = queries ? tile + count > first + 1 : tile < first + used - 1;
    if (causal && crossed)
        for (int k = 0; k < count; k++)
            EACH_LANE {
                const int16 here = first + b + iota;
                const int16 sees = queries ? here >= tile + k : here <= tile + k;
                AT(s, k * LANES + b) = select(NOTHING, AT(s, k * LANES + b), sees);
            }
    for (int k = 0; kind && k < count; k++)
        EACH_LANE {
            const long here =
                at + (long)(tile + k) * tile_step + (long)(first + b) * lane_step;
            const float16 m = mask_numbers(kind, mask, here, lane_step, used - b);
            const float16 score = AT(s, k * LANES + b);
            const int16 hidden = m == NOTHING || score == NOTHING;
            AT(s, k * LANES + b) = select(score + m, NOTHING, hidden);
        }
}

// --- forward ----------------------------------------------------------------------

// Where the sums of a row of scores stand: the largest so far, the sum of exp(score -
// largest); `keep` is what the sums before this tile are to be multiplied with.
static void soften(float *s, float *largest, float *total, float *keep, int count,
                   int lanes)
{
    EACH_LANE {
        const float16 before = AT(largest, b);
        float16 top = before, sum = 0;
        for (int k = 0; k < count; k++) {
            const float16 x = AT(s, k * LANES + b);
            top = x > top ? x : top;
        }
        const float16 base = top == NOTHING ? (float16)(0) : top;
        for (int k = 0; k < count; k++) {
            const float16 weight = exp(AT(s, k * LANES + b) - base);
            AT(s, k * LANES + b) = weight;
            sum += weight;
        }
        AT(keep, b) = exp(before - base);
        AT(total, b) = AT(total, b) * AT(keep, b) + sum;
        AT(largest, b) = top;
    }
}

// out and lse of LANES queries of a head
ITEM void attention(global float *out, global float *lse, global const float *q,
                    global const float *k, global const float *v, MASK_ARGS,
                    int queries, int keys, int shared, float scale)
{
    const int head = get_global_id(1), heads = get_global_size(1);
    const int first = get_global_id(0) * LANES, count = min(LANES, queries - first);
    const int lanes = (count + 15) / 16 * 16;
    const size_t batch = get_global_id(2), step = heads * D, k_step = step / shared;
    const size_t at = (batch * queries + first) * step + head * D;
    const size_t k_at = batch * keys * k_step + head / shared * D;
    ALIGNED float columns[D * LANES], s[TILE * LANES], tile[TILE * DP];
    ALIGNED float sums[LANES * DP], largest[LANES], total[LANES], keep[LANES];
    pack_columns(columns, q + at, step, count, scale);
    fill(sums, LANES * DP, 0);
    fill(largest, LANES, -INFINITY);
    fill(total, LANES, 0);
    const int seen = causal ? min(keys, first + count) : keys;
    for (int j = 0; j < seen; j += TILE) {
        const int n = min(TILE, seen - j);
        pack(tile, k + k_at + j * k_step, k_step, n);
        scores(s, tile, columns, n, lanes);
        mask_scores(s, j, n, first, count, lanes, true,
                    MASK_OF(batch, head, mask_key, mask_query));
        soften(s, largest, total, keep, n, lanes);
        const bool finite = pack(tile, v + k_at + j * k_step, k_step, n);
        weigh(sums, keep, s, tile, n, lanes, finite);
    }
    for (int i = 0; i < count; i++) {
        keep[i] = total[i] == 0 ? 0 : 1 / total[i];  // a row that sees nothing is zero
        lse[(batch * heads + head) * queries + first + i] = largest[i] + log(total[i]);
    }
    unpack(out + at, step, sums, keep, count);
}

// --- vjp --------------------------------------------------------------------------

// delta = sum(ct out) of each row, in lse's order. One work-item does `per_item` rows.
ITEM void row_products(global float *delta, global const float *ct,
                       global const float *out, int queries, int heads, int rows,
                       int per_item)
{
    const int first = get_global_id(0) * per_item, last = min(first + per_item, rows);
    for (int row = first; row < last; row++) {
        const int query = row % queries, head = row / queries % heads;
        const size_t batch = row / queries / heads;
        const size_t at = ((batch * queries + query) * heads + head) * D;
        float16 sums = 0;
        float sum = 0;
        for (int c = 0; c < D / 16; c++)
            sums += vload16(c, ct + at) * vload16(c, out + at);
        for (int c = D / 16 * 16; c < D; c++)
            sum += ct[at + c] * out[at + c];
        const float8 s8 = sums.lo + sums.hi;
        const float4 s4 = s8.lo + s8.hi;
        const float2 s2 = s4.lo + s4.hi;
        delta[row] = sum + (s2.x + s2.y);
    }
}

// exp(score - lse), and nothing where there is nothing to see, whatever lse is
#define WEIGHT(score, lse) \
    ((score) == NOTHING ? (float16)(0) : exp((score) - (lse)))

// weight (product - delta), and nothing where the weight is zero, whatever the product
#define CHANGE(weight, product, delta) \
    ((weight) == 0 ? (float16)(0) : (weight) * ((product) - (delta)))

// dq of LANES queries of a head
ITEM void attention_dq(global float *dq, global const float *ct, global const float *q,
                       global const float *k, global const float *v,
                       global const float *lse, global const float *delta, MASK_ARGS,
                       int queries, int keys, int shared, float scale)
{
    const int head = get_global_id(1), heads = get_global_size(1);
    const int first = get_global_id(0) * LANES, count = min(LANES, queries - first);
    const int lanes = (count + 15) / 16 * 16;
    const size_t batch = get_global_id(2), step = heads * D, k_step = step / shared;
    const size_t at = (batch * queries + first) * step + head * D;
    const size_t k_at = batch * keys * k_step + head / shared * D;
    const size_t row = (batch * heads + head) * queries + first;
    ALIGNED float q_columns[D * LANES], ct_columns[D * LANES], tile[TILE * DP];
    ALIGNED float s[TILE * LANES], products[TILE * LANES], sums[LANES * DP];
    ALIGNED float lses[LANES], deltas[LANES], factors[LANES];
    pack_columns(q_columns, q + at, step, count, scale);
    pack_columns(ct_columns, ct + at, step, count, 1);
    load(lses, lse + row, count, INFINITY);  // of no weight
    load(deltas, delta + row, count, 0);
    fill(sums, LANES * DP, 0);
    fill(factors, LANES, 1);
    const int seen = causal ? min(keys, first + count) : keys;
    for (int j = 0; j < seen; j += TILE) {
        const int n = min(TILE, seen - j);
        pack(tile, v + k_at + j * k_step, k_step, n);
        scores(products, tile, ct_columns, n, lanes);
        const bool finite = pack(tile, k + k_at + j * k_step, k_step, n);
        scores(s, tile, q_columns, n, lanes);
        mask_scores(s, j, n, first, count, lanes, true,
                    MASK_OF(batch, head, mask_key, mask_query));
        for (int i = 0; i < n; i++)
            EACH_LANE {
                const float16 weight = WEIGHT(AT(s, i * LANES + b), AT(lses, b));
                AT(s, i * LANES + b) =
                    CHANGE(weight, AT(products, i * LANES + b), AT(deltas, b));
            }
        weigh(sums, factors, s, tile, n, lanes, finite);
    }
    fill(factors, LANES, scale);
    unpack(dq + at, step, sums, factors, count);
}

// dk and dv of LANES keys of a head of keys, from all heads of queries that share it
ITEM void attention_dkv(global float *dk, global float *dv, global const float *ct,
                        global const float *q, global const float *k,
                        global const float *v, global const float *lse,
                        global const float *delta, MASK_ARGS, int queries, int keys,
                        int shared, float scale)
{
    const int k_head = get_global_id(1), heads = get_global_size(1) * shared;
    const int first = get_global_id(0) * LANES, count = min(LANES, keys - first);
    const int lanes = (count + 15) / 16 * 16;
    const size_t batch = get_global_id(2), step = heads * D, k_step = step / shared;
    const size_t k_at = (batch * keys + first) * k_step + k_head * D;
    ALIGNED float k_columns[D * LANES], v_columns[D * LANES];
    ALIGNED float q_tile[TILE * DP], ct_tile[TILE * DP];
    ALIGNED float s[TILE * LANES], products[TILE * LANES];
    ALIGNED float k_sums[LANES * DP], v_sums[LANES * DP], factors[LANES];
    pack_columns(k_columns, k + k_at, k_step, count, scale);
    pack_columns(v_columns, v + k_at, k_step, count, 1);
    fill(k_sums, LANES * DP, 0);
    fill(v_sums, LANES * DP, 0);
    fill(factors, LANES, 1);
    for (int head = k_head * shared; head < (k_head + 1) * shared; head++)
        for (int i = causal ? first : 0; i < queries; i += TILE) {
            const int n = min(TILE, queries - i);
            const size_t at = (batch * queries + i) * step + head * D;
            const size_t row = (batch * heads + head) * queries + i;
            const bool finite = pack(q_tile, q + at, step, n);
            const bool ct_finite = pack(ct_tile, ct + at, step, n);
            scores(s, q_tile, k_columns, n, lanes);
            scores(products, ct_tile, v_columns, n, lanes);
            mask_scores(s, i, n, first, count, lanes, false,
                        MASK_OF(batch, head, mask_query, mask_key));
            for (int r = 0; r < n; r++)
                EACH_LANE AT(s, r * LANES + b) =
                    WEIGHT(AT(s, r * LANES + b), lse[row + r]);
            weigh(v_sums, factors, s, ct_tile, n, lanes, ct_finite);
            for (int r = 0; r < n; r++)
                EACH_LANE {
                    const float16 weight = AT(s, r * LANES + b);
                    AT(s, r * LANES + b) =
                        CHANGE(weight, AT(products, r * LANES + b), delta[row + r]);
                }
            weigh(k_sums, factors, s, q_tile, n, lanes, finite);
        }
    unpack(dv + k_at, k_step, v_sums, factors, count);
    fill(factors, LANES, scale);
    unpack(dk + k_at, k_step, k_sums, factors, count);
}
