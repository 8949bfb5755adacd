// Whole numbers of one element and what division leaves, without calls where that can be.

#ifndef LWPS_ROUNDING
#define LWPS_ROUNDING

#include "exponential.cl"  // lwps_copysign

#define ALL_WHOLE 8388608.0f  // 2^23: floats from here on have no fraction

// Towards zero. What is large, infinite or NaN stays.
static float lwps_trunc(float x)
{
    const int small = lwps_abs(x) < ALL_WHOLE;
    return small ? lwps_copysign((float)(int)(small ? x : 0.0f), x) : x;
}

static float lwps_floor(float x)
{
    const float t = lwps_trunc(x);
    return t > x ? t - 1.0f : t;
}

static float lwps_ceil(float x)
{
    const float t = lwps_trunc(x);
    return t < x ? t + 1.0f : t;
}

// To the nearest, halves to even: the sum's own rounding
static float lwps_rint(float x)
{
    const float a = lwps_abs(x);
    return a < ALL_WHOLE ? lwps_copysign((a + ALL_WHOLE) - ALL_WHOLE, x) : x;
}

// x - floor(x / y) y, exact, with the sign of y
static float lwps_remainder(float x, float y)
{
    const float rest = fmod(x, y);
    if (y == 0.0f || rest != rest)
        return rest;
    if (rest == 0.0f)
        return lwps_copysign(0.0f, y);
    return (y < 0.0f) != (rest < 0.0f) ? rest + y : rest;
}

static float lwps_floor_divide(float x, float y)
{
    const float rest = fmod(x, y);
    if (y == 0.0f)
        return x / y;
    float quotient = (x - rest) / y;
    if (rest != 0.0f && (y < 0.0f) != (rest < 0.0f))
        quotient -= 1.0f;
    if (quotient == 0.0f)
        return lwps_copysign(0.0f, x / y);
    const float whole = lwps_floor(quotient);
    return quotient - whole > 0.5f ? whole + 1.0f : whole;
}

// Of integers: zero where y is, and -x wraps around for y = -1, as in NumPy
static int lwps_floor_divide_int(int x, int y)
{
    if (y == 0 || y == -1)
        return (int)((uint)0 - (uint)x) & y;
    return x / y - (x % y != 0 && (x < 0) != (y < 0));
}

// With the sign of x
static int lwps_fmod_int(int x, int y)
{
    return y == 0 || y == -1 ? 0 : x % y;
}

static int lwps_remainder_int(int x, int y)
{
    if (y == 0 || y == -1)
        return 0;
    const int rest = x % y;
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
}

#endif
