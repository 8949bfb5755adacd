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
#define LOOPS_GIVEN \
    n1, n2, n3, n4, n5, t0, t1, t2, t3, t4, t5, f0, f1, f2, f3, f4, f5, to_start, \
    from_start

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

// A CPU work-item: `per_item` segments of the innermost loop.
static void copy_some_rows(global TYPE *out, global const TYPE *x, LOOPS, int total,
                           int per_item, int segments)
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

// A GPU work-item: one element.
static void copy_one(global TYPE *out, global const TYPE *x, LOOPS, int total)
{
    const int k = get_global_id(0);
    if (k >= total)
        return;
    global TYPE *to;
    global const TYPE *from;
    SEEK(k / n5)
    to[(long)(k % n5) * TO_STEP] = from[(long)(k % n5) * FROM_STEP];
}

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void copy_rows(global TYPE *out, global const TYPE *x, LOOPS, int total, int per_item,
               int segments)
{
    copy_some_rows(out, x, LOOPS_GIVEN, total, per_item, segments);
}

kernel void copy_each(global TYPE *out, global const TYPE *x, LOOPS, int total)
{
    copy_one(out, x, LOOPS_GIVEN, total);
}

kernel void fill(global TYPE *out, TYPE value, int total, int per_item)
{
    const int first = get_global_id(0) * per_item, last = min(first + per_item, total);
    for (int k = first; k < last; k++)
        out[k] = value;
}

#ifdef TILE_A
// Axis a (na elements) runs fastest in the result, in steps of fa in the input; axis b
// (nb) runs fastest in the input, in steps of tb in the result; four more loops of
// sizes n, steps t and f.
#define PLANES \
    int na, int nb, int fa, int tb, int n0, int n1, int n2, int n3, int t0, int t1, \
    int t2, int t3, int f0, int f1, int f2, int f3

// The tile of number `tile`: where it begins along a and b, and its plane.
#define FIND(tile) \
    const int tiles_a = (na + TILE_A - 1) / TILE_A, tiles_b = (nb + TILE_B - 1) / TILE_B; \
    const int b0 = (tile) % tiles_b * TILE_B, a0 = (tile) / tiles_b % tiles_a * TILE_A; \
    const int p = (tile) / tiles_b / tiles_a; \
    const int i3 = p % n3, p2 = p / n3, i2 = p2 % n2, p1 = p2 / n2; \
    const int i1 = p1 % n1, i0 = p1 / n1; \
    out += (long)i0 * t0 + (long)i1 * t1 + (long)i2 * t2 + (long)i3 * t3; \
    x += (long)i0 * f0 + (long)i1 * f1 + (long)i2 * f2 + (long)i3 * f3;

// Interleaves the first and the second halves of two rows; done three times with rows
// i and i + 4, that is a transpose.
#define LOW(u, v) \
    (TYPE8)(u.s0, v.s0, u.s1, v.s1, u.s2, v.s2, u.s3, v.s3)
#define HIGH(u, v) \
    (TYPE8)(u.s4, v.s4, u.s5, v.s5, u.s6, v.s6, u.s7, v.s7)
#define INTERLEAVE(r, q) \
    const TYPE8 r##0 = LOW(q##0, q##4), r##1 = HIGH(q##0, q##4); \
    const TYPE8 r##2 = LOW(q##1, q##5), r##3 = HIGH(q##1, q##5); \
    const TYPE8 r##4 = LOW(q##2, q##6), r##5 = HIGH(q##2, q##6); \
    const TYPE8 r##6 = LOW(q##3, q##7), r##7 = HIGH(q##3, q##7);

static void transpose_8x8(global TYPE *out, global const TYPE *x, long t, long f)
{
    const TYPE8 r0 = vload8(0, x), r1 = vload8(0, x + f);
    const TYPE8 r2 = vload8(0, x + 2 * f), r3 = vload8(0, x + 3 * f);
    const TYPE8 r4 = vload8(0, x + 4 * f), r5 = vload8(0, x + 5 * f);
    const TYPE8 r6 = vload8(0, x + 6 * f), r7 = vload8(0, x + 7 * f);
    INTERLEAVE(u, r)
    INTERLEAVE(v, u)
    INTERLEAVE(w, v)
    vstore8(w0, 0, out);
    vstore8(w1, 0, out + t);
    vstore8(w2, 0, out + 2 * t);
    vstore8(w3, 0, out + 3 * t);
    vstore8(w4, 0, out + 4 * t);
    vstore8(w5, 0, out + 5 * t);
    vstore8(w6, 0, out + 6 * t);
    vstore8(w7, 0, out + 7 * t);
}

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void transpose_tiles(global TYPE *out, global const TYPE *x, PLANES)
{
    FIND((int)get_global_id(0))
    const int a1 = min(a0 + TILE_A, na), b1 = min(b0 + TILE_B, nb);
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
kernel __attribute__((reqd_work_group_size(TILE_A * TILE_A, 1, 1)))
void transpose_groups(global TYPE *out, global const TYPE *x, PLANES)
{
    local TYPE tile[TILE_A][TILE_A + 1];  // one more: so that columns lie in different banks
    FIND((int)get_group_id(0))
    const int fast = get_local_id(0) % TILE_A, slow = get_local_id(0) / TILE_A;
    if (a0 + slow < na && b0 + fast < nb)
        tile[slow][fast] = x[(long)(a0 + slow) * fa + b0 + fast];
    barrier(CLK_LOCAL_MEM_FENCE);
    if (a0 + fast < na && b0 + slow < nb)
        out[(long)(b0 + slow) * tb + a0 + fast] = tile[fast][slow];
}
#endif
#endif
