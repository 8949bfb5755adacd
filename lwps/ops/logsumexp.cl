// The logarithm of the sum of exp over rows of n elements; rows.cl says how a row is
// shared out. A row of -inf gives -inf, one with inf gives inf, one with NaN gives NaN.

#include "rows.cl"

KERNEL void logsumexp(global float *y, global const float *x, int n)
{
    local float shared[GROUP];
    x += get_group_id(0) * (size_t)n;
    const float top = largest(shared, x, n);
    const float shift = top > -INFINITY && top < INFINITY ? top : 0.0f;
    const float sum = sum_of_exp(shared, x, shift, n);
    if (get_local_id(0) == 0)
        y[get_group_id(0)] = log(sum) + shift;
}
