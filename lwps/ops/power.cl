// Powers of one element, without branches and calls (see exponential.cl).

#ifndef LWPS_POWER
#define LWPS_POWER

#include "rounding.cl"

// x^n of a known n: the loop is gone when n is put in
static float lwps_integer_pow(float x, uint n)
{
    float y = 1.0f;
    for (; n > 0; n >>= 1) {
        y = n & 1 ? y * x : y;
        x *= x;
    }
    return y;
}

static uint lwps_integer_pow_uint(uint x, uint n)
{
    uint y = 1;
    for (; n > 0; n >>= 1) {
        y = n & 1 ? y * x : y;
        x *= x;
    }
    return y;
}

// The upper 12 of 24 digits: products of two such are exact.
static float lwps_upper(float x)
{
    return as_float(as_uint(x) & 0xfffff000u);
}

// log2 of a positive number; returns the high part and sets the low one.
// log(m) = 2 atanh(s) = 2 s + s^3 (2/3 + 2/5 s^2 + ...) with s = f / (2 + f), f = m - 1
static float lwps_log2_in_two(float x, float *low)
{
    float k;
    const float f = lwps_split(x, &k) - 1.0f;
    const float g = 2.0f + f, g_low = f - (g - 2.0f), g_upper = lwps_upper(g);
    const float s = f / g, s_upper = lwps_upper(s);
    const float s_low = (f - s_upper * g_upper - s_upper * (g - g_upper) - s_upper * g_low) / g;
    const float s2 = s * s;
    float p = 2.4276836e-01f;
    p = p * s2 + 2.8498837e-01f;
    p = p * s2 + 4.0000972e-01f;
    p = p * s2 + 6.666666e-01f;
    const float rest = 2.0f * s_low + s * s2 * p;
    const float main = 2.0f * s_upper * 1.4423828125f;  // log2(e) in two parts
    const float high = k + main;
    *low = (main - (high - k)) + (2.0f * s_upper * 3.1222838e-4f + rest * 1.44269504f);
    return high;
}

// a to the power y of a positive, finite a and a finite y, within 5 ulp: log2(a) and its
// product with y in two floats each, high and low, as one has not the digits
static float lwps_pow_inside(float a, float y)
{
    float low;
    const float high = lwps_log2_in_two(a, &low);
    const float high_upper = lwps_upper(high), high_low = high - high_upper + low;
    const float y_upper = lwps_upper(y), y_low = y - y_upper;
    const float p = y_upper * high_upper;
    const float p_low = y_upper * high_low + y_low * high_upper + y_low * high_low;
    const float all = p + p_low;
    const int inside = all < 130.0f && all > -160.0f;
    const float shifted = (inside ? all : all > 0.0f ? 130.0f : -160.0f) + ROUNDER;
    const float r = inside ? (p - (shifted - ROUNDER)) + p_low : 0.0f;
    return lwps_scale(1.0f + lwps_expm1_near_0(r * 0.69314718f), as_int(shifted) - as_int(ROUNDER));
}

static float lwps_pow(float x, float y)
{
    const float a = lwps_abs(x);
    const int huge = lwps_abs(y) == INFINITY;
    float z = lwps_pow_inside(a, huge ? 0.0f : y);
    z = huge ? (a == 1.0f ? 1.0f : (a > 1.0f) == (y > 0.0f) ? INFINITY : 0.0f) : z;
    z = a == 0.0f ? (y < 0.0f ? INFINITY : 0.0f) : z;
    z = a == INFINITY ? (y < 0.0f ? 0.0f : INFINITY) : z;
    const int whole = lwps_trunc(y) == y;
    const int odd = whole && lwps_trunc(0.5f * y) != 0.5f * y;
    z = odd ? lwps_copysign(z, x) : z;
    z = x < 0.0f && a != INFINITY && !whole ? NAN : z;
    z = x != x || y != y ? NAN : z;
    return y == 0.0f || x == 1.0f ? 1.0f : z;
}

#endif
