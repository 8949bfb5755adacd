// Exponentials, logarithms and roots of one element, without branches and calls: OpenCL
// drivers for CPUs make wide vector code of loops only where the body is free of both.
// Within 2 ulp; the coefficients (highest power first) are least-maximum fits.

#ifndef LWPS_EXPONENTIAL
#define LWPS_EXPONENTIAL

// One instruction, where sqrt would be a call.
#if defined(__clang__) && (defined(__x86_64__) || defined(__aarch64__))
#define lwps_sqrt(x) __builtin_sqrtf(x)
#else
#define lwps_sqrt(x) sqrt(x)
#endif

#define ROUNDER 12582912.0f  // 1.5 * 2^23: added, it leaves the nearest integer in the low bits

static float lwps_abs(float x)
{
    return as_float(as_uint(x) & 0x7fffffffu);
}

static float lwps_copysign(float x, float sign)
{
    return as_float((as_uint(x) & 0x7fffffffu) | (as_uint(sign) & 0x80000000u));
}

// x * 2^k for k from -252 to 254
static float lwps_scale(float x, int k)
{
    const int half_k = k >> 1;
    return x * as_float((half_k + 127) << 23) * as_float((k - half_k + 127) << 23);
}

// exp(r) - 1 for |r| up to log(2) / 2
static float lwps_expm1_near_0(float r)
{
    float p = 1.3869588e-03f;
    p = p * r + 8.366251e-03f;
    p = p * r + 4.1667446e-02f;
    p = p * r + 1.6666546e-01f;
    p = p * r + 4.9999997e-01f;
    return r + r * r * p;
}

// exp(x + more), with `more` small
static float lwps_exp_sum(float x, float more)
{
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float shifted = (x + more) * 1.44269504f + ROUNDER;
    const float n = shifted - ROUNDER;
    const float r = x - n * 0.693359375f + n * 2.12194440e-4f + more;  // log(2) in two parts
    return lwps_scale(1.0f + lwps_expm1_near_0(r), as_int(shifted) - as_int(ROUNDER));
}

static float lwps_exp(float x)
{
    return lwps_exp_sum(x, 0.0f);
}

static float lwps_expm1(float x)
{
    x = x > 89.0f ? 89.0f : x;
    x = x < -26.0f ? -26.0f : x;
    const float shifted = x * 1.44269504f + ROUNDER;
    const float n = shifted - ROUNDER;
    const float q = lwps_expm1_near_0(x - n * 0.693359375f + n * 2.12194440e-4f);
    const int k = as_int(shifted) - as_int(ROUNDER);
    // 2^k (1 + q) - 1; 2^-k of k = 128 would be denormal, and does not count any more
    const float inverse = k > 126 ? 0.0f : as_float((127 - k) << 23);
    return lwps_scale(q + (1.0f - inverse), k);
}

// log(1 + f) for 1 + f from sqrt(1/2) to sqrt(2), without the term f
static float lwps_log1p_rest(float f)
{
    float p = -7.636439e-02f;
    p = p * f + 1.2762217e-01f;
    p = p * f + -1.315961e-01f;
    p = p * f + 1.420158e-01f;
    p = p * f + -1.6623409e-01f;
    p = p * f + 2.0001242e-01f;
    p = p * f + -2.500082e-01f;
    p = p * f + 3.333333e-01f;
    const float f2 = f * f;
    return f * f2 * p - 0.5f * f2;
}

// x = 2^k m with m from sqrt(1/2) to sqrt(2): sets k, returns m. Of positive numbers.
static float lwps_split(float x, float *k)
{
    const int tiny = x < 1.17549435e-38f;
    x = tiny ? x * 8388608.0f : x;
    const uint bits = as_uint(x) - 0x3f3504f3u;
    *k = (float)((int)bits >> 23) - (tiny ? 23.0f : 0.0f);
    return as_float((bits & 0x7fffffu) + 0x3f3504f3u);
}

// log(x) by what a positive x gave: of zero, negative numbers, infinity and NaN
static float lwps_log_ends(float x, float y)
{
    y = x > 3.4e38f && x == INFINITY ? x : y;
    y = x == 0.0f ? -INFINITY : y;
    return x >= 0.0f ? y : NAN;
}

static float lwps_log(float x)
{
    float k;
    const float f = lwps_split(x, &k) - 1.0f;
    const float y = k * 0.693359375f + (f + (lwps_log1p_rest(f) - k * 2.12194440e-4f));
    return lwps_log_ends(x, y);
}

static float lwps_log2(float x)
{
    float k;
    const float f = lwps_split(x, &k) - 1.0f;
    // log2(e) = 1 + 0.44...: the large part is not rounded
    const float rest = lwps_log1p_rest(f);
    return lwps_log_ends(x, k + (f + (rest + (f + rest) * 0.44269504f)));
}

static float lwps_log1p(float x)
{
    const float u = 1.0f + x;
    float k;
    const float f = lwps_split(u, &k) - 1.0f;
    const float lost = (x - (u - 1.0f)) / u;  // what rounding took from u
    const float y = k * 0.693359375f + (f + (lwps_log1p_rest(f) + (lost - k * 2.12194440e-4f)));
    return lwps_log_ends(u, y);
}

// sqrt(x^2 + y^2), scaled so that squares do not overflow
static float lwps_hypot(float x, float y)
{
    const float a = lwps_abs(x), b = lwps_abs(y);
    const float top = a > b ? a : b, ratio = (a > b ? b : a) / top;
    const float z = top == 0.0f ? 0.0f : top * lwps_sqrt(1.0f + ratio * ratio);
    return a == INFINITY || b == INFINITY ? INFINITY : x != x || y != y ? NAN : z;
}

// log(exp(x) + exp(y))
static float lwps_logaddexp(float x, float y)
{
    const float top = x >= y || x != x ? x : y;
    const float apart = lwps_abs(x - y);
    const float more = lwps_log1p(lwps_exp(-apart));
    return top + (apart == apart ? more : x == y ? 0.69314718f : apart);
}

#endif
