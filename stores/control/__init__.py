"""Our own tables: schema `crossfade` in every store (checkpoint, phases, ledger) and in the control store (daemons …).

One module per noun; frozen dataclasses go in and come out. Functions run in the caller's transaction unless they say
otherwise, and let driver errors through: callers wrap them in `stores.errors.translated`.
"""
