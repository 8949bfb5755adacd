// silu(a) b; each row of x holds H elements of a, then H of b.
// One work-item does one element of one row.

kernel void swiglu(global float *y, global const float *x, int H)
{
    const int h = get_global_id(0);
    if (h >= H) return;
    const size_t row = get_global_id(1), at = 2 * row * H + h;
    const float a = x[at], b = x[at + H];
    y[row * H + h] = b / (1.0f + exp(-a)) * a;
}
