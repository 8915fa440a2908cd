"""What modelport costs beside the tools people use today, measured in one run: `python -m benchmarks`.

`cases` says what is compared with what, and what is wanted. `inputs` makes the models with the real tools, `runner` runs both
sides in turn, each in a process of its own, and `table` writes what came out. A missed goal is written down as missed.
"""
