"""Files by key, and signed addresses of them."""
