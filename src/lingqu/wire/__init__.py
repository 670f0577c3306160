"""What goes between nodes: signed documents, frames, arrays; every peer's bytes are decoded here."""

from lingqu.wire.jws import Replay, Signed, Signer, open_signed, sign

__all__ = ["Replay", "Signed", "Signer", "open_signed", "sign"]
