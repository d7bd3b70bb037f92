"""Commands that measure the twin against known truth or against other models; none is part of the product."""
