"""What does not affect results: logging, checkpoints, workers."""

log_interval = 10
checkpoint_interval = 200
rankme_interval = 20
sample_views = 8
num_workers = 0
precision = "fp32"
