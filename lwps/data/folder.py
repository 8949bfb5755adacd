"""A folder of pictures, with a subfolder for each class, read by Pillow (`pip install 'lwps[images]'`)."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from lwps.data.dataset import DataError, Dataset
from lwps.data.split import stratified
from lwps.data.standardise import standardised

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm", ".tif", ".tiff")
TRAIN, TEST = ("train", "training"), ("test", "val", "valid", "validation")
RESIZES = ("crop", "stretch")
GREY, COLOUR = ("1", "L", "LA"), ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")  # modes of Pillow


@attrs.frozen
class Pictures:
    """How pictures become arrays of one size.

    `size`: pixels a side; None where all have one size. `resize`: `crop` scales the shorter side to `size` and cuts
    the middle out, `stretch` scales both sides. `colour`: `grey`, `rgb`, or None: grey if all the files are.
    """

    size: int | None = None
    resize: str = attrs.field(default="crop", validator=attrs.validators.in_(RESIZES))
    colour: str | None = attrs.field(default=None, validator=attrs.validators.in_((None, "grey", "rgb")))


def load_pictures(folder: str | Path, pictures: Pictures = Pictures()) -> Dataset:
    """The data set of `folder/CLASS/*.png` (and other formats), or of `folder/train/CLASS` and `folder/test/CLASS`.

    Classes are numbered in the order of their names. Without a folder to test on a fifth of each class is
    kept for testing, always the same. DataError names a file that cannot be read, and two files of different sizes.
    """
    folder = Path(folder)
    train = _part(folder, TRAIN)
    names = _classes(train or folder)
    if not names:
        raise DataError(f"{folder}: must hold a folder of pictures for each class, got none")
    files, labels = _listed(train or folder, names)
    test = _part(folder, TEST) if train else None
    if test is None:
        mask = stratified(labels)
        return _dataset(folder, names, files, labels, mask, pictures)
    unknown = sorted(set(_classes(test)) - set(names))
    if unknown:
        raise DataError(f"{test}: classes to test on must be among those to train on, got {', '.join(unknown[:3])}")
    test_files, test_labels = _listed(test, names)
    mask = np.arange(len(files) + len(test_files)) >= len(files)
    return _dataset(folder, names, [*files, *test_files], np.concatenate([labels, test_labels]), mask, pictures)


def holds_pictures(folder: Path) -> bool:
    """Whether there is a class with a picture."""
    return bool(_classes(_part(folder, TRAIN) or folder))


def _part(folder: Path, names: Sequence[str]) -> Path | None:
    return next((folder / n for n in names if _classes(folder / n)), None)


def _classes(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(f.name for f in folder.iterdir() if f.is_dir() and f.name[0] != "." and any(_pictures_in(f)))


def _pictures_in(folder: Path) -> Iterator[Path]:
    return (f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.name[0] != ".")


def _listed(folder: Path, names: Sequence[str]) -> tuple[list[Path], np.ndarray]:
    """The files, and the number of the class of each, in the order of their names."""
    files = [sorted(_pictures_in(folder / name)) for name in names]
    return [f for row in files for f in row], np.repeat(np.arange(len(names)), [len(row) for row in files])


def _dataset(
    folder: Path, names: Sequence[str], files: Sequence[Path], labels: np.ndarray, test: np.ndarray, pictures: Pictures
) -> Dataset:
    pixels = _pixels(files, pictures)
    return standardised(
        pixels[~test],
        labels[~test],
        pixels[test],
        labels[test],
        folder.resolve().name,
        kind="a folder of pictures for each class",
        class_names=names,
    )


def _pixels(files: Sequence[Path], pictures: Pictures) -> np.ndarray:
    """uint8[N, H, W, C] of the files, decoded one after the other into one array."""
    if pictures.colour is None:
        grey = all(_opened(f, lambda image: image.mode in GREY) for f in files)
        pictures = attrs.evolve(pictures, colour="grey" if grey else "rgb")
    first = _opened(files[0], lambda image: _array(image, pictures))
    pixels = np.empty((len(files), *first.shape), np.uint8)
    for k, file in enumerate(files):
        picture = _opened(file, lambda image: _array(image, pictures))
        if picture.shape != first.shape:
            sizes = f"{_size(first)} of {files[0]}, got {_size(picture)}"
            raise DataError(f"{file}: pictures must have one size, {sizes}; give a size (--image-size)")
        pixels[k] = picture
    return pixels


def _size(picture: np.ndarray) -> str:
    return "x".join(map(str, picture.shape[:2]))


def _opened(file: Path, read: Callable[[Any], Any]) -> Any:
    """What `read` makes of the picture in a file; DataError where Pillow cannot read it."""
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise DataError(f"{file}: pictures need Pillow, got {error}; pip install 'lwps[images]'") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file) as image:
                return read(image)
        except Exception as error:  # decoders raise a dozen classes for damaged bytes
            raise DataError(f"{file}: must be a picture that Pillow can read, got {error}") from error


def _array(image: Any, pictures: Pictures) -> np.ndarray:
    """uint8[H, W, 1 or 3] of a picture, upright and of the size that is wanted."""
    from PIL import ImageOps

    if image.mode not in (*GREY, *COLOUR):
        raise ValueError(f"more than 8 bits a channel (mode {image.mode}); convert it")  # Pillow would clip them
    upright = ImageOps.exif_transpose(image).convert("L" if pictures.colour == "grey" else "RGB")
    if pictures.size is not None:
        size = (pictures.size, pictures.size)
        upright = ImageOps.fit(upright, size) if pictures.resize == "crop" else upright.resize(size)
    x = np.asarray(upright)
    return x[..., None] if x.ndim == 2 else x
