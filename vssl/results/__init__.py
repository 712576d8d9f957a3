"""Results of many runs and probes in one place: a store, questions to it, and a leaderboard (docs/results_store.md)."""
