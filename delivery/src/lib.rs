//! What every sink shares: the loop, retries, budgets, dead letters, metrics.
