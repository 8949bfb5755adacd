// Copies of a part of an array, which begins where `starts` says when the kernel runs.
// The loops are those of shape.cl, moved to that place: of the input, or (UPDATE) of the
// result. `whole` comes before an update: it copies all, unless that is done in place.

#include "shape.cl"

// Of each axis the size (d), the last place where the part may begin (l) and the
// elements from one index to the next (s).
#define AXES \
    int ndim, int d0, int d1, int d2, int d3, int d4, int d5, int l0, int l1, int l2, \
    int l3, int l4, int l5, int s0, int s1, int s2, int s3, int s4, int s5

static long first_of(global const int *starts, int axis, int ndim, int d, int l, int s)
{
    if (axis >= ndim)
        return 0;
    const int start = starts[axis];
    return (long)clamp(start < 0 ? start + d : start, 0, l) * s;
}

#define FIRST(k) first_of(starts, k, ndim, d##k, l##k, s##k)
#define MOVE(array) \
    array += FIRST(0) + FIRST(1) + FIRST(2) + FIRST(3) + FIRST(4) + FIRST(5)
#ifdef UPDATE
#define MOVED MOVE(out)
#else
#define MOVED MOVE(x)
#endif

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void dynamic_copy_rows(global TYPE *out, global const TYPE *x, global const int *starts,
                       AXES, LOOPS, int total, int per_item, int segments)
{
    MOVED;
    copy_some_rows(out, x, LOOPS_GIVEN, total, per_item, segments);
}

kernel void dynamic_copy_each(global TYPE *out, global const TYPE *x,
                              global const int *starts, AXES, LOOPS, int total)
{
    MOVED;
    copy_one(out, x, LOOPS_GIVEN, total);
}

kernel void whole(global TYPE *out, global const TYPE *x, int total, int per_item)
{
    if (out == x)
        return;
    const int first = get_global_id(0) * per_item, last = min(first + per_item, total);
    #pragma clang loop vectorize(assume_safety)
    for (int k = first; k < last; k++)
        out[k] = x[k];
}
