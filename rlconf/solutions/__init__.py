"""Solutions sampled outside training: the commands that draw and use them."""
