"""The cage in which a model is loaded once: what it is made of, who watches it, and what runs in it.

    launcher ──> bubblewrap ──> child       namespaces, a root of its own, then limits and the seccomp filter
             └─────────────────> child      where namespaces are not allowed: Landlock, then the same
    launcher <── child                      hello; its filter's listener; ready; one answer as JSON

`child` and what it imports (`seccomp`, `landlock`, `tensorflow_check`, `onnx_check`) run inside, by the standard library and
the framework alone. The others run outside and believe nothing that comes out: time, memory and what was tried are seen from
outside. `ladder` finds out once which of the two this machine allows; where it is neither, nothing is loaded at all.
"""
