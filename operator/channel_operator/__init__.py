"""Channel operator: message channels as Kubernetes resources, made real on RabbitMQ and Kafka."""

__version__ = "0.1.0"
