// Threefry-2x32 with 20 rounds: each pair of words from a key and a counter alone.

#define KERNEL kernel __attribute__((reqd_work_group_size(GROUP, 1, 1)))

// Eight counters, and then eight pairs of words: compilers make no vectors of scalar
// code here (five times slower on PoCL).
typedef struct { uint8 x, y; } pairs;

inline pairs mix(pairs v, int rotation)
{
    v.x += v.y;
    v.y = (v.y << rotation | v.y >> (32 - rotation)) ^ v.x;
    return v;
}

inline pairs four_rounds(pairs v, int r0, int r1, int r2, int r3, uint x, uint y)
{
    v = mix(mix(mix(mix(v, r0), r1), r2), r3);
    v.x += x;
    v.y += y;
    return v;
}

inline pairs threefry(uint k0, uint k1, uint8 counter, uint stream)
{
    const uint k2 = k0 ^ k1 ^ 0x1bd11bda;
    pairs v = {counter + k0, stream + k1};
    v = four_rounds(v, 13, 15, 26, 6, k1, k2 + 1);
    v = four_rounds(v, 17, 29, 16, 24, k2, k0 + 2);
    v = four_rounds(v, 13, 15, 26, 6, k0, k1 + 3);
    v = four_rounds(v, 17, 29, 16, 24, k1, k2 + 4);
    return four_rounds(v, 13, 15, 26, 6, k2, k0 + 5);
}

// Sixteen words of which there may be fewer than sixteen left.
inline void store(pairs v, int left, global uint *out)
{
    const uint8 x = v.x, y = v.y;
    const uint8 low = (uint8)(x.s0, y.s0, x.s1, y.s1, x.s2, y.s2, x.s3, y.s3);
    const uint8 high = (uint8)(x.s4, y.s4, x.s5, y.s5, x.s6, y.s6, x.s7, y.s7);
    if (left >= 16) {
        vstore8(low, 0, out);
        vstore8(high, 1, out);
        return;
    }
    uint words[16];
    vstore8(low, 0, words);
    vstore8(high, 1, words);
    for (int k = 0; k < left; k++)
        out[k] = words[k];
}

// A work-item draws WORDS of the n words, a multiple of 16: many on a CPU, few on a
// GPU.
KERNEL void random_bits(global uint *out, global const uint *key, int n, uint stream)
{
    const uint8 steps = (uint8)(0, 1, 2, 3, 4, 5, 6, 7);
    const long first = (long)get_global_id(0) * WORDS;
    const long last = min(first + WORDS, (long)n);
    for (long k = first; k < last; k += 16)
        store(threefry(key[0], key[1], steps + (uint)(k / 2), stream), n - k, out + k);
}

// One work-item draws one pair.
KERNEL void random_block(global uint *out, global const uint *key,
                         global const uint *counter, uint stream)
{
    const pairs words = threefry(key[0], key[1], counter[0], stream);
    out[0] = words.x.s0;
    out[1] = words.y.s0;
}
