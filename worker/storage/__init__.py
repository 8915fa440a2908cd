"""Where versions keep their own copies: three stores that pass one contract (`tests/contracts/store.py`).

    local.LocalStore      plain files below a folder
    s3.store.S3Store      plain prefixes on object storage
    memory.MemoryStore    the same in one process, for tests and try-outs

`layout` names things alike for all; `folders` is what the local one knows about directories. `s3` also reads models that lie
on object storage.
"""
