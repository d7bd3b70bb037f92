"""The regression models: known values and follow-up in, coefficients with their refits out, and risks from those."""
