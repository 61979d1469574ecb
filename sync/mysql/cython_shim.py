"""Stands in for Cython's own `cython` module where it is not installed: uncompiled, the decoder asks
one question of it.

The C types of the compiled modules are in the `.pxd` files beside them, so nothing else is needed at run time.
"""

from __future__ import annotations

from typing import Final

compiled: Final = False
