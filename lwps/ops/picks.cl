// What gathers and scatter-adds share.

// The row that an index names; negative if there is none.
static int place(int index, int n)
{
    const int row = index < 0 ? index + n : index;
    return row < n ? row : -1;
}

kernel void fill(global TYPE *out, TYPE value)
{
    out[get_global_id(0)] = value;
}
