"""Where versions keep their own copies: two stores that pass one contract (`tests/contracts/store.py`).

    local.LocalStore      plain files below a folder
    memory.MemoryStore    the same in one process, for tests and try-outs

`layout` names things alike for both; `folders` is what the local one knows about directories.
"""
