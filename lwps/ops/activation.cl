// Activations of one element, without branches and calls (see exponential.cl).

#ifndef LWPS_ACTIVATION
#define LWPS_ACTIVATION

#include "exponential.cl"

// 1 / (1 + exp(-x))
static float lwps_sigmoid(float x)
{
    return 1.0f / (1.0f + lwps_exp(-x));
}

static float lwps_tanh(float x)
{
    const float a = lwps_abs(x);
    const float t = lwps_expm1(2.0f * (a > 10.0f ? 10.0f : a));
    return lwps_copysign(t / (t + 2.0f), x);
}

static float lwps_softplus(float x)
{
    return (x > 0.0f ? x : 0.0f) + lwps_log1p(lwps_exp(-lwps_abs(x)));
}

// erf(a) - a for a from 0 to 1
static float lwps_erf_to_1(float a)
{
    const float a2 = a * a;
    float p = 7.806904e-05f;
    p = p * a2 + -7.997853e-04f;
    p = p * a2 + 5.187162e-03f;
    p = p * a2 + -2.6853347e-02f;
    p = p * a2 + 1.1283579e-01f;
    p = p * a2 + -3.7612626e-01f;
    p = p * a2 + 1.2837917e-01f;
    return a + a * p;
}

// 1 - erf(a) = t exp(-a^2 + p(t)) with t = 1 / (1 + a / 2), for a >= 0
static float lwps_erfc_positive(float a)
{
    const float t = 1.0f / (1.0f + 0.5f * a);
    float p = 2.4561495e-01f;
    p = p * t + -1.159616e+00f;
    p = p * t + 2.1380954e+00f;
    p = p * t + -1.8310746e+00f;
    p = p * t + 7.3323673e-01f;
    p = p * t + -3.7252545e-01f;
    p = p * t + 1.4436442e-01f;
    p = p * t + 3.668295e-01f;
    p = p * t + 1.0006232e+00f;
    p = p * t + -1.2655327e+00f;
    return t * lwps_exp_sum(-a * a, p);
}

static float lwps_erf(float x)
{
    const float a = lwps_abs(x);
    const float y = a < 1.0f ? lwps_erf_to_1(a) : 1.0f - lwps_erfc_positive(a);
    return x == x ? lwps_copysign(y, x) : x;
}

// x P(X <= x) of a normal X
static float lwps_gelu(float x)
{
    const float beyond = 0.5f * lwps_erfc_positive(lwps_abs(x) * 0.70710678f);
    return x * (x < 0.0f ? beyond : 1.0f - beyond);
}

static float lwps_gelu_tanh(float x)
{
    return 0.5f * x * (1.0f + lwps_tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
}

static float lwps_elu(float x, float alpha)
{
    return x > 0.0f ? x : alpha * lwps_expm1(x);
}

#endif
