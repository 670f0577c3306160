"""Oblivious transfer and its kin between two parties, without a dealer: semi-honest, from ristretto255 and LPN."""

from lingqu.ot.correlations import Correlations, Receiving, Sending, connect

__all__ = ["Correlations", "Receiving", "Sending", "connect"]
