"""Where the bytes of result files are kept; the record keeps what is known of them."""
