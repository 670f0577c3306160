"""JAX functions on shares: `secure` traces a function and interprets its jaxpr over any Machine."""

from lingqu.share.graphs.secure import secure

__all__ = ["secure"]
