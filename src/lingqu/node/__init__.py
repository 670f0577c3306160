"""One organisation's service: its people, its peers, its contracts and jobs, and the store that remembers them."""
