"""Published evidence and a cohort in, what each decision does to each outcome out, as normal distributions of terms."""
