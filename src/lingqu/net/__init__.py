"""Channels: between threads, over mutual TLS 1.3, recorded and replayed, slowed down for measurements."""
