"""Metrics of predicted risks as pure functions of arrays.

Every function takes resampling counts of shape (resamples, n) and returns one value a resample, so that a bootstrap
interval is one call and not a loop. Times are months; risks are probabilities of the event by a month.
"""
