"""What the presets of in-context probes share, after github.com/vpariza/open-hummingbird-eval."""

in_context = dict(k=30, temperature=0.02, memory=10_240_000, layers="last", final_norm=True, keep=False)
