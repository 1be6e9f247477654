"""What every store must do (`conformance.py`), and what each of them does besides."""
