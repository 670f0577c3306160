"""Private lookup and unbalanced sets: client and server in processes of their own, over TCP on the loopback.

python -m benchmarks.psi_lookup                         1e6 keys of 256 bytes, and 1,000 against 1e6
python -m benchmarks.psi_lookup lookup --records 100000
python -m benchmarks.psi_lookup unbalanced --elements 10000000
"""

from __future__ import annotations
