"""The regression models: known values and follow-up in, coefficients with their draws out, and risks from those."""
