"""Small data sets of every kind that `lwps.data.load` understands, as files."""

import gzip
import struct

import numpy as np
from PIL import Image

TEXT = "the quick brown fox jumps over the lazy dog\n" * 8


def idx_bytes(x, code=0x08):
    return bytes([0, 0, code, x.ndim]) + struct.pack(f">{x.ndim}I", *x.shape) + x.tobytes()


def idx(folder):
    rng = np.random.default_rng(0)
    folder.mkdir()
    for stem, n in (("train", 12), ("t10k", 6)):
        images = idx_bytes(rng.integers(0, 256, (n, 4, 4), np.uint8))
        (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images, mtime=0))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes((np.arange(n) % 3).astype(np.uint8)))
    return folder


def cifar(folder, *, classes=10, n=2):
    """Records whose pixels are all the number of their label, but for the first red and the last blue one."""
    folder.mkdir()
    files = (
        ["train.bin", "test.bin"]
        if classes == 100
        else [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    )
    for k, file in enumerate(files):
        labels = ((np.arange(n) + k * n) % classes).astype(np.uint8)
        pixels = np.repeat(labels[:, None], 3072, 1)
        pixels[:, 0], pixels[:, -1] = 255, 254
        coarse = [np.full((n, 1), 7, np.uint8)] if classes == 100 else []
        (folder / file).write_bytes(np.concatenate([*coarse, labels[:, None], pixels], 1).tobytes())
    return folder


def npz(path, **others):
    rng = np.random.default_rng(0)
    arrays = {"images": rng.integers(0, 256, (12, 4, 4), np.uint8), "labels": np.repeat(np.arange(3), 4)}
    np.savez_compressed(path, **(others or arrays))
    return path


def picture(path, *, size=(5, 4), mode="RGB", seed=0):
    x = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], len(mode) if mode == "RGB" else 1), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(x.squeeze(-1) if mode == "L" else x, mode=None).save(path)


def pictures(folder, *, parts=("",), n=4, suffixes=(".png", ".bmp"), **how):
    for part in parts:
        for k, name in enumerate(("cat", "dog")):
            for i in range(n):
                picture(folder / part / name / f"{i}{suffixes[i % len(suffixes)]}", seed=10 * k + i, **how)
    return folder


def text(path, content=TEXT):
    path.write_text(content, "utf-8")
    return path


KINDS = {"idx": idx, "cifar": cifar, "npz": npz, "pictures": pictures, "text": text}
