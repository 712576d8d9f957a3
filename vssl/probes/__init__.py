"""Probes: a frozen backbone, a small head trained on labels, a score with its protocol card.

Importing this package makes mmseg importable beside mmcv-lite (vssl/compat.py); that is all it does.
"""

from vssl.compat import prepare_mmseg

prepare_mmseg()
