"""Cross-validation of a twin: held-out predictions of the twin and of reference models, and their scores."""
