"""RabbitMQ: what its objects are, how manifests become such objects, and the session that reads and writes them."""
