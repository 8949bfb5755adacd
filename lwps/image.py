"""Images in another size; the name that jax.image has for it."""

from lwps.ops.resize import resize

__all__ = ["resize"]
