from runner.dispatcher.dispatcher import Dispatcher, DispatcherSettings
from runner.dispatcher.hosts import Hosts
from runner.dispatcher.runner import Runner

__all__ = ["Dispatcher", "DispatcherSettings", "Hosts", "Runner"]
