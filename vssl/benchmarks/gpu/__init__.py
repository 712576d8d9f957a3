"""`gpu`: what has to be known of a GPU, in one command of minutes (docs/gpu_run.md).

Parts run one after the other, each within its share of the time; what a part has measured is on disk before the next
measurement begins (`session`). A part is a function of the arguments and a `Section`, listed in `command`.
"""
