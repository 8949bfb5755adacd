// Softmax and its logarithm over rows of n elements; rows.cl says how a row is shared
// out.

#include "rows.cl"

KERNEL void softmax(global float *y, global const float *x, int n)
{
    local float shared[GROUP];
    const int lane = get_local_id(0);
    const size_t row = get_group_id(0) * (size_t)n;
    x += row;
    y += row;
    const float top = largest(shared, x, n);
    float16 sums = 0;
    float rest = 0;
    EACH_VECTOR {
        const float16 e = exp(vload16(c, x) - top);
        vstore16(e, c, y);
        sums += e;
    }
    EACH_REST rest += y[c] = exp(x[c] - top);
    const float scale = 1 / group_sum(shared, rest + add_up(sums));
    EACH_VECTOR vstore16(vload16(c, y) * scale, c, y);
    EACH_REST y[c] *= scale;
}

// dx = y (ct - sum(ct y))
KERNEL void softmax_vjp(global float *dx, global const float *ct,
                        global const float *y, int n)
{
    local float shared[GROUP];
    const int lane = get_local_id(0);
    const size_t row = get_group_id(0) * (size_t)n;
    dx += row;
    ct += row;
    y += row;
    float16 sums = 0;
    float rest = 0;
    EACH_VECTOR sums += vload16(c, ct) * vload16(c, y);
    EACH_REST rest += ct[c] * y[c];
    const float dot = group_sum(shared, rest + add_up(sums));
    EACH_VECTOR vstore16(vload16(c, y) * (vload16(c, ct) - dot), c, dx);
    EACH_REST dx[c] = y[c] * (ct[c] - dot);
}

KERNEL void log_softmax(global float *y, global const float *x, int n)
{
    local float shared[GROUP];
    const int lane = get_local_id(0);
    const size_t row = get_group_id(0) * (size_t)n;
    x += row;
    y += row;
    const float top = largest(shared, x, n);
    const float log_sum = log(sum_of_exp(shared, x, top, n));
    EACH_VECTOR vstore16(vload16(c, x) - top - log_sum, c, y);
    EACH_REST y[c] = x[c] - top - log_sum;
}

// dx = ct - exp(y) sum(ct)
KERNEL void log_softmax_vjp(global float *dx, global const float *ct,
                            global const float *y, int n)
{
    local float shared[GROUP];
    const int lane = get_local_id(0);
    const size_t row = get_group_id(0) * (size_t)n;
    dx += row;
    ct += row;
    y += row;
    float16 sums = 0;
    float rest = 0;
    EACH_VECTOR sums += vload16(c, ct);
    EACH_REST rest += ct[c];
    const float sum = group_sum(shared, rest + add_up(sums));
    EACH_VECTOR vstore16(vload16(c, ct) - exp(vload16(c, y)) * sum, c, dx);
    EACH_REST dx[c] = ct[c] - exp(y[c]) * sum;
}
