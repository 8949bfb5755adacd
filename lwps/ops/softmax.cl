// Softmax over rows of `classes` elements. One work-group does a row: it has GROUP
// items, a power of two; 1 on a CPU, where the vectors of eight do the rest.

#define KERNEL kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))
// the whole vectors of a row, and what is left of it, shared out among the work-items
#define EACH_VECTOR for (int c = lane; c < classes / 8; c += GROUP)
#define EACH_REST for (int c = classes / 8 * 8 + lane; c < classes; c += GROUP)

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

inline float add_up(float8 v)
{
    const float4 four = v.lo + v.hi;
    const float2 two = four.lo + four.hi;
    return two.x + two.y;
}

inline float largest(local float *shared, global const float *x, int classes)
{
    const int lane = get_local_id(0);
    float8 tops = -INFINITY;
    float top = -INFINITY;
    EACH_VECTOR {
        const float8 v = vload8(c, x);
        tops = v > tops ? v : tops;
    }
    EACH_REST top = fmax(top, x[c]);
    const float4 four = fmax(tops.lo, tops.hi);
    const float2 two = fmax(four.lo, four.hi);
    return group_max(shared, fmax(top, fmax(two.x, two.y)));
}

inline float sum_of_exp(local float *shared, global const float *x, float top,
                        int classes)
{
    const int lane = get_local_id(0);
    float8 sums = 0;
    float sum = 0;
    EACH_VECTOR sums += exp(vload8(c, x) - top);
    EACH_REST sum += exp(x[c] - top);
    return group_sum(shared, sum + add_up(sums));
}

KERNEL void log_softmax(global float *y, global const float *x, int classes)
{
    local float shared[GROUP];
    const int lane = get_local_id(0);
    const size_t row = get_group_id(0) * (size_t)classes;
    x += row;
    y += row;
    const float top = largest(shared, x, classes);
    const float log_sum = log(sum_of_exp(shared, x, top, classes));
    EACH_VECTOR vstore8(vload8(c, x) - top - log_sum, c, y);
    EACH_REST y[c] = x[c] - top - log_sum;
}

// dx = ct - exp(y) sum(ct)
KERNEL void log_softmax_vjp(global float *dx, global const float *ct,
                            global const float *y, int classes)
{
    local float shared[GROUP];
    const int lane = get_local_id(0);
    const size_t row = get_group_id(0) * (size_t)classes;
    dx += row;
    ct += row;
    y += row;
    float8 sums = 0;
    float rest = 0;
    EACH_VECTOR sums += vload8(c, ct);
    EACH_REST rest += ct[c];
    const float sum = group_sum(shared, rest + add_up(sums));
    EACH_VECTOR vstore8(vload8(c, ct) - exp(vload8(c, y)) * sum, c, dx);
    EACH_REST dx[c] = ct[c] - exp(y[c]) * sum;
}

KERNEL void softmax_cross_entropy(global float *losses, global const float *logits,
                                  global const int *labels, int classes)
{
    local float shared[GROUP];
    const size_t row = get_group_id(0);
    const int label = labels[row];
    logits += row * classes;
    const float top = largest(shared, logits, classes);
    const float sum = sum_of_exp(shared, logits, top, classes);
    const int known = label >= 0 && label < classes;
    if (get_local_id(0) == 0)
        losses[row] = known ? log(sum) - (logits[label] - top) : NAN;
}

// dlogits = ct (softmax(logits) - [class == label])
KERNEL void softmax_cross_entropy_vjp(global float *dlogits, global const float *cts,
                                      global const float *logits,
                                      global const int *labels, int classes)
{
    local float shared[GROUP];
    const int lane = get_local_id(0);
    const size_t row = get_group_id(0);
    const int label = labels[row];
    const int known = label >= 0 && label < classes;
    const float ct = known ? cts[row] : NAN;
    logits += row * classes;
    dlogits += row * classes;
    const float top = largest(shared, logits, classes);
    const float scale = 1 / sum_of_exp(shared, logits, top, classes);
    EACH_VECTOR vstore8(ct * (exp(vload8(c, logits) - top) * scale), c, dlogits);
    EACH_REST dlogits[c] = ct * (exp(logits[c] - top) * scale);
    barrier(CLK_GLOBAL_MEM_FENCE);  // another work-item may have written the label's
    if (lane == 0 && known)
        dlogits[label] -= ct;
}
