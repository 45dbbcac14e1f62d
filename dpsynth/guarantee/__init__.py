"""Is the promise kept by this code? Audits of the curator and of every method on made-up worst-case tables."""
