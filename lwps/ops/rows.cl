// What kernels on rows share. One work-group does a row: it has GROUP items, a power
// of two; 1 on a CPU, where the vectors of sixteen do the rest.

#define KERNEL kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
// A row of n elements, shared out among the work-items, of which this is number `lane`:
// whole vectors, if there are enough for all, and what is left.
#define VECTORS (n / 16 < GROUP ? 0 : n / 16)
#define EACH_VECTOR for (int c = lane; c < VECTORS; c += GROUP)
#define EACH_REST for (int c = VECTORS * 16 + lane; c < n; c += GROUP)

#if GROUP == 1
#define group_max(shared, x) (x)
#define group_sum(shared, x) (x)
#else
// Every work-item gets the largest `x`; a NaN is skipped (it shows in the sums).
inline float group_max(local float *shared, float x)
{
    const int lane = get_local_id(0);
    shared[lane] = x;
    for (int n = GROUP / 2; n > 0; n /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < n)
            shared[lane] = fmax(shared[lane], shared[lane + n]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const float top = shared[0];
    barrier(CLK_LOCAL_MEM_FENCE);  // all have read it before it is written again
    return top;
}

// Every work-item gets the sum, always added in the same order.
inline float group_sum(local float *shared, float x)
{
    const int lane = get_local_id(0);
    shared[lane] = x;
    for (int n = GROUP / 2; n > 0; n /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < n)
            shared[lane] += shared[lane + n];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    const float sum = shared[0];
    barrier(CLK_LOCAL_MEM_FENCE);
    return sum;
}
#endif

inline float add_up(float16 v)
{
    const float8 eight = v.lo + v.hi;
    const float4 four = eight.lo + eight.hi;
    const float2 two = four.lo + four.hi;
    return two.x + two.y;
}

// The largest of a row.
inline float largest(local float *shared, global const float *x, int n)
{
    const int lane = get_local_id(0);
    float16 tops = -INFINITY;
    float top = -INFINITY;
    EACH_VECTOR {
        const float16 v = vload16(c, x);
        tops = v > tops ? v : tops;
    }
    EACH_REST top = fmax(top, x[c]);
    const float8 eight = fmax(tops.lo, tops.hi);
    const float4 four = fmax(eight.lo, eight.hi);
    const float2 two = fmax(four.lo, four.hi);
    return group_max(shared, fmax(top, fmax(two.x, two.y)));
}

// The sum of exp(x - top) over a row.
inline float sum_of_exp(local float *shared, global const float *x, float top, int n)
{
    const int lane = get_local_id(0);
    float16 sums = 0;
    float sum = 0;
    EACH_VECTOR sums += exp(vload16(c, x) - top);
    EACH_REST sum += exp(x[c] - top);
    return group_sum(shared, sum + add_up(sums));
}
