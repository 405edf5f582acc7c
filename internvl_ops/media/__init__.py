"""From URIs to what the model reads: fetch, decode, tile; and the sandbox in which decoding is done."""
