// Inverse hyperbolic functions of one element, without branches and calls (see
// exponential.cl).

#ifndef LWPS_HYPERBOLIC
#define LWPS_HYPERBOLIC

#include "exponential.cl"

// log(a + sqrt(a^2 + 1)) = log1p(a + a^2 / (1 + sqrt(a^2 + 1))); the 1 does not count for large a
static float lwps_arcsinh(float x)
{
    const float a = lwps_abs(x);
    const int large = a > 1e9f;
    const float b = large ? 0.0f : a;
    const float y = lwps_log1p(b + b * b / (1.0f + lwps_sqrt(b * b + 1.0f)));
    return lwps_copysign(large || a != a ? lwps_log(a) + 0.69314718f : y, x);
}

static float lwps_arccosh(float x)
{
    const int large = x > 1e9f;
    const float t = large ? 0.0f : x - 1.0f;
    const float y = lwps_log1p(t + lwps_sqrt(t * (2.0f + t)));
    return x >= 1.0f ? (large ? lwps_log(x) + 0.69314718f : y) : NAN;
}

static float lwps_arctanh(float x)
{
    const float a = lwps_abs(x);
    return lwps_copysign(0.5f * lwps_log1p(2.0f * a / (1.0f - a)), x);
}

#endif
