"""`python -m quartet plan FAMILY`: what a training takes, before it is started; here, or on a machine to be rented."""
