// Sines, tangents and their inverses of one element, without branches and calls (see
// exponential.cl), within 3 ulp for every float.

#ifndef LWPS_TRIGONOMETRY
#define LWPS_TRIGONOMETRY

#include "exponential.cl"

static uint lwps_mul_high(uint a, uint b)
{
    return (uint)(((ulong)a * b) >> 32);
}

// Four words of 2 / pi behind its point, a zero before them, from word `at` (0 to 4) on
static void lwps_two_over_pi(int at, uint w[4])
{
    const int far = at & 4, two = at & 2, one = at & 1;
    const uint a0 = far ? 0xf534ddc0u : 0, a1 = far ? 0xdb629599u : 0xa2f9836eu;
    const uint a2 = far ? 0x3c439041u : 0x4e441529u, a3 = far ? 0xfe5163abu : 0xfc2757d1u;
    const uint b0 = two ? a2 : a0, b1 = two ? a3 : a1, b2 = two ? 0xf534ddc0u : a2;
    const uint b3 = two ? 0xdb629599u : a3, b4 = two ? 0x3c439041u : 0xf534ddc0u;
    w[0] = one ? b1 : b0;
    w[1] = one ? b2 : b1;
    w[2] = one ? b3 : b2;
    w[3] = one ? b4 : b3;
}

static uint lwps_bits_from(uint word, uint next, int start)
{
    return (uint)(((((ulong)word << 32) | next) << start) >> 32);
}

// a = quadrant * pi / 2 + r with |r| <= pi / 4, for a >= 0: sets the quadrant (modulo 4),
// returns r. The digits of a * 2 / pi that matter are a product of the 24 bits of a with
// 96 of 2 / pi (M. Payne and R. Hanek, "Radian reduction for trigonometric functions",
// SIGNUM Newsletter 18(1), 1983).
static float lwps_reduce(float a, int *quadrant)
{
    const int small = a < 0.785398f;
    const uint bits = as_uint(small ? 1.0f : a);
    const uint m = (bits & 0x7fffffu) | 0x800000u;
    const int first = (int)(bits >> 23) - 120;  // bit of the words where multiples of 4 end
    const int start = first & 31;
    uint w[4];
    lwps_two_over_pi(first >> 5, w);
    const uint a0 = lwps_bits_from(w[0], w[1], start), a1 = lwps_bits_from(w[1], w[2], start);
    const uint carried = lwps_mul_high(m, lwps_bits_from(w[2], w[3], start));
    const uint low = m * a1 + carried;
    const uint high = m * a0 + lwps_mul_high(m, a1) + (low < carried ? 1u : 0u);
    const uint q = (high + 0x20000000u) >> 30;
    const float left = (float)(int)(high - (q << 30)) * 0x1p-32f + (float)low * 0x1p-64f;
    *quadrant = small ? 0 : (int)q;
    return small ? a : left * 6.2831853f;
}

static float lwps_sin_near_0(float r)
{
    const float r2 = r * r;
    return r + r * r2 * ((-1.9518286e-04f * r2 + 8.332189e-03f) * r2 + -1.6666655e-01f);
}

static float lwps_cos_near_0(float r)
{
    const float r2 = r * r;
    return 1.0f - 0.5f * r2 + r2 * r2 * ((2.4432327e-05f * r2 + -1.388731e-03f) * r2 + 4.1666646e-02f);
}

// The sine `turn` quadrants ahead
static float lwps_sin_ahead(float a, int turn)
{
    int q;
    const float r = lwps_reduce(a, &q);
    const float s = lwps_sin_near_0(r), c = lwps_cos_near_0(r);
    const float y = (q + turn) & 1 ? c : s;
    return a < INFINITY ? ((q + turn) & 2 ? -y : y) : NAN;
}

static float lwps_sin(float x)
{
    const float y = lwps_sin_ahead(lwps_abs(x), 0);
    return as_uint(x) >> 31 ? -y : y;
}

static float lwps_cos(float x)
{
    return lwps_sin_ahead(lwps_abs(x), 1);
}

static float lwps_tan(float x)
{
    const float a = lwps_abs(x);
    int q;
    const float r = lwps_reduce(a, &q);
    const float s = lwps_sin_near_0(r), c = lwps_cos_near_0(r);
    const float y = a < INFINITY ? (q & 1 ? -c / s : s / c) : NAN;
    return as_uint(x) >> 31 ? -y : y;
}

// atan(t) for t from 0 to 1
static float lwps_atan_to_1(float t)
{
    const float t2 = t * t;
    float p = -1.7828207e-03f;
    p = p * t2 + 1.0868685e-02f;
    p = p * t2 + -3.1096986e-02f;
    p = p * t2 + 5.788139e-02f;
    p = p * t2 + -8.399306e-02f;
    p = p * t2 + 1.09508805e-01f;
    p = p * t2 + -1.4264016e-01f;
    p = p * t2 + 1.999853e-01f;
    p = p * t2 + -3.33333e-01f;
    return t + t * t2 * p;
}

static float lwps_arctan2(float y, float x)
{
    const float a = lwps_abs(y), b = lwps_abs(x);
    const int steep = a > b;
    const float large = steep ? a : b, less = steep ? b : a;
    float t = less / large;
    t = large == 0.0f ? 0.0f : less == INFINITY ? 1.0f : t;
    float angle = lwps_atan_to_1(t);
    angle = steep ? 1.57079637f - angle - 4.371139e-8f : angle;  // pi / 2 in two parts
    angle = as_uint(x) >> 31 ? 3.14159274f - angle - 8.742278e-8f : angle;
    return x != x || y != y ? NAN : lwps_copysign(angle, y);
}

static float lwps_arctan(float x)
{
    return lwps_arctan2(x, 1.0f);
}

// asin(z) for z from 0 to 1/2
static float lwps_asin_to_half(float z)
{
    const float z2 = z * z;
    float p = 4.2158306e-02f;
    p = p * z2 + 2.4184778e-02f;
    p = p * z2 + 4.546915e-02f;
    p = p * z2 + 7.4953094e-02f;
    p = p * z2 + 1.6666752e-01f;
    return z + z * z2 * p;
}

// Beyond 1/2: asin(a) = pi / 2 - 2 asin(sqrt((1 - a) / 2))
static float lwps_arcsin(float x)
{
    const float a = lwps_abs(x);
    const int far = a > 0.5f;
    const float angle = lwps_asin_to_half(far ? lwps_sqrt(0.5f * (1.0f - a)) : a);
    return lwps_copysign(far ? 1.57079637f - 2.0f * angle - 4.371139e-8f : angle, x);
}

static float lwps_arccos(float x)
{
    const float a = lwps_abs(x);
    const int far = a > 0.5f;
    const float angle = lwps_asin_to_half(far ? lwps_sqrt(0.5f * (1.0f - a)) : a);
    const float acute = far ? 2.0f * angle : 1.57079637f - angle - 4.371139e-8f;
    return as_uint(x) >> 31 ? 3.14159274f - acute - 8.742278e-8f : acute;
}

#endif
