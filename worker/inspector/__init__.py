"""Reads what strangers wrote: in this process, or in a child that has nothing to lose and nothing to give away.

`in_process` is for a person at the command line and for tests, `isolated` for workers. Both pass the contract suite in
`tests/contracts/inspector.py`.
"""
