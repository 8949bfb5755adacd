// Elements picked by index along the middle of x[outer, n, inner]. ALONG: the indices
// are [outer, count, inner], else [count]. `take_rows`: a CPU work-item copies `per_item`
// segments of rows; `take_each`: a GPU work-item copies one element.

#include "picks.cl"

kernel __attribute__((reqd_work_group_size(1, 1, 1)))
void take_rows(global TYPE *out, global const TYPE *x, global const int *indices,
               TYPE fill, int n, int count, int inner, int total, int per_item,
               int segments)
{
    const int first = get_global_id(0) * per_item, last = min(first + per_item, total);
    const int length = (inner + segments - 1) / segments;
    int outer = first / segments / count, k = first / segments % count;
    for (int task = first; task < last; task++) {
        const int start = task % segments * length, stop = min(start + length, inner);
        const long row = (long)outer * count + k;
        global TYPE *to = out + row * inner;
        global const TYPE *from = x + (long)outer * n * inner;
#ifdef ALONG
        for (int i = start; i < stop; i++) {
            const int p = place(indices[row * inner + i], n);
            to[i] = p < 0 ? fill : from[(long)p * inner + i];
        }
#else
        const int p = place(indices[k], n);
        if (p < 0) {
            for (int i = start; i < stop; i++)
                to[i] = fill;
        } else {
            from += (long)p * inner;
            #pragma clang loop vectorize(assume_safety)
            for (int i = start; i < stop; i++)
                to[i] = from[i];
        }
#endif
        if (stop == inner && ++k == count) {
            k = 0;
            outer++;
        }
    }
}

kernel void take_each(global TYPE *out, global const TYPE *x,
                      global const int *indices, TYPE fill, int n, int count,
                      int inner, int total)
{
    const int e = get_global_id(0);
    if (e >= total)
        return;
    const int row = e / inner, i = e % inner;
#ifdef ALONG
    const int p = place(indices[e], n);
#else
    const int p = place(indices[row % count], n);
#endif
    out[e] = p < 0 ? fill : x[((long)(row / count) * n + p) * inner + i];
}
