from runner.consumers.live import LiveConsumer

__all__ = ["LiveConsumer"]
