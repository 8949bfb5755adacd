// Copies in nested loops. `copy_rows`: a CPU work-item copies `per_item` segments of
// the innermost loop; `copy_each`: a GPU work-item copies one element.
// `transpose_tiles`: a CPU work-item transposes one tile in pieces of 8 x 8 registers;
// `transpose_groups`: a GPU work-group does so through local memory.

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TYPE8 JOIN(TYPE, 8)

#ifdef CONTIGUOUS
#define TO_STEP 1
#define FROM_STEP 1
#else
#define TO_STEP t5
#define FROM_STEP f5
#endif

// Sizes n of loops 1 to 5 (the outermost needs none), steps of result (t) and input
// (f), then where both begin.
#define LOOPS \
    int n1, int n2, int n3, int n4, int n5, int t0, int t1, int t2, int t3, int t4, \
    int t5, int f0, int f1, int f2, int f3, int f4, int f5, int to_start, int from_start

// Moves `to` and `from` to where row `row` of the innermost loop begins.
#define SEEK(row) \
    { \
        const int i4 = (row) % n4, r3 = (row) / n4, i3 = r3 % n3, r2 = r3 / n3; \
        const int i2 = r2 % n2, r1 = r2 / n2, i1 = r1 % n1, i0 = r1 / n1; \
        to = out + to_start + (long)i0 * t0 + (long)i1 * t1 + (long)i2 * t2 \
           + (long)i3 * t3 + (long)i4 * t4; \
        from = x + from_start + (long)i0 * f0 + (long)i1 * f1 + (long)i2 * f2 \
             + (long)i3 * f3 + (long)i4 * f4; \
    }

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void copy_rows(global TYPE *out, global const TYPE *x, LOOPS, int total, int per_item,
               int segments)
{
    const int first = get_global_id(0) * per_item, last = min(first + per_item, total);
    const int length = (n5 + segments - 1) / segments;
    for (int k = first; k < last; k++) {
        global TYPE *to;
        global const TYPE *from;
        SEEK(k / segments)
        const int start = k % segments * length, stop = min(start + length, n5);
        #pragma clang loop vectorize(assume_safety)
        for (int i = start; i < stop; i++)
            to[(long)i * TO_STEP] = from[(long)i * FROM_STEP];
    }
}

kernel void copy_each(global TYPE *out, global const TYPE *x, LOOPS, int total)
{
    const int k = get_global_id(0);
    if (k >= total)
        return;
    global TYPE *to;
    global const TYPE *from;
    SEEK(k / n5)
    to[(long)(k % n5) * TO_STEP] = from[(long)(k % n5) * FROM_STEP];
}

kernel void fill(global TYPE *out, TYPE value, int total, int per_item)
{
    const int first = get_global_id(0) * per_item, last = min(first + per_item, total);
    for (int k = first; k < last; k++)
        out[k] = value;
}

#ifdef TILE
// Axis a (na elements) runs fastest in the result, in steps of fa in the input; axis b
// (nb) runs fastest in the input, in steps of tb in the result; four more loops of
// sizes n, steps t and f.
#define PLANES \
    int na, int nb, int fa, int tb, int n0, int n1, int n2, int n3, int t0, int t1, \
    int t2, int t3, int f0, int f1, int f2, int f3

// The tile of number `tile`: where it begins along a and b, and its plane.
#define FIND(tile) \
    const int tiles_a = (na + TILE - 1) / TILE, tiles_b = (nb + TILE - 1) / TILE; \
    const int a0 = (tile) % tiles_a * TILE, b0 = (tile) / tiles_a % tiles_b * TILE; \
    const int p = (tile) / tiles_a / tiles_b; \
    const int i3 = p % n3, p2 = p / n3, i2 = p2 % n2, p1 = p2 / n2; \
    const int i1 = p1 % n1, i0 = p1 / n1; \
    out += (long)i0 * t0 + (long)i1 * t1 + (long)i2 * t2 + (long)i3 * t3; \
    x += (long)i0 * f0 + (long)i1 * f1 + (long)i2 * f2 + (long)i3 * f3;

#define COLUMN(k) \
    vstore8((TYPE8)(r0.s##k, r1.s##k, r2.s##k, r3.s##k, \
                    r4.s##k, r5.s##k, r6.s##k, r7.s##k), 0, out + (long)k * tb);

static void transpose_8x8(global TYPE *out, global const TYPE *x, int tb, int fa)
{
    const long f = fa;
    const TYPE8 r0 = vload8(0, x), r1 = vload8(0, x + f), r2 = vload8(0, x + 2 * f);
    const TYPE8 r3 = vload8(0, x + 3 * f), r4 = vload8(0, x + 4 * f);
    const TYPE8 r5 = vload8(0, x + 5 * f), r6 = vload8(0, x + 6 * f);
    const TYPE8 r7 = vload8(0, x + 7 * f);
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3) COLUMN(4) COLUMN(5) COLUMN(6) COLUMN(7)
}

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void transpose_tiles(global TYPE *out, global const TYPE *x, PLANES)
{
    FIND((int)get_global_id(0))
    const int a1 = min(a0 + TILE, na), b1 = min(b0 + TILE, nb);
    for (int b = b0; b < b1; b += 8)
        for (int a = a0; a < a1; a += 8) {
            if (a + 8 <= a1 && b + 8 <= b1) {
                transpose_8x8(out + (long)b * tb + a, x + (long)a * fa + b, tb, fa);
                continue;
            }
            for (int j = b; j < min(b + 8, b1); j++)
                for (int i = a; i < min(a + 8, a1); i++)
                    out[(long)j * tb + i] = x[(long)i * fa + j];
        }
}

#ifdef GROUPS
kernel __attribute__((reqd_work_group_size(TILE * TILE, 1, 1)))
void transpose_groups(global TYPE *out, global const TYPE *x, PLANES)
{
    local TYPE tile[TILE][TILE + 1];  // one more: so that columns lie in different banks
    FIND((int)get_group_id(0))
    const int fast = get_local_id(0) % TILE, slow = get_local_id(0) / TILE;
    if (a0 + slow < na && b0 + fast < nb)
        tile[slow][fast] = x[(long)(a0 + slow) * fa + b0 + fast];
    barrier(CLK_LOCAL_MEM_FENCE);
    if (a0 + fast < na && b0 + slow < nb)
        out[(long)(b0 + slow) * tb + a0 + fast] = tile[fast][slow];
}
#endif
#endif
