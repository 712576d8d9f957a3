"""What the library costs, one file a benchmark, all by one method: python tools/benchmark.py NAME.

The method (`timing`): the variants take turns within each repetition of one process, so that a slow moment of the
machine falls on all of them; one repetition before the first is a warm-up and not counted. Reported are medians and
interquartile ranges over repetitions, of elapsed and of processor seconds, and ratios between two variants of one
repetition. On a machine that others use too, the ratio of processor seconds is the number to read, with one thread:
several threads also spend processor time on waiting for each other. Threads are set, never left to torch's choice,
and every result names them, the machine and the versions (`result_table`).

A benchmark is a module with `add_command(commands)`, entered in `vssl/commands/benchmark.py`.
"""
