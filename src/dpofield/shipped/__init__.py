"""Copies of files of the checkout, which `setup.py` puts here in a wheel; `places` finds them."""
